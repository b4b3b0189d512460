//! Values of a client that stand in a JSON document at a server (`[http.NAME]`), with the real daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::script::{Act, Seen, Server, answer, serving};
use support::{Daemon, Host, eventually};
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(15);

/// What the two servers hold: the secret in force, and how often the document was asked for.
#[derive(Default)]
struct Truth {
    secret: AtomicUsize,
    documents: AtomicUsize,
    refused: AtomicUsize,
}

/// The document server and the authorization server, one script.
fn servers(
    document: impl Fn(&Seen, &Truth) -> Act + Send + Sync + 'static,
) -> (Runtime, Server, Arc<Truth>) {
    let truth = Arc::new(Truth::default());
    let held = Arc::clone(&truth);
    let (runtime, server) = serving(move |seen| {
        if seen
            .head
            .starts_with("GET /mock-jwks/keycloak-client-credentials HTTP/1.1\n")
        {
            held.documents.fetch_add(1, Ordering::SeqCst);
            return document(seen, &held);
        }
        let secret = held.secret.load(Ordering::SeqCst);
        let proof = format!("client_id=canary-id-{secret}&client_secret=canary-secret-{secret}");
        if seen.body.ends_with(&proof) {
            return answer(
                200,
                "",
                r#"{"access_token": "at", "expires_in": 600, "token_type": "Bearer"}"#,
            );
        }
        held.refused.fetch_add(1, Ordering::SeqCst);
        // Keycloak's name for a client that it does not know.
        answer(401, "", r#"{"error": "unauthorized_client"}"#)
    });
    (runtime, server, truth)
}

/// As the mock of NHS CIS2 has it.
fn credentials(seen: &Seen, truth: &Truth) -> Act {
    if !seen.head.contains("\napikey: canary-apikey\n") {
        return answer(401, "", "");
    }
    let secret = truth.secret.load(Ordering::SeqCst);
    let body = json!({"cis2": {
        "client_id": format!("canary-id-{secret}"),
        "client_secret": format!("canary-secret-{secret}"),
        "redirect_uri": "https://example.org/",
    }});
    answer(200, "", &body.to_string())
}

/// Two tokens of one client.
fn host(server: &Server, pointer: &str) -> Host {
    let host = Host::new();
    host.secret("apikey", "canary-apikey");
    let document = server.url("/mock-jwks/keycloak-client-credentials");
    let token = server.url("/token");
    let mut tables = format!(
        r#"
[http.mock_jwks]
url = "{document}"
headers = {{ apikey = {{ file = "@/secrets/apikey" }} }}
timeout = "2s"
[client.cis2]
token_endpoint = "{token}"
client_id = {{ http = "mock_jwks", pointer = "/cis2/client_id" }}
timeout = "2s"
[client.cis2.auth.client_secret_post]
client_secret = {{ http = "mock_jwks", pointer = "{pointer}" }}
"#
    );
    for name in ["one", "two"] {
        tables += &format!(
            r#"
[token.{name}]
client = "cis2"
[token.{name}.grant.client_credentials]
[[token.{name}.file]]
path = "@/tokens/{name}"
"#
        );
    }
    host.configure(&tables);
    host
}

fn status_of(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status_json();
    let mut found = status["tokens"].as_array().expect("tokens").iter();
    let found = found.find(|token| token["name"] == name);
    found.expect("the token").clone()
}

/// Waits until a token fails in this state; the error.
#[track_caller]
fn failing(host: &Host, daemon: &Daemon, name: &str, state: &str) -> String {
    eventually("the failure", SOON, || {
        std::os::unix::net::UnixStream::connect(host.socket()).ok()?;
        let status = status_of(daemon, name);
        (status["state"] == state).then(|| status["last_error"].as_str().unwrap_or("-").to_owned())
    })
}

/// Nothing of the document may be seen.
#[track_caller]
fn assert_discreet(daemon: &Daemon) {
    let shown = daemon.logged() + &daemon.status_json().to_string();
    assert!(!shown.contains("canary"), "{shown}");
    daemon.assert_sound();
}

#[test]
fn one_fetch_serves_all_tokens_of_a_client() {
    let (_runtime, server, truth) = servers(credentials);
    let host = host(&server, "/cis2/client_secret");
    let daemon = host.start_ready();
    assert_eq!(host.token("one").as_deref(), Some("at"));
    assert_eq!(host.token("two").as_deref(), Some("at"));
    assert_eq!(truth.documents.load(Ordering::SeqCst), 1);
    assert_eq!(truth.refused.load(Ordering::SeqCst), 0);
    assert_discreet(&daemon);
}

#[test]
fn a_refusal_has_the_document_read_again_and_the_token_obtained() {
    let (_runtime, server, truth) = servers(credentials);
    let host = host(&server, "/cis2/client_secret");
    let daemon = host.start_ready();
    truth.secret.store(1, Ordering::SeqCst);
    assert!(daemon.client(&["refresh", "one"]).status.success());
    let status = status_of(&daemon, "one");
    assert_eq!(status["state"], "fresh");
    assert_eq!(status["last_error"], Value::Null);
    assert_eq!(truth.documents.load(Ordering::SeqCst), 2);
    assert_eq!(truth.refused.load(Ordering::SeqCst), 1);
    assert!(daemon.client(&["refresh", "two"]).status.success());
    assert_eq!(truth.refused.load(Ordering::SeqCst), 1, "both profit");
    assert_discreet(&daemon);
}

/// Whatever is refused: a document is no server's to be asked for at every attempt.
#[test]
fn a_document_that_does_not_help_is_left_alone_for_a_minute() {
    let stale = |seen: &Seen, _: &Truth| credentials(seen, &Truth::default());
    let (_runtime, server, truth) = servers(stale);
    let host = host(&server, "/cis2/client_secret");
    let daemon = host.start_ready();
    truth.secret.store(1, Ordering::SeqCst);
    for name in ["one", "two", "one"] {
        assert_eq!(daemon.client(&["refresh", name]).status.code(), Some(5));
    }
    assert_eq!(truth.documents.load(Ordering::SeqCst), 2);
    let error = failing(&host, &daemon, "one", "fix_config");
    assert!(error.contains("unauthorized_client"), "{error}");
    assert_discreet(&daemon);
}

#[test]
fn what_is_wrong_with_a_document() {
    fn page(_: &Seen, _: &Truth) -> Act {
        answer(200, "", "<html>canary</html>")
    }
    fn outage(_: &Seen, _: &Truth) -> Act {
        answer(503, "retry-after: 1\r\n", "canary")
    }
    fn empty(_: &Seen, _: &Truth) -> Act {
        answer(
            200,
            "",
            r#"{"cis2": {"client_id": "canary", "client_secret": ""}}"#,
        )
    }
    fn cut(_: &Seen, _: &Truth) -> Act {
        answer(
            200,
            "",
            "{\"cis2\": {\"client_id\": \"canary\\n\", \"client_secret\": \"canary\"}}",
        )
    }
    let secret = "/cis2/client_secret";
    let lacks = |pointer| format!("http.mock_jwks: it has no text at {pointer}");
    let not_json = "http.mock_jwks: it is no JSON document".to_owned();
    let at = |status| format!("answered {status}");
    type Document = fn(&Seen, &Truth) -> Act;
    for (document, pointer, state, error) in [
        (page as Document, secret, "transient", not_json),
        (outage, secret, "transient", at(503)),
        (empty, secret, "fix_config", lacks(secret)),
        (cut, secret, "fix_config", lacks("/cis2/client_id")),
        (credentials, "/cis2", "fix_config", lacks("/cis2")),
        (credentials, "/cis1/x", "fix_config", lacks("/cis1/x")),
    ] {
        let (_runtime, server, truth) = servers(document);
        let host = host(&server, pointer);
        let daemon = host.start();
        let found = failing(&host, &daemon, "one", state);
        assert!(found.contains(&error), "{found}");
        assert_eq!(
            truth.refused.load(Ordering::SeqCst),
            0,
            "no token was asked for"
        );
        assert_discreet(&daemon);
    }
}

#[test]
fn a_replaced_key_to_the_document_is_used_at_once() {
    let (_runtime, server, truth) = servers(credentials);
    let host = host(&server, "/cis2/client_secret");
    host.secret("apikey", "wrong");
    let daemon = host.start();
    let error = failing(&host, &daemon, "one", "fix_config");
    assert!(error.contains("answered 401"), "{error}");
    let asked = truth.documents.load(Ordering::SeqCst);
    host.secret("apikey", "canary-apikey");
    eventually("the token", SOON, || host.token("one"));
    assert_eq!(truth.documents.load(Ordering::SeqCst), asked + 1);
    assert_discreet(&daemon);
}
