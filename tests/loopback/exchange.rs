//! Tokens that are made from other tokens (RFC 8693), with the real daemon.

use std::time::Duration;

use serde_json::{Value, json};
use support::record::Request;
use support::{Daemon, Fault, Host, Log, Server, Settings, SigningKey, System, eventually};

const SOON: Duration = Duration::from_secs(15);
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// NHS England's separate authentication: an ID token of LEV's realm, which stands in for CIS2's, is exchanged
/// with a signed assertion, and refreshed with the application's secret.
fn separate(host: &Host, server: &Server, key: &SigningKey, more: &str) -> String {
    let lev = host.lev(server).replace(".lev", ".cis2");
    let lev = lev.replace("\"lev\"", "\"cis2\"");
    host.secret("nhs.pem", &key.private_pem);
    let secret = server.with(|state| state.settings.nhs.api_secret.clone());
    host.secret("nhs-secret", &secret);
    format!(
        r#"
{lev}
[client.nhs_user]
token_endpoint = "{url}"
client_id = "my-api-key"
{common}[client.nhs_user.auth.private_key_jwt]
key = {{ file = "@/secrets/nhs.pem" }}
kid = "test-1"
alg = "RS512"
[client.nhs_user.refresh_auth.client_secret_post]
client_secret = {{ file = "@/secrets/nhs-secret" }}
[token.nhs_user]
client = "nhs_user"
{more}
[token.nhs_user.grant.token_exchange]
subject_token = {{ token = "cis2", field = "id_token" }}
[[token.nhs_user.file]]
path = "@/tokens/nhs_user"
"#,
        url = server.nhs_url(),
        common = host.common(server),
    )
}

fn nhs_requests(log: &Log) -> Vec<Request> {
    let of_nhs = |request: &&Request| request.system == Some(System::Nhs);
    log.requests.iter().filter(of_nhs).cloned().collect()
}

fn entra_requests(log: &Log) -> Vec<Request> {
    let of_entra = |request: &&Request| request.system == Some(System::Entra);
    log.requests.iter().filter(of_entra).cloned().collect()
}

fn exchanges(log: &Log) -> Vec<Request> {
    let mut requests = nhs_requests(log);
    requests.retain(|request| request.param("grant_type") == EXCHANGE);
    requests
}

fn status_of(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status_json();
    let tokens = status["tokens"].as_array().expect("tokens").iter();
    let mut found = tokens.filter(|token| token["name"] == name);
    found.next().expect("the token").clone()
}

/// The 12 hours of CIS2 in 8 seconds, and its hour-long ID token in 2: refreshes while the window lasts, then an
/// exchange of a new ID token. Nothing is ever refused.
#[test]
fn refreshed_within_the_window_and_exchanged_after_it() {
    let key = SigningKey::rsa();
    let mut settings = Settings::with_key(&key);
    settings.lev.lifetime = Duration::from_secs(600);
    settings.lev.id_token_lifetime = Duration::from_secs(2);
    settings.nhs.lifetime = Duration::from_secs(3);
    settings.nhs.refresh_window = Duration::from_secs(8);
    let server = Server::start(settings);
    let host = Host::new();
    host.configure(&separate(&host, &server, &key, ""));
    let daemon = host.start_ready();
    let twice = |log: &Log| {
        let answered = exchanges(log).into_iter().filter(|r| r.status.is_some());
        (answered.count() >= 2).then_some(())
    };
    server.wait_for("a second exchange", 2 * SOON, twice);
    eventually("the token of the second exchange", SOON, || {
        let published = host.token("nhs_user")?;
        let last = server.log(|log| log.last_issued(System::Nhs).cloned())?;
        (last.access_token == published).then_some(())
    });
    let requests = server.log(nhs_requests);
    let refreshes: Vec<_> = requests
        .iter()
        .filter(|request| request.param("grant_type") == "refresh_token")
        .collect();
    assert!(refreshes.len() >= 2, "{requests:#?}");
    let used = |request: &&Request| request.param("refresh_token").to_owned();
    let used: std::collections::BTreeSet<_> = refreshes.iter().map(used).collect();
    assert_eq!(used.len(), refreshes.len(), "each is used once");
    for refresh in refreshes {
        assert_eq!(refresh.param("client_secret"), "nhs/api/secret");
        assert_eq!(refresh.param("client_assertion"), "");
    }
    for exchange in &server.log(exchanges) {
        assert_eq!(exchange.param("client_secret"), "");
        let id_token = "urn:ietf:params:oauth:token-type:id_token";
        assert_eq!(exchange.param("subject_token_type"), id_token);
    }
    let refused = requests.iter().find(|request| request.status != Some(200));
    assert!(refused.is_none(), "{refused:#?}");
    let [first, second, ..] = &server.log(exchanges)[..] else {
        panic!("two exchanges");
    };
    let subject = |request: &Request| request.param("subject_token").to_owned();
    assert_ne!(subject(first), subject(second), "the ID token is new");
    daemon.assert_sound();
}

/// NHS England has no grace: a refresh token used elsewhere is dead, and says so with 401.
#[test]
fn a_refused_refresh_token_leads_to_another_exchange() {
    let key = SigningKey::rsa();
    let mut settings = Settings::with_key(&key);
    settings.nhs.lifetime = Duration::from_secs(600);
    let server = Server::start(settings);
    let host = Host::new();
    host.configure(&separate(&host, &server, &key, ""));
    let daemon = host.start_ready();
    server.with(support::nhs::spend_refresh_tokens);
    let _ = daemon.client(&["refresh", "nhs_user"]);
    let twice = |log: &Log| (exchanges(log).len() >= 2).then_some(());
    server.wait_for("a second exchange", SOON, twice);
    let statuses: Vec<_> = server.log(nhs_requests);
    let statuses: Vec<_> = statuses.iter().map(|request| request.status).collect();
    assert_eq!(statuses.first(), Some(&Some(200)));
    assert_eq!(statuses.get(1), Some(&Some(401)), "the refresh");
    let fresh = || (status_of(&daemon, "nhs_user")["state"] == "fresh").then_some(());
    eventually("a fresh token", SOON, fresh);
}

#[test]
fn who_follows_is_exchanged_anew() {
    let key = SigningKey::rsa();
    let mut settings = Settings::with_key(&key);
    settings.lev.lifetime = Duration::from_secs(4);
    let server = Server::start(settings);
    let host = Host::new();
    let tables = separate(
        &host,
        &server,
        &key,
        "[token.nhs_user.refresh]\nfollow_source = true",
    );
    host.configure(&tables);
    let _daemon = host.start_ready();
    let thrice = |log: &Log| (exchanges(log).len() >= 3).then_some(());
    server.wait_for("three exchanges", SOON, thrice);
    let subjects = server.log(exchanges);
    let mut subjects: Vec<_> = subjects.iter().map(|r| r.param("subject_token")).collect();
    subjects.sort_unstable();
    subjects.dedup();
    assert!(subjects.len() >= 3, "each of another ID token");
}

/// Whoever looks at the end of the chain learns what is wrong at its beginning.
#[test]
fn a_failure_names_its_root() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let host = Host::new();
    host.configure(&separate(&host, &server, &key, ""));
    host.secret("lev-password", "wrong");
    let daemon = host.start();
    let failing = || {
        let status = status_of(&daemon, "nhs_user");
        (status["state"] == "fix_config").then_some(status)
    };
    let status = eventually("the failure", SOON, || {
        std::os::unix::net::UnixStream::connect(host.socket()).ok()?;
        failing()
    });
    assert_eq!(status["reason"], "source");
    assert_eq!(status["made_from"], json!(["cis2"]));
    let error = status["last_error"].as_str().expect("an error");
    assert!(
        error.starts_with("token cis2: ") && error.contains("invalid_grant"),
        "{error}"
    );
    let shown = daemon.client(&["status"]).stdout;
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(shown.contains("nhs_user: made from cis2\n"), "{shown}");
    assert!(shown.contains("source: token cis2: "), "{shown}");
    assert_eq!(server.requests(System::Nhs), 0, "it is not even asked");

    // And the chain goes on by itself once that is mended.
    host.secret("lev-password", "correct horse");
    server.wait_issued(System::Nhs, 1, SOON);
}

/// Three tokens made at Entra's endpoint, from a file, an access token and a refresh token.
fn made_from_everywhere(server: &Server) -> Host {
    let mut host = Host::new();
    host.credential("actor", "actor-1");
    host.secret("subject", "subject-1");
    let entra = host.ardengem(server);
    let made = |name: &str, subject: &str, more: &str| {
        entra.replace("ardengem", name).replace(
            &format!("[token.{name}.grant.client_credentials]"),
            &format!("[token.{name}.grant.token_exchange]\nsubject_token = {subject}\n{more}"),
        )
    };
    let secret = server.with(|state| state.settings.entra.client_secret.clone());
    let mut tables = host.lev(server);
    let more = "actor_token = { credential = \"actor\" }\n\
         actor_token_type = \"urn:ietf:params:oauth:token-type:jwt\"\n\
         requested_token_type = \"urn:ietf:params:oauth:token-type:id_token\"\n";
    for (name, subject, more) in [
        ("file", "{ file = \"@/secrets/subject\" }", more),
        ("access", "{ token = \"lev\" }", ""),
        (
            "refresh",
            "{ token = \"lev\", field = \"refresh_token\" }",
            "",
        ),
    ] {
        host.secret(name, &secret);
        host.secret(&format!("{name}-subscription"), "x");
        tables += &made(name, subject, more);
    }
    let tables = tables.replace(
        "client = \"file\"\n",
        "client = \"file\"\naudience = [\"a\", \"b\"]\nresource = \"https://r.example\"\n",
    );
    host.configure(&tables);
    host
}

/// Every parameter of RFC 8693 section 2.1, of tokens from all the places where one can be.
#[test]
fn subject_and_actor_from_everywhere() {
    let server = Server::start(Settings::default());
    let host = made_from_everywhere(&server);
    // What Keycloak answers when an ID token is asked for: it is in `access_token`, and no access token.
    let answer = json!({
        "access_token": "the-id-token", "token_type": "N_A", "expires_in": 600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:id_token",
    });
    let fault = Fault::Custom(200, "application/json", answer.to_string());
    server.fault_of(System::Entra, Some(&fault));
    let daemon = host.start_ready();
    let with = |name: &str, value: &str| {
        let all = server.log(entra_requests);
        let found = all.iter().find(|request| request.param(name) == value);
        found
            .unwrap_or_else(|| panic!("{name} {value}: {all:#?}"))
            .clone()
    };
    let lev = server.log(|log| log.last_issued(System::Lev).cloned());
    let lev = lev.expect("LEV's token");
    let kind = |name: &str| format!("urn:ietf:params:oauth:token-type:{name}");
    let access = with("subject_token", &lev.access_token);
    assert_eq!(access.param("subject_token_type"), kind("access_token"));
    let refresh_token = lev.refresh_token.expect("a refresh token");
    let refresh = with("subject_token", &refresh_token);
    assert_eq!(refresh.param("subject_token_type"), kind("refresh_token"));
    let file = with("subject_token", "subject-1");
    for (name, value) in [
        ("grant_type", EXCHANGE),
        ("subject_token_type", &kind("jwt")),
        ("actor_token", "actor-1"),
        ("actor_token_type", &kind("jwt")),
        ("requested_token_type", &kind("id_token")),
        ("resource", "https://r.example"),
        ("scope", support::entra::SCOPE),
    ] {
        assert_eq!(file.param(name), value);
    }
    assert!(file.repeated, "audience is");
    assert_eq!(status_of(&daemon, "file")["state"], "fresh");
    let got = daemon.client(&["get", "file"]).stdout;
    assert_eq!(String::from_utf8_lossy(&got).trim(), "the-id-token");

    // Read at each request, even where nobody could see it change.
    host.secret("subject", "subject-2");
    host.write("credentials/actor", "actor-2");
    assert!(daemon.client(&["refresh", "file"]).status.success());
    let again = with("subject_token", "subject-2");
    assert_eq!(again.param("actor_token"), "actor-2");
}

/// Microsoft Entra's federated credentials, as a Kubernetes cluster's projected token and as a token of ours. Each
/// lives for seconds and is replaced before it ends, for the next request.
#[test]
fn a_client_proves_itself_by_another_token() {
    let mut settings = Settings::default();
    settings.lev.lifetime = Duration::from_secs(4);
    settings.lev.id_token_lifetime = Duration::from_secs(4);
    settings.entra.lifetime = Duration::from_secs(6);
    let server = Server::start(settings);
    let host = Host::new();
    let entra = host.ardengem(&server);
    let federated = |name: &str, assertion: &str| {
        host.secret(&format!("{name}-subscription"), "x");
        let method = format!("[client.{name}.auth.client_secret_post]\n");
        let secret = format!("client_secret = {{ file = \"@/secrets/{name}\" }}");
        let ours = format!("[client.{name}.auth.client_assertion]\n");
        let table = entra.replace("ardengem", name).replace(&method, &ours);
        table.replace(&secret, &format!("client_assertion = {assertion}"))
    };
    let minutes = Duration::from_secs(600);
    let projected =
        || server.with(|state| support::id_token::issue(state, "cluster", "api://x", minutes));
    let first = projected();
    host.secret("projected", &first);
    let tables = host.lev(&server)
        + &federated("pod", "{ file = \"@/secrets/projected\" }")
        + &federated("ours", "{ token = \"lev\", field = \"id_token\" }");
    host.configure(&tables);
    let daemon = host.start_ready();
    assert_eq!(status_of(&daemon, "ours")["made_from"], json!(["lev"]));
    let second = projected();
    host.secret("projected", &second);
    let enough = |log: &Log| {
        let mut sent: Vec<_> = entra_requests(log);
        sent.retain(|request| request.status == Some(200));
        sent.sort_by_key(|request| request.param("client_assertion").to_owned());
        sent.dedup_by_key(|request| request.param("client_assertion").to_owned());
        (sent.len() >= 4).then_some(())
    };
    server.wait_for("two assertions of each", SOON, enough);
    let requests = server.log(entra_requests);
    for request in &requests {
        assert_eq!(request.status, Some(200), "{request:#?}");
        assert_eq!(request.param("client_id"), "12345");
        assert_eq!(request.param("client_secret"), "");
    }
    let used = |jwt: &String| requests.iter().any(|r| r.param("client_assertion") == jwt);
    assert!(used(&first) && used(&second));
    daemon.assert_sound();
}
