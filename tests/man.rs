//! The manual pages in `packaging/man` are those of this command line and of `etc/bearerd.toml`.
//!
//! `BEARERD_UPDATE_MAN=1 cargo test --test man` writes them.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

fn commands() -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(bearerd::cli::command(), directory.path()).unwrap();
    let entries = fs::read_dir(directory.path()).unwrap();
    let page = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(|entry| page(entry.unwrap())).collect()
}

/// The commented configuration is the reference: every key stands in it.
fn configuration() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH bearerd.toml 5 \"\" \"bearerd {version}\"\n.SH NAME\nbearerd.toml \\- configuration of bearerd\n\
         .SH FILES\n.TP\n/etc/bearerd/bearerd.toml\nand /etc/bearerd/conf.d/*.toml, read in the order of their names\n\
         .TP\n~/.config/bearerd/bearerd.toml\nof a user's own daemon\n.SH DESCRIPTION\n\
         Every key, with its default:\n.PP\n.nf\n"
    );
    let reference = include_str!("../etc/bearerd.toml");
    for line in reference.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A dot or quote at its beginning would make it a request.
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        page += &format!("{guard}{line}\n");
    }
    page + ".fi\n.SH SEE ALSO\nbearerd(1)\n"
}

#[test]
fn pages_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man");
    let mut pages = commands();
    assert!(pages.len() > 8, "{:?}", pages.keys());
    pages.insert("bearerd.toml.5".into(), configuration());
    if std::env::var_os("BEARERD_UPDATE_MAN").is_some() {
        fs::create_dir_all(&directory).unwrap();
        for (name, page) in &pages {
            let mut file = fs::File::create(directory.join(name)).unwrap();
            file.write_all(page.as_bytes()).unwrap();
        }
    }
    let names = fs::read_dir(&directory).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, pages.keys().cloned().collect::<Vec<_>>());
    for (name, page) in &pages {
        let committed = fs::read_to_string(directory.join(name)).unwrap();
        assert!(
            committed == *page,
            "{name} is old: see the head of tests/man.rs"
        );
    }
}
