//! Secrets stay where they belong: canaries everywhere, and then a search for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use support::script;
use support::{Daemon, Fault, Host, RetryAfter, Server, Settings, SigningKey, System};

/// In every secret and every token, and nowhere else.
const CANARY: &str = "cAnArY";
const SOON: Duration = Duration::from_secs(15);

fn settings(key: &SigningKey) -> Settings {
    let mut settings = Settings::with_key(key);
    settings.lev.client_secret = format!("{CANARY}-lev-secret");
    settings.lev.password = format!("{CANARY}-lev-password");
    settings.entra.client_secret = format!("{CANARY}-entra-secret");
    settings.mark = CANARY.into();
    settings
}

/// What must not be found: the canary, and the body of the private key.
struct Search {
    needles: Vec<String>,
    searched: usize,
}

impl Search {
    fn new(key: &SigningKey) -> Self {
        let lines = key
            .private_pem
            .lines()
            .filter(|line| !line.starts_with("---"));
        let mut needles: Vec<String> = lines.map(str::to_owned).collect();
        needles.push(CANARY.into());
        needles.push("subscription-key-0123456789".into());
        Self {
            needles,
            searched: 0,
        }
    }

    #[track_caller]
    fn search(&mut self, place: &str, content: &[u8]) {
        let text = String::from_utf8_lossy(content);
        for needle in &self.needles {
            assert!(!text.contains(needle), "a secret is in {place}: {text}");
        }
        self.searched += 1;
    }

    fn search_tree(&mut self, dir: &Path, except: &[&str]) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if except.contains(&name.as_str()) {
                continue;
            }
            self.search("a file's name", name.as_bytes());
            if path.is_dir() {
                self.search_tree(&path, except);
            } else if let Ok(content) = fs::read(&path) {
                self.search(&path.display().to_string(), &content);
            }
        }
    }

    fn search_process(&mut self, daemon: &Daemon) {
        for file in ["cmdline", "environ", "comm", "status"] {
            // Not dumpable: even the owner may be refused, and that is fine too.
            let path = format!("/proc/{}/{file}", daemon.pid());
            if let Ok(content) = fs::read(&path) {
                self.search(&path, &content);
            }
        }
        for arguments in [&["status"][..], &["status", "--json"]] {
            let output = daemon.client(arguments);
            self.search("status", &output.stdout);
            self.search("status", &output.stderr);
        }
    }
}

fn provoke(server: &Server, host: &Host, daemon: &Daemon) {
    let echo = format!("{{\"error\":\"x\",\"access_token\":\"{CANARY}\",\"note\":\"{CANARY}\"}}");
    let faults = [
        Fault::Custom(400, "application/json", echo.clone()),
        Fault::Custom(500, "text/html", format!("<p>{CANARY}</p>")),
        Fault::Custom(200, "application/json", echo),
        Fault::TooManyRequests(RetryAfter::Seconds(1)),
        Fault::ResetMidBody,
        Fault::InvalidGrant,
    ];
    for (met, fault) in faults.into_iter().enumerate() {
        for system in System::ALL {
            server.queue_fault(system, fault.clone());
        }
        daemon.signal(Signal::USR1);
        let all_met = |log: &support::Log| (log.faults >= 3 * (met + 1)).then_some(());
        // Waits grow with every failure.
        server.wait_for("all three to meet the fault", SOON * 4, all_met);
    }
    // Bad secrets and configurations, which errors are written about.
    host.secret(
        "nhs.pem",
        &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n"),
    );
    host.secret("ardengem", &format!("{CANARY}\nsecond line\n"));
    let literal =
        format!("[client.l]\nissuer = \"https://x.example\"\nclient_secret = \"{CANARY}\"\n");
    host.drop_in("90-literal.toml", &literal);
    support::eventually("the literal secret's refusal", SOON, || {
        let status = daemon.status_json();
        status["daemon"]["configuration_error"]
            .as_str()
            .map(str::to_owned)
    });
    fs::remove_file(host.path("conf.d/90-literal.toml")).expect("the drop-in");
}

fn run(arguments: &[&str]) {
    let key = SigningKey::rsa();
    let server = Server::start(settings(&key));
    let mut host = Host::new();
    host.credential(
        "bearerd-state-key",
        &format!("{CANARY}-state-key-0123456789abcdef"),
    );
    host.variable("RUST_LOG", "trace");
    let tables = host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", &key);
    host.configure(&tables);
    let trace = fs::read_to_string(host.config_path()).expect("the configuration");
    host.write(
        "bearerd.toml",
        &trace.replace("log = \"debug\"", "log = \"trace\""),
    );
    let daemon = Daemon::start(&host, arguments);
    daemon.wait_ready(SOON);
    assert!(
        host.token("lev")
            .is_some_and(|token| token.contains(CANARY)),
        "the canary sings"
    );
    provoke(&server, &host, &daemon);

    let mut search = Search::new(&key);
    // Signed, they cannot sing.
    let id_tokens = server.with(|state| state.id_tokens.clone());
    assert!(!id_tokens.is_empty());
    search.needles.extend(id_tokens);
    search.search_process(&daemon);
    let check = support::daemon::command(&host)
        .args(["check", "--config"])
        .arg(host.config_path())
        .output()
        .expect("the binary");
    search.search("check", &check.stdout);
    search.search("check", &check.stderr);
    let log = daemon.logged();
    assert!(log.lines().count() > 20, "a log worth searching: {log}");
    for notice in daemon.notices() {
        search.search("a notice", notice.lines.join("\n").as_bytes());
    }
    daemon.stop();
    search.search_tree(
        &host.path(""),
        &["secrets", "credentials", "state", "tokens"],
    );
    assert!(search.searched > 20, "{}", search.searched);
}

#[test]
fn no_secret_in_text_logs_or_anywhere_else() {
    run(&["--log-format", "text"]);
}

#[test]
fn no_secret_in_json_logs_or_anywhere_else() {
    run(&["--log-format", "json"]);
}

/// One token for each grant that the three systems do not use, and each made of secrets.
const OTHER_GRANTS: &str = r#"
[client.exchange]
token_endpoint = "@SERVER/token"
client_id = { http = "document", pointer = "/id" }
[client.exchange.auth.client_secret_basic]
client_secret = { http = "document", pointer = "/secret" }
[http.document]
url = "@SERVER/document"
headers = { apikey = { file = "@/secrets/canary" } }
[token.exchange]
client = "exchange"
[token.exchange.grant.token_exchange]
subject_token = { file = "@/secrets/canary" }
[client.federated]
token_endpoint = "@SERVER/token"
client_id = "federated"
[client.federated.auth.client_assertion]
client_assertion = { file = "@/secrets/canary" }
[token.federated]
client = "federated"
[token.federated.grant.client_credentials]
[client.asserted]
token_endpoint = "@SERVER/token"
client_id = "asserted"
[client.asserted.auth.none]
[token.asserted]
client = "asserted"
[token.asserted.grant.jwt_bearer]
key = { file = "@/secrets/key.pem" }
alg = "RS256"
[token.github]
[token.github.grant.github_app]
api = "@SERVER"
client_id = "Iv23liABC"
installation_id = 42
key = { file = "@/secrets/key.pem" }
[token.http]
[token.http.grant.http]
url = "@SERVER/http"
bearer = { file = "@/secrets/canary" }
headers = { X-Api-Key = { file = "@/secrets/canary" } }
token = "/access_token"
expires_in = "/expires_in"
[token.command]
assume_lifetime = "10m"
[token.command.grant.command]
command = ["@/program"]
"#;

/// Answers every grant, or refuses it with all that it was sent.
fn other_server(refusing: Arc<AtomicBool>) -> (tokio::runtime::Runtime, script::Server) {
    script::serving(move |seen| {
        let token = format!("{CANARY}-token");
        if refusing.load(Ordering::SeqCst) {
            let echo = format!("{} {}", seen.body, seen.head);
            let body = json!({"error": "x", "error_description": echo, "message": echo});
            return script::answer(400, "", &body.to_string());
        }
        let body = json!({
            "access_token": token, "expires_in": 600, "token_type": "Bearer", "token": token,
            "expires_at": "2100-01-01T00:00:00Z", "id": "exchange", "secret": format!("{CANARY}-secret"),
        });
        script::answer(200, "", &body.to_string())
    })
}

#[test]
fn no_secret_of_the_other_grants_is_anywhere_else() {
    let refusing = Arc::new(AtomicBool::new(false));
    let (_runtime, server) = other_server(Arc::clone(&refusing));
    let key = SigningKey::rsa();
    let mut host = Host::new();
    host.variable("RUST_LOG", "trace");
    host.secret("canary", &format!("{CANARY}-secret"));
    host.secret("key.pem", &key.private_pem);
    let program = |text: &str| {
        let path = host.write("program", &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    };
    program(&format!("echo {CANARY}-printed"));
    host.configure(&OTHER_GRANTS.replace("@SERVER", &server.url("")));
    let config = fs::read_to_string(host.config_path()).unwrap();
    host.write(
        "bearerd.toml",
        &config.replace("log = \"debug\"", "log = \"trace\""),
    );
    let daemon = host.start_ready();
    let names = [
        "asserted",
        "command",
        "exchange",
        "federated",
        "github",
        "http",
    ];
    for name in names {
        let got = daemon.client(&["get", name]);
        let text = String::from_utf8_lossy(&got.stdout);
        assert!(text.contains(CANARY), "the canary sings: {name}");
    }
    refusing.store(true, Ordering::SeqCst);
    program(&format!("echo {CANARY} | tee /dev/stderr; exit 1"));
    let mut search = Search::new(&key);
    // How every assertion begins.
    search.needles.push("eyJhbGciOi".into());
    for name in names {
        let refused = daemon.client(&["refresh", name]);
        assert_ne!(refused.status.code(), Some(0), "{name}");
        search.search(name, &refused.stderr);
    }
    search.search_process(&daemon);
    let log = daemon.logged();
    for name in names {
        assert!(log.contains(name), "a log worth searching: {log}");
    }
    search.search("the log", log.as_bytes());
    daemon.stop();
    search.search_tree(
        &host.path(""),
        &["secrets", "credentials", "state", "program"],
    );
}

/// A literal secret in the configuration is refused, and not repeated.
#[test]
fn a_literal_secret_is_refused_without_being_shown() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let literal = format!("client_secret = \"{CANARY}\"");
    let reference = "client_secret = { file = \"@/secrets/ardengem\" }";
    host.configure(&host.ardengem(&server).replace(reference, &literal));
    for command in ["check", "run"] {
        let output = support::daemon::command(&host)
            .args([command, "--config"])
            .arg(host.config_path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{text}");
        assert!(
            text.contains("client_secret") && !text.contains(CANARY),
            "{text}"
        );
    }
}
