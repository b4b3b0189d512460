//! Grants that are no token request, with the real daemon: GitHub apps, HTTP requests, programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bearerd::clock;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};
use support::script::{Act, Seen, Server, answer, serving};
use support::{Daemon, Host, SigningKey, eventually};
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(15);

fn rfc3339(unix: Duration) -> String {
    let seconds = i64::try_from(unix.as_secs()).expect("a time of ours");
    jiff::Timestamp::from_second(seconds)
        .expect("a time of ours")
        .to_string()
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    let mut lines = seen.head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// <https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app>, by a clock that is
/// `ahead` of ours, and as strict as it is documented.
fn github(seen: &Seen, public: &[u8], ahead: u64, lifetime: u64) -> Act {
    let now = clock::unix_now().as_secs() + ahead;
    let date = std::time::UNIX_EPOCH + Duration::from_secs(now);
    let date = format!("date: {}\r\n", httpdate::fmt_http_date(date));
    let refuse = |status, message: &str| {
        let body = json!({"message": message, "documentation_url": "https://docs.github.com/rest"});
        answer(status, &date, &body.to_string())
    };
    if !seen
        .head
        .starts_with("POST /app/installations/42/access_tokens HTTP/1.1\n")
    {
        return refuse(404, "Integration not found");
    }
    let jwt = header(seen, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    let Some((message, signature)) = jwt.and_then(|jwt| jwt.rsplit_once('.')) else {
        return refuse(401, "A JSON web token could not be decoded");
    };
    let key = DecodingKey::from_rsa_der(public);
    let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::RS256);
    let claims = message.split('.').nth(1).expect("claims");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let (issued, expires) = (claims["iat"].as_u64(), claims["exp"].as_u64());
    if !good.unwrap_or(false) || claims["iss"] != "Iv23liABC" {
        return refuse(401, "A JSON web token could not be decoded");
    }
    if issued.is_none_or(|at| at > now) {
        return refuse(
            401,
            "'Issued at' claim ('iat') must be an Integer in the past",
        );
    }
    if expires.is_none_or(|at| at <= now || at > now + 600) {
        return refuse(
            401,
            "'Expiration time' claim ('exp') is too far in the future",
        );
    }
    let accepted = header(seen, "accept") == Some("application/vnd.github+json")
        && header(seen, "x-github-api-version") == Some("2022-11-28")
        && header(seen, "user-agent").is_some();
    if !accepted {
        return refuse(415, "Unsupported 'Accept' header");
    }
    let body = json!({
        "token": format!("ghs_{now}"), "expires_at": rfc3339(Duration::from_secs(now + lifetime)),
        "permissions": {"issues": "write", "contents": "read"}, "repository_selection": "selected",
    });
    answer(201, &date, &body.to_string())
}

fn github_app(server: &Server, key: &str) -> String {
    format!(
        r#"
[token.ci]
[token.ci.grant.github_app]
api = "{}"
client_id = "Iv23liABC"
installation_id = 42
key = {{ file = "@/secrets/{key}" }}
repositories = ["reports"]
permissions = {{ contents = "read" }}
timeout = "2s"
[[token.ci.file]]
path = "@/tokens/ci"
"#,
        server.url("/")
    )
}

fn status_of(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status_json();
    let mut found = status["tokens"].as_array().expect("tokens").iter();
    let found = found.find(|token| token["name"] == name);
    found.expect("the token").clone()
}

/// Waits until it fails in this state.
#[track_caller]
fn failing(host: &Host, daemon: &Daemon, name: &str, state: &str) -> String {
    eventually("the failure", SOON, || {
        std::os::unix::net::UnixStream::connect(host.socket()).ok()?;
        let status = status_of(daemon, name);
        (status["state"] == state).then(|| status["last_error"].as_str().unwrap_or("-").to_owned())
    })
}

#[test]
fn a_github_app() {
    let key = SigningKey::rsa();
    let public = key.public_der.clone();
    let (_runtime, mut server) = serving(move |seen| github(seen, &public, 0, 3));
    let host = Host::new();
    host.secret("app.pem", &key.private_pem);
    host.configure(&github_app(&server, "app.pem"));
    let daemon = host.start_ready();
    let first = host.token("ci").expect("a token");
    assert!(first.starts_with("ghs_"), "{first}");
    let status = status_of(&daemon, "ci");
    assert_eq!(status["client"], Value::Null);
    assert!(status["expires_in"].as_u64().expect("seconds") <= 3);
    let seen = server.seen().remove(0);
    let asked = json!({"repositories": ["reports"], "permissions": {"contents": "read"}});
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).expect("JSON"),
        asked
    );
    eventually("the next token", SOON, || {
        host.token("ci").filter(|token| *token != first)
    });
    // Another key, in another's name: what is held stays, and the next error says why.
    host.secret("app.pem", &SigningKey::rsa().private_pem);
    let error = failing(&host, &daemon, "ci", "fix_config");
    assert!(
        error.ends_with("answered 401 (A JSON web token could not be decoded)"),
        "{error}"
    );
    daemon.assert_sound();
}

/// The server's `Date` tells, and the expiry counts by it.
#[test]
fn a_github_app_on_a_host_whose_clock_is_slow() {
    let key = SigningKey::rsa();
    let public = key.public_der.clone();
    let (_runtime, mut server) = serving(move |seen| github(seen, &public, 3600, 600));
    let host = Host::new();
    host.secret("app.pem", &key.private_pem);
    host.configure(&github_app(&server, "app.pem"));
    let daemon = host.start_ready();
    assert_eq!(server.seen().len(), 2, "refused, and dated anew");
    let left = status_of(&daemon, "ci")["expires_in"]
        .as_u64()
        .expect("seconds");
    assert!((580..=600).contains(&left), "{left}");
}

/// Status, message, headers, and the state that follows.
const REFUSALS: [(&str, &str, &str, &str); 8] = [
    ("404", "Integration not found", "", "fix_config"),
    (
        "403",
        "Resource not accessible by integration",
        "",
        "denied",
    ),
    (
        "403",
        "API rate limit exceeded",
        "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: RESET\r\n",
        "transient",
    ),
    (
        "403",
        "You have exceeded a secondary rate limit",
        "retry-after: 60\r\n",
        "transient",
    ),
    (
        "422",
        "There is at least one repository that does not exist",
        "",
        "fix_config",
    ),
    ("500", "Server Error", "", "transient"),
    (
        "302",
        "",
        "location: https://elsewhere.example/\r\n",
        "transient",
    ),
    ("200", "", "", "transient"),
];

/// To each token the refusal of its number, with what it was sent.
fn refusing() -> (Runtime, Server) {
    serving(move |seen| {
        let path = seen.head.split(' ').nth(1).expect("a path");
        let index: usize = path.trim_start_matches('/').parse().expect("a number");
        let (status, message, headers, _) = REFUSALS[index];
        let reset = (clock::unix_now().as_secs() + 90).to_string();
        let body = json!({"message": format!("{message} canary-header canary-bearer")});
        let headers = headers.replace("RESET", &reset);
        let status = status.parse().expect("a status");
        answer(status, &headers, &body.to_string())
    })
}

/// What the answers of GitHub and others mean.
#[test]
fn refusals_of_http_requests() {
    let (_runtime, server) = refusing();
    let host = Host::new();
    host.secret("bearer", "canary-bearer");
    host.secret("header", "canary-header");
    let tables: String = (0..REFUSALS.len())
        .map(|index| {
            format!(
                "[token.t{index}]\n[token.t{index}.grant.http]\nurl = \"{}\"\ntoken = \"/a/b\"\n\
                 bearer = {{ file = \"@/secrets/bearer\" }}\n\
                 headers = {{ X-Key = {{ file = \"@/secrets/header\" }}, X-Plain = \"p\" }}\n",
                server.url(&format!("/{index}"))
            )
        })
        .collect();
    host.configure(&tables);
    let daemon = host.start();
    for (index, (status, message, _, state)) in REFUSALS.iter().enumerate() {
        let name = format!("t{index}");
        let error = failing(&host, &daemon, &name, state);
        assert!(
            error.contains(&format!("answered {status}")) && error.contains(message),
            "{error}"
        );
        assert!(!error.contains("canary"), "{error}");
        let next = status_of(&daemon, &name)["next_refresh_in"].as_u64();
        let expected = match index {
            2 => 80..=90,
            3 => 50..=60,
            _ => 0..=3600,
        };
        assert!(
            next.is_some_and(|next| expected.contains(&next)),
            "{name}: {next:?}"
        );
    }
    assert!(!daemon.logged().contains("canary"), "nor does the log");
}

#[test]
fn an_http_request_with_another_token() {
    let asked = AtomicUsize::new(0);
    let (_runtime, mut server) = serving(move |seen| {
        let count = asked.fetch_add(1, Ordering::Relaxed);
        let body = match seen.head.starts_with("GET /first") {
            true => json!({"data": [{"id": format!("first-{count}")}], "ttl": "600"}),
            false => {
                json!({"auth": {"client_token": format!("second-{count}"), "lease_duration": 600}})
            }
        };
        answer(200, "", &body.to_string())
    });
    let host = Host::new();
    host.secret("key", "the-key");
    host.configure(&format!(
        r#"
[token.first]
[token.first.grant.http]
url = "{first}"
headers = {{ apikey = {{ file = "@/secrets/key" }} }}
token = "/data/0/id"
expires_in = "/ttl"
[token.second]
[token.second.grant.http]
url = "{second}"
bearer = {{ token = "first" }}
body = {{ role = "reports", nested = {{ list = [1, true] }} }}
token = "/auth/client_token"
expires_in = "/auth/lease_duration"
[[token.second.file]]
path = "@/tokens/second"
"#,
        first = server.url("/first"),
        second = server.url("/second"),
    ));
    let daemon = host.start_ready();
    assert_eq!(host.token("second").as_deref(), Some("second-1"));
    assert_eq!(status_of(&daemon, "second")["made_from"], json!(["first"]));
    let seen = server.seen();
    assert_eq!(header(&seen[0], "apikey"), Some("the-key"));
    assert_eq!(header(&seen[0], "authorization"), None);
    assert!(seen[1].head.starts_with("POST /second"));
    assert_eq!(header(&seen[1], "authorization"), Some("Bearer first-0"));
    assert_eq!(header(&seen[1], "content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&seen[1].body).expect("JSON");
    assert_eq!(
        body,
        json!({"role": "reports", "nested": {"list": [1, true]}})
    );
}

fn program(host: &Host, script: &str) {
    let path = host.write("program", &format!("#!/bin/sh\n{script}"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("its mode");
}

fn printing(host: &Host, more: &str) {
    host.configure(&format!(
        "[token.p]\n[token.p.grant.command]\ncommand = [\"@/program\", \"an argument\"]\n{more}\n\
         [[token.p.file]]\npath = \"@/tokens/p\"\n"
    ));
}

/// It gets what it needs and nothing else, and is asked again in time.
#[test]
fn a_program_that_prints_a_token() {
    let mut host = Host::new();
    host.variable("HOME", "/home/x");
    host.variable("GIVEN", "given");
    host.variable("WITHHELD", "withheld");
    let out = host.path("out");
    program(
        &host,
        &format!(
            "echo run >> {out}.runs\nenv > {out}\ncat >> {out}\necho \"$1\" >> {out}\n\
             echo canary-stderr >&2\n\
             echo '{{\"access_token\":\"tok-'$(wc -l < {out}.runs)'\",\"expires_in\":2}}'",
            out = out.display()
        ),
    );
    printing(&host, "environment = [\"GIVEN\"]");
    let daemon = host.start_ready();
    assert_eq!(host.token("p").as_deref(), Some("tok-1"));
    let seen = fs::read_to_string(&out).expect("what it saw");
    for (text, there) in [
        ("GIVEN=given", true),
        ("HOME=/home/x", true),
        ("PATH=", true),
        ("WITHHELD", false),
        ("NOTIFY_SOCKET", false),
        ("an argument", true),
    ] {
        assert_eq!(seen.contains(text), there, "{text} in {seen}");
    }
    eventually("the next token", SOON, || {
        host.token("p").filter(|token| token != "tok-1")
    });
    assert!(
        !daemon.logged().contains("canary"),
        "what it says on stderr stays unsaid"
    );
    daemon.assert_sound();
}

#[test]
fn programs_that_print_none() {
    for (script, more, state, error) in [
        ("echo canary >&2; exit 3", "", "transient", "exit status: 3"),
        (
            "sleep 60 & sleep 60",
            "timeout = \"300ms\"",
            "transient",
            "had not ended after 300ms",
        ),
        (
            "head -c 70000 /dev/zero | tr '\\0' x",
            "",
            "transient",
            "longer than 64 KiB",
        ),
        (
            "echo two canary words",
            "",
            "transient",
            "characters that no header may carry",
        ),
        (
            "echo '{\"success\":false,\"message\":\"canary\"}'",
            "",
            "transient",
            "reports a failure",
        ),
        ("", "command_missing", "fix_config", "cannot run"),
    ] {
        let host = Host::new();
        match more {
            "command_missing" => printing(&host, ""),
            more => {
                program(&host, script);
                printing(&host, more);
            }
        }
        let daemon = host.start();
        let shown = failing(&host, &daemon, "p", state);
        assert!(shown.contains(error), "{shown}");
        assert!(
            !shown.contains("canary") && !daemon.logged().contains("canary"),
            "{shown}"
        );
        daemon.assert_sound();
    }
}

/// Whatever it has started ends with it.
#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let host = Host::new();
    let pids = host.path("pids");
    let script = format!(
        "sleep 60 &\necho $! >> {pids}\necho $$ >> {pids}\ntrap '' TERM\nwait\nwait\nsleep 60",
        pids = pids.display()
    );
    program(&host, &script);
    printing(&host, "timeout = \"300ms\"");
    let daemon = host.start();
    failing(&host, &daemon, "p", "transient");
    let started = fs::read_to_string(&pids).expect("their ids");
    assert!(started.lines().count() >= 2, "{started}");
    for pid in started.lines().take(2) {
        let gone = || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        };
        eventually("its end", SOON, gone);
    }
}
