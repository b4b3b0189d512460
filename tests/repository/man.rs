//! The manual pages in `packaging/man` are those of this command line, of `etc/bearerd.toml`, and of
//! `tests/man/bearerd.8` with what the command line and the unit say.
//!
//! `BEARERD_UPDATE_MAN=1 cargo test --test repository man` writes them.

use std::collections::{BTreeMap, BTreeSet};
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
    let reference = include_str!("../../etc/bearerd.toml");
    page += &verbatim(reference);
    page + ".fi\n.SH SEE ALSO\nbearerd(1), bearerd(8)\n"
}

/// Text as it is.
fn verbatim(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A dot or quote at its beginning would make it a request.
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        format!("{guard}{line}\n")
    };
    text.lines().map(line).collect()
}

/// The service: its options as `bearerd-run.1` has them, its exit codes, and the recipes at the head of its unit.
fn service(run: &str) -> String {
    let options = run.split(".SH ").find(|part| part.starts_with("OPTIONS"));
    let command = bearerd::cli::command();
    let exit_codes = command.get_after_help().unwrap().to_string();
    let codes = exit_codes.lines().filter(|line| line.starts_with("  "));
    let codes: Vec<_> = codes.map(str::trim_start).collect();
    assert_eq!(codes.len(), 9, "{exit_codes}");
    let unit = include_str!("../../systemd/bearerd.service");
    let head = unit.lines().take_while(|line| line.starts_with('#'));
    let head = head.skip_while(|line| *line != "#").skip(1);
    let recipes: Vec<_> = head
        .map(|line| line.strip_prefix("# ").unwrap_or_default())
        .collect();
    assert!(recipes.len() > 20, "{recipes:?}");
    include_str!("../man/bearerd.8")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@OPTIONS@", &format!(".SH {}", options.unwrap().trim_end()))
        .replace("@EXIT_STATUS@", verbatim(&codes.join("\n")).trim_end())
        .replace("@RECIPES@", verbatim(&recipes.join("\n")).trim_end())
}

/// Every variable that the sources ask for, but those of other programs' protocols, and every signal.
#[test]
fn the_service_s_page_leaves_nothing_out() {
    let page = service(&commands()["bearerd-run.1"]);
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeSet::from(["SIGHUP".to_owned(), "SIGUSR1".into()]);
    while let Some(path) = pending.pop() {
        if path.is_dir() && !path.ends_with("credential_helper") {
            let entries = fs::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        // Nothing of it is in a release.
        } else if path.is_file() && !path.ends_with("failpoint.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for call in ["var(\"", "var_os(\"", "directory(\""] {
                let calls = code.split(call).skip(1);
                names.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&name), "bearerd(8) says nothing of {name}");
    }
}

#[test]
fn pages_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man");
    let mut pages = commands();
    assert!(pages.len() > 8, "{:?}", pages.keys());
    pages.insert("bearerd.toml.5".into(), configuration());
    pages.insert("bearerd.8".into(), service(&pages["bearerd-run.1"]));
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
            "{name} is old: see the head of tests/repository/man.rs"
        );
    }
}
