//! Secrets that somebody wrote into the configuration, and slips of the hand all around them: nothing may
//! panic, and no message may show any of them.

use std::fs;
use std::path::Path;

use bearerd::config::{Environment, load};
use proptest::prelude::*;
use tempfile::TempDir;

const TEXT: &str = r#"[client.c]
issuer = "https://me:CANARY@sso.example.org" # CANARY
client_id = "c"
auth = { client_secret_post = { client_secret = "CANARY" } }
[client.d.auth.private_key_jwt]
key = """
CANARY
CANARY = 1"""
alg = "RS512"
claims = { a = ["x", { b = 1 }] }
[token.t]
client = "c"
scope = [
  "öpenid", # CANARY
]
params = { code = 'CANARY' }
[token.t.grant.password]
username = "u"
password = 'CANARY'
[[token.t.file]]
path = "/run/t"
format = "headers"
headers = { X-Key = "CANARY" }
[token.u.grant]
refresh_token.refresh_token = '''CANARY'''
"#;

const INSERTED: [&str; 15] = [
    "\"", "'", "[", "]", "{", "}", "=", ",", ".", "#", "\n", "\\", " ", "ü", "\u{1b}",
];

fn check(path: &Path, text: &str) {
    // A new file each time: some file systems wait for the disk when one is overwritten.
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    let Err(errors) = load(path, &Environment::default()) else {
        return;
    };
    let shown = format!("{errors}{errors:?}");
    assert!(!shown.contains("CANARY"), "{text}\n-----\n{errors}");
    assert!(!errors.to_string().contains('\u{1b}'), "{text}");
}

/// One character removed, or one put in, at `at`; an edit within a secret would only cut it in two.
fn edited(text: &str, at: usize, inserted: Option<&str>) -> Option<String> {
    let within = |(start, secret): (usize, &str)| start < at && at < start + secret.len();
    let cuts = text.match_indices("CANARY").any(within) || text[at..].starts_with("CANARY");
    let (before, after) = text.split_at(at);
    match inserted {
        Some(inserted) => Some(format!("{before}{inserted}{after}")),
        None if cuts => None,
        None => {
            let mut rest = after.chars();
            rest.next()?;
            Some(format!("{before}{}", rest.as_str()))
        }
    }
}

fn places(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).collect()
}

#[test]
fn any_one_slip() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("bearerd.toml");
    check(&path, TEXT);
    for at in places(TEXT) {
        check(&path, &TEXT[..at]);
        check(&path, &TEXT[at..]);
        for inserted in [None].into_iter().chain(INSERTED.map(Some)) {
            if let Some(text) = edited(TEXT, at, inserted) {
                check(&path, &text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_two_slips(
        slips in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::of(prop::sample::select(&INSERTED[..]))),
            2,
        )
    ) {
        let dir = TempDir::new().unwrap();
        let mut text = TEXT.to_owned();
        for (place, inserted) in slips {
            let places = places(&text);
            let at = places[place.index(places.len())];
            text = edited(&text, at, inserted).unwrap_or(text);
        }
        check(&dir.path().join("bearerd.toml"), &text);
    }
}
