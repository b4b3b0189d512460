//! `oidc-agent.sock`: the real `oidc-token` and `oidc-add` against it, and what no client of theirs would do.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bearerd::clock;
use bearerd::config::{Allow, Endpoint, HttpsUrl, Who};
use bearerd_core::refresh::{ErrorState, Reason};
use serde_json::{Value, json};
use support::tool;

use crate::socket::{Made, World, fresh, pending};

const NOBODY: u32 = 65534;

fn of_issuer(mut made: Made, issuer: &str) -> Made {
    let config = Arc::make_mut(&mut made.0.config);
    let client = Arc::make_mut(config.client.as_mut().unwrap());
    client.endpoint = Endpoint::Issuer(HttpsUrl {
        text: issuer.into(),
        url: issuer.parse().unwrap(),
    });
    config.scope = vec!["openid".into(), "profile".into()];
    config.audience = vec!["api".into()];
    made
}

fn allowed_to_nobody(mut made: Made) -> Made {
    let written = format!("user:{NOBODY}");
    let who = Who::User(NOBODY);
    let rule = Allow { written, who };
    Arc::make_mut(&mut made.0.config).allow.push(rule);
    made
}

fn world() -> World {
    World::new([
        of_issuer(fresh("lev", "canary-1"), "https://sso.test/realms/lev").0,
        of_issuer(
            allowed_to_nobody(fresh("cis2", "canary-2")),
            "https://cis2.test/",
        )
        .0,
        of_issuer(fresh("cis2.other", "canary-3"), "https://cis2.test/").0,
        fresh("nhs", "canary-4").0,
        pending("broken")
            .failed(
                ErrorState::NeedsLogin,
                Reason::LastError,
                "the refresh token was refused",
            )
            .0,
    ])
}

/// Exit code, standard output, standard error.
fn run(world: &World, program: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new("timeout");
    command
        .args(["20", program])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("OIDC_SOCK", &world.oidc_agent);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn ok(world: &World, args: &[&str]) -> String {
    let (code, stdout, stderr) = run(world, "oidc-token", args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
    stdout
}

fn fails(world: &World, args: &[&str], expected: &str) {
    let (code, stdout, stderr) = run(world, "oidc-token", args);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{args:?}: {stderr}");
    assert!(stderr.contains(expected), "{args:?}: {stderr}");
}

/// One request in the clear.
fn ask(world: &World, request: &str) -> Value {
    serde_json::from_str(&send(world, request.as_bytes())).unwrap()
}

fn send(world: &World, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(&world.oidc_agent).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    _ = stream.write_all(bytes);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn expires_at(world: &World) -> u64 {
    let answer = ask(world, r#"{"request":"access_token","account":"lev"}"#);
    answer["expires_at"].as_u64().unwrap()
}

#[test]
fn oidc_token_gets_a_token() {
    if !tool::has("oidc-token") {
        return;
    }
    let world = world();
    let issuer = "https://sso.test/realms/lev";
    assert_eq!(ok(&world, &["lev"]), "canary-1\n");
    assert_eq!(ok(&world, &[issuer]), "canary-1\n");
    assert_eq!(ok(&world, &[&format!("{issuer}/")]), "canary-1\n");
    assert_eq!(ok(&world, &["nhs"]), "canary-4\n");
    assert_eq!(ok(&world, &["--time=60", "lev"]), "canary-1\n");
    assert_eq!(
        ok(&world, &["-s", "profile", "-s", "openid", "lev"]),
        "canary-1\n"
    );
    assert_eq!(ok(&world, &["--aud=api", "lev"]), "canary-1\n");

    let all = ok(&world, &["-a", "lev"]);
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(&lines[..2], ["canary-1", issuer]);
    let expiry: u64 = lines[2].parse().unwrap();
    assert!(expiry.abs_diff(expires_at(&world)) <= 1, "{all}");
    let hour = clock::unix_now().as_secs() + 3600;
    assert!(expiry.abs_diff(hour) <= 5, "{all}");
    // As scripts use it.
    let script = "eval `oidc-token -c lev` && printf '%s %s %s' $OIDC_AT $OIDC_ISS $OIDC_EXP";
    let (_, exported, _) = run(&world, "sh", &["-c", script]);
    let words: Vec<&str> = exported.split(' ').collect();
    assert_eq!(&words[..2], ["canary-1", issuer]);
    assert!(words[2].parse::<u64>().unwrap().abs_diff(expiry) <= 1);
    let (code, accounts, _) = run(&world, "oidc-add", &["--loaded"]);
    assert_eq!(code, Some(0));
    for name in ["lev", "cis2", "cis2.other", "nhs", "broken"] {
        assert!(accounts.lines().any(|line| line == name), "{accounts}");
    }
}

#[test]
fn oidc_token_fails_where_there_is_none() {
    if !tool::has("oidc-token") {
        return;
    }
    let mut world = world();
    fails(&world, &["absent"], "no token is named absent");
    fails(
        &world,
        &["https://elsewhere.test/"],
        "no token that you may read",
    );
    fails(
        &world,
        &["https://cis2.test"],
        "several tokens are of this issuer: cis2 and cis2.other",
    );
    fails(&world, &["broken"], "the refresh token was refused");
    fails(&world, &["--time=7200", "lev"], "min_ttl of 7200s");
    // Neither a wider token nor another one.
    for args in [
        ["-s", "openid"],
        ["-s", "openid profile email"],
        ["-s", "admin"],
    ] {
        fails(&world, &[&args[..], &["lev"]].concat(), "another scope");
    }
    fails(&world, &["--aud=other", "lev"], "another audience");
    fails(&world, &["--aud=other", "nhs"], "another audience");
    assert!(world.nothing_asked());
}

#[test]
fn oidc_token_can_have_a_token_replaced() {
    if !tool::has("oidc-token") {
        return;
    }
    let mut world = world();
    let socket = world.oidc_agent.clone();
    let client = std::thread::spawn(move || {
        let mut command = Command::new("oidc-token");
        command.args(["-f", "lev"]).env("OIDC_SOCK", socket);
        command.output().unwrap().stdout
    });
    world.asked_for("lev");
    world.publish(fresh("lev", "x").obtained(2, "canary-9", 3600, 0).0);
    assert_eq!(client.join().unwrap(), b"canary-9\n");
}

#[test]
fn requests_in_the_clear_are_answered_in_the_clear() {
    let world = world();
    let answer = ask(
        &world,
        r#"{"request":"access_token","account":"lev","min_valid_period":60,"application_hint":"x","new":[1]}"#,
    );
    let expires_at = answer["expires_at"].as_u64().unwrap();
    let expected = json!({"status": "success", "access_token": "canary-1",
        "issuer": "https://sso.test/realms/lev", "expires_at": expires_at});
    assert_eq!(answer, expected);
    // Python's library wants an issuer, whatever it is.
    let answer = ask(&world, r#"{"request":"access_token","account":"nhs"}"#);
    assert_eq!(
        (&answer["access_token"], &answer["issuer"]),
        (&json!("canary-4"), &json!(""))
    );
    let answer = ask(&world, r#"{"request":"loaded_accounts"}"#);
    let accounts = json!(["broken", "cis2", "cis2.other", "lev", "nhs"]);
    assert_eq!(answer, json!({"status": "success", "info": accounts}));
    for bad in [
        "{}",
        "{]",
        r#"{"request":"access_token"}"#,
        r#"{"request":"access_token","account":7}"#,
        r#"{"request":"access_token","account":"lev","min_valid_period":"x"}"#,
        r#"{"request":"id_token","account":"lev"}"#,
        r#"{"request":"add","account":"lev"}"#,
        r#"{"request":"access_token","account":"../lev"}"#,
    ] {
        let answer = ask(&world, bad);
        assert_eq!(answer["status"], "failure", "{bad}: {answer}");
        assert!(!answer.to_string().contains("canary"), "{bad}: {answer}");
    }
}

#[test]
fn what_is_no_request_gets_no_token() {
    let world = world();
    for bad in [
        &b"GET /v1/tokens/lev HTTP/1.1\r\nHost: x\r\n\r\n AAAAAAAAA"[..],
        &[b'A'; 44],
        &[0; 44],
        &[b'='; 44],
        &[b'{'; 9000],
        &[b'x'; 100_000],
        "{\"request\":\"access_token\",\"account\":\"lev\",\"x\":\"".as_bytes(),
    ] {
        let mut stream = UnixStream::connect(&world.oidc_agent).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        _ = stream.write_all(bad);
        _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.contains("success"), "{answer}");
    }
    // A key, and then no message in it.
    let mut stream = UnixStream::connect(&world.oidc_agent).unwrap();
    let key = "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    stream.write_all(key.as_bytes()).unwrap();
    let mut theirs = [0; 44];
    stream.read_exact(&mut theirs).unwrap();
    let message = format!("2:{}:{}", "A".repeat(32), "A".repeat(24));
    stream.write_all(message.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["status"], "failure");
}

/// More silent clients than there may be connections.
#[test]
fn silent_clients_stall_nobody() {
    let world = world();
    let silent: Vec<UnixStream> = (0..300)
        .map(|n| {
            let mut stream = UnixStream::connect(&world.oidc_agent).unwrap();
            if n % 2 == 0 {
                stream.write_all(b"{\"request\":").unwrap();
            }
            stream
        })
        .collect();
    let before = clock::now();
    let answer = ask(&world, r#"{"request":"access_token","account":"lev"}"#);
    assert_eq!(answer["access_token"], "canary-1");
    assert!(clock::now() - before < Duration::from_secs(4));
    // And they do not stay.
    let mut last = silent.last().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    assert_eq!(last.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn others_get_what_a_rule_allows_and_learn_of_nothing_else() {
    if !rustix::process::geteuid().is_root() || !tool::has("oidc-token") {
        return;
    }
    let world = world();
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.directory.path(), all).unwrap();
    assert!(opened_to_all(&world));
    let as_nobody = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("OIDC_SOCK", &world.oidc_agent)
            .uid(NOBODY)
            .gid(NOBODY);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    assert_eq!(as_nobody("oidc-token", &["cis2"]).1, "canary-2\n");
    // The other token of that issuer is not theirs, and so does not make it ambiguous.
    assert_eq!(
        as_nobody("oidc-token", &["https://cis2.test/"]).1,
        "canary-2\n"
    );
    assert_eq!(
        as_nobody("oidc-add", &["--loaded"]).1.lines().last(),
        Some("cis2")
    );
    let refusal = as_nobody("oidc-token", &["lev"]);
    assert_eq!((refusal.0, refusal.1.as_str()), (Some(1), ""));
    assert!(refusal.2.contains("no rule of the socket's policy"));
    assert_eq!(as_nobody("oidc-token", &["absent"]), refusal);
    let forced = as_nobody("oidc-token", &["-f", "lev"]);
    assert_eq!(forced, refusal);
    assert_eq!(
        as_nobody("oidc-token", &["https://sso.test/realms/lev"]).0,
        Some(1)
    );
}

/// Waits until the server has opened the socket to all, as a rule names others.
fn opened_to_all(world: &World) -> bool {
    let deadline = clock::now() + Duration::from_secs(20);
    while clock::now() < deadline {
        ask(world, r#"{"request":"loaded_accounts"}"#);
        if mode(world) == 0o666 {
            return true;
        }
    }
    false
}

fn mode(world: &World) -> u32 {
    let metadata = std::fs::metadata(&world.oidc_agent).unwrap();
    metadata.permissions().mode() & 0o777
}

#[test]
fn the_socket_is_its_owners_while_no_rule_names_others() {
    let mut world = World::new([fresh("lev", "canary-1").0]);
    ask(&world, r#"{"request":"loaded_accounts"}"#);
    assert_eq!(mode(&world), 0o600);
    world.configure(allowed_to_nobody(fresh("lev", "canary-1")).0);
    assert!(opened_to_all(&world));
}
