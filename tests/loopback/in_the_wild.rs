//! What real servers answer and other clients read: the token is there, and a refresh token that works once is
//! not lost. Each answer has its source.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::script::{Act, Seen, answer, serving};
use support::{Daemon, Host, eventually};

const SOON: Duration = Duration::from_secs(15);

/// One token from a refresh token that works once; `more` are further lines of its table.
fn seeded(server: &support::script::Server, more: &str) -> Host {
    let host = Host::new();
    host.secret("seed", "rt-0");
    host.secret("client", "s3cr3t");
    let url = server.url("/token");
    host.configure(&format!(
        r#"
[client.c]
token_endpoint = "{url}"
client_id = "id"
timeout = "2s"
[client.c.auth.client_secret_post]
client_secret = {{ file = "@/secrets/client" }}
[token.t]
client = "c"
{more}
[token.t.grant.refresh_token]
refresh_token = {{ file = "@/secrets/seed" }}
[[token.t.file]]
path = "@/tokens/t"
"#
    ));
    host
}

/// Answers each refresh token once, as `wrap` writes the JSON of the answer.
fn rotating(wrap: impl Fn(&str) -> Act + Send + Sync + 'static) -> impl Fn(&Seen) -> Act {
    let rotated = AtomicUsize::new(0);
    move |seen| {
        let next = rotated.load(Ordering::SeqCst);
        if seen.parameter("refresh_token") != Some(format!("rt-{next}")) {
            let refused = json!({"error": "invalid_grant", "error_description": "used before"});
            return answer(400, "", &refused.to_string());
        }
        let next = rotated.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"access_token": format!("at-{next}"), "expires_in": 600,
            "refresh_token": format!("rt-{next}")});
        wrap(&body.to_string())
    }
}

fn token(host: &Host, wanted: &str) {
    eventually(wanted, SOON, || (host.token("t")? == wanted).then_some(()));
}

fn refreshed(daemon: &Daemon) {
    let output = daemon.client(&["refresh", "t"]);
    assert!(output.status.success(), "{output:?}");
}

fn state(daemon: &Daemon) -> Value {
    let output = daemon.client(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["tokens"][0].clone()
}

/// `gzip` of the command line: what a server's proxy does, asked or not.
fn gzip(text: &str) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn a_compressed_answer_is_read() {
    let (_runtime, server) = serving(rotating(|body| {
        let body = gzip(body);
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        Act::Bytes(answer)
    }));
    let host = seeded(&server, "");
    let daemon = host.start_ready();
    token(&host, "at-1");
    refreshed(&daemon);
    token(&host, "at-2");
}

/// A bomb unpacks to more than any answer has: it is refused at the limit, whatever its packed size.
#[test]
fn an_answer_that_unpacks_without_end_is_refused() {
    let bomb = gzip(&" ".repeat(64 << 20));
    assert!(bomb.len() < 100_000);
    let (_runtime, server) = serving(move |_| {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        )
        .into_bytes();
        answer.extend(&bomb);
        Act::Bytes(answer)
    });
    let host = seeded(&server, "required = false");
    let daemon = host.start();
    eventually("the refusal", SOON, || {
        let logged = daemon.logged();
        logged.contains("larger than 1 MiB").then_some(())
    });
}

/// IBM's gateways write a space before the colon, PHP its warnings between the headers; some fold lines
/// (RFC 9112 section 5). curl and Go read all three.
#[test]
fn odd_header_lines_cost_those_lines() {
    for odd in [
        "access-control-allow-credentials : true\r\n",
        "Warning: Undefined index in /srv/token.php on line 7\r\n",
        "<br />\r\n",
        "x-folded: one\r\n two\r\n",
    ] {
        let (_runtime, server) = serving(rotating(move |body| answer(200, odd, body)));
        let host = seeded(&server, "");
        let daemon = host.start_ready();
        token(&host, "at-1");
        refreshed(&daemon);
        token(&host, "at-2");
    }
}

/// A server that hands out one token until it ends (a cache before the real one): no new generation, and no run of
/// a hook that restarts services.
#[test]
fn the_same_token_again_is_no_replacement() {
    let (_runtime, server) =
        serving(|_| answer(200, "", r#"{"access_token": "same", "expires_in": 600}"#));
    let hook = "[[token.t.hook]]\ncommand = [\"/bin/sh\", \"-c\", \"echo run >> @/hooks\"]\n";
    let host = seeded(&server, "");
    let table = fs::read_to_string(host.config_path()).unwrap();
    let hook = hook.replace('@', host.path("").to_str().unwrap().trim_end_matches('/'));
    host.write("bearerd.toml", &(table + &hook));
    let daemon = host.start_ready();
    let before = state(&daemon);
    refreshed(&daemon);
    let after = state(&daemon);
    assert_eq!(after["generation"], before["generation"]);
    assert!(after["expires_at"].as_f64() >= before["expires_at"].as_f64());
    assert!(daemon.stop().success());
    assert_eq!(fs::read_to_string(host.path("hooks")).unwrap(), "run\n");
}

/// Microsoft Entra refuses a refresh without scope (AADSTS90009), and servers with RFC 8707 answer one without
/// resource for another audience.
#[test]
fn a_refresh_asks_for_what_was_asked_for_before() {
    let (_runtime, mut server) = serving(rotating(|body| answer(200, "", body)));
    let more = "scope = [\"openid\", \"read\"]\nresource = [\"https://api.example/r\"]\n\
                audience = [\"api\"]\nparams = { tenant = \"x\" }";
    let host = seeded(&server, more);
    let daemon = host.start_ready();
    refreshed(&daemon);
    token(&host, "at-2");
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    for request in seen {
        for (name, value) in [
            ("scope", "openid read"),
            ("resource", "https://api.example/r"),
            ("audience", "api"),
            ("tenant", "x"),
        ] {
            assert_eq!(request.parameter(name).as_deref(), Some(value));
        }
    }
}

/// Once more without a scope, which means what was granted (RFC 6749 section 6), where the server takes none.
#[test]
fn a_refresh_refused_for_its_scope_is_sent_bare() {
    let (_runtime, mut server) = serving({
        let taken = rotating(|body| answer(200, "", body));
        move |seen: &Seen| match seen.parameter("scope") {
            Some(_) => answer(400, "", r#"{"error": "invalid_scope"}"#),
            None => taken(seen),
        }
    });
    let host = seeded(&server, "scope = [\"read\"]");
    let daemon = host.start_ready();
    token(&host, "at-1");
    refreshed(&daemon);
    token(&host, "at-2");
    let scopes: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.parameter("scope"))
        .collect();
    assert_eq!(scopes.len(), 4, "{scopes:?}");
}

/// An editor's byte order mark, a second newline: sent as a part of the secret, and so `check` names them.
#[test]
fn check_names_what_got_into_a_secret() {
    let (_runtime, server) = serving(|_| answer(500, "", ""));
    for (content, named) in [
        ("\u{feff}s3cr3t\n", "byte order mark"),
        ("s3cr3t\n\n", "more than one newline"),
        (" s3cr3t\n", "blanks around"),
    ] {
        let host = seeded(&server, "");
        host.write("secrets/client", content);
        let check = support::daemon::command(&host)
            .args(["check", "--config"])
            .arg(host.config_path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert_eq!(check.status.code(), Some(5), "{said}");
        assert!(said.contains(named) && !said.contains("s3cr3t"), "{said}");
    }
}
