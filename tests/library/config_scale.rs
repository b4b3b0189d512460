//! A hundred thousand tokens are a size to design for.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use bearerd::config::{Environment, load};

const TOKENS: usize = 100_000;

fn text() -> String {
    let mut text = String::from(
        "[client.c]\ntoken_endpoint = \"https://sso.example.org/token\"\nclient_id = \"c\"\n[client.c.auth.none]\n",
    );
    for n in 0..TOKENS {
        write!(
            text,
            "[token.t{n}]\nclient = \"c\"\nscope = [\"openid\"]\n[token.t{n}.grant.client_credentials]\n\
             [token.t{n}.refresh]\nat = 0.8\n[[token.t{n}.file]]\npath = \"/run/bearerd/tokens/t{n}\"\nmode = \"0640\"\n"
        )
        .unwrap();
    }
    text
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In a process of its own, whose memory is that of nothing else.
#[test]
fn a_hundred_thousand_tokens_fit() {
    let test = "config_scale::child_loads_a_hundred_thousand";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("at the peak of loading"),
        "{output:?}"
    );
}

#[test]
#[ignore = "run by a_hundred_thousand_tokens_fit"]
fn child_loads_a_hundred_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bearerd.toml");
    fs::write(&path, text()).unwrap();
    let config = load(&path, &Environment::default()).unwrap();
    assert_eq!(config.tokens.len(), TOKENS);
    let per_token = peak_kib() * 1024 / TOKENS as u64;
    println!("{per_token} bytes a token at the peak of loading");
    assert!(per_token < 2048, "{per_token} bytes a token at the peak");

    // Every token wrong: the text stays short and comes at once.
    fs::write(&path, text().replace("client = \"c\"", "client = \"d\"")).unwrap();
    let shown = load(&path, &Environment::default())
        .unwrap_err()
        .to_string();
    assert!(shown.ends_with("100000 errors, the first 100 shown"));
    assert!(shown.len() < 100_000);
}
