//! Living with change: configuration, secrets and keys replaced under a running daemon.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::{Daemon, Host, Server, Settings, SigningKey, System};

const SOON: Duration = Duration::from_secs(10);

fn status_of(daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status_json();
    let tokens = status["tokens"].as_array().expect("a list of tokens");
    let found = tokens.iter().find(|token| token["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

fn wait_state(daemon: &Daemon, name: &str, state: &str) -> Value {
    support::eventually(&format!("{name} {state}"), SOON, || {
        let status = status_of(daemon, name);
        (status["state"] == state).then_some(status)
    })
}

fn configuration_error(daemon: &Daemon) -> Option<String> {
    let error = &daemon.status_json()["daemon"]["configuration_error"];
    error.as_str().map(str::to_owned)
}

#[test]
fn a_drop_in_comes_and_goes() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    let lev = host.token("lev");

    let drop_in = host.drop_in("20-ardengem.toml", &host.ardengem(&server));
    support::eventually("the new token", SOON, || host.token("ardengem.headers"));
    fs::remove_file(drop_in).unwrap();
    support::eventually("the removed token's file to go", SOON, || {
        host.token("ardengem.headers").is_none().then_some(())
    });
    assert_eq!(status_of(&daemon, "ardengem"), Value::Null);
    assert_eq!(host.token("lev"), lev);
    assert_eq!(
        server.log(|log| log.token_requests(System::Lev)),
        1,
        "unchanged: not obtained anew"
    );
    daemon.assert_sound();
}

#[test]
fn a_changed_output_moves_and_the_token_stays() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.lev(&server);
    host.configure(&tables);
    let daemon = host.start_ready();
    let lev = host.token("lev");
    host.configure(&tables.replace("@/tokens/lev", "@/tokens/moved"));
    daemon.reload();
    support::eventually("the file at its new place", SOON, || {
        (host.token("moved") == lev && host.token("lev").is_none()).then_some(())
    });
    assert_eq!(server.log(|log| log.token_requests(System::Lev)), 1);
}

#[test]
fn a_changed_header_is_written_and_the_token_stays() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    let daemon = host.start_ready();
    host.secret("ardengem-subscription", "another-subscription-key");
    let headers = support::eventually("the new header", SOON, || {
        let headers = fs::read_to_string(host.path("tokens/ardengem.headers")).ok()?;
        headers
            .contains("another-subscription-key")
            .then_some(headers)
    });
    let token = host.token("ardengem.headers").expect("a token");
    assert!(headers.contains(&token), "{headers}");
    assert_eq!(server.log(|log| log.token_requests(System::Entra)), 1);
    daemon.assert_sound();
}

#[test]
fn a_broken_file_changes_nothing_and_is_reported() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.lev(&server);
    host.configure(&tables);
    let daemon = host.start_ready();
    let lev = host.token("lev");
    for broken in [
        tables.replace("[token.lev.grant.password]", "[token.lev.grant.passwort]"),
        tables.replace("client = \"lev\"", "client = \"levv\""),
        tables + "\n[token.half",
    ] {
        host.configure(&broken);
        let error =
            support::eventually("the error in status", SOON, || configuration_error(&daemon));
        let place = format!("{}:", host.config_path().display());
        let (_, after) = error.split_once(&place).expect(&error);
        assert!(
            after.starts_with(|c: char| c.is_ascii_digit()),
            "a line number: {error}"
        );
        assert_eq!(host.token("lev"), lev);
        assert_eq!(status_of(&daemon, "lev")["state"], "fresh");
        host.configure(&host.lev(&server));
        support::eventually("the mending noticed", SOON, || {
            configuration_error(&daemon).is_none().then_some(())
        });
    }
    assert_eq!(server.log(|log| log.token_requests(System::Lev)), 1);
    daemon.assert_sound();
}

/// A secret that was wrong and is mended is used at once.
#[test]
fn a_mended_secret_is_used_at_once() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    let daemon = host.start_ready();
    let valid = host.token("ardengem.headers");
    server.change(|settings| settings.entra.client_secret = "the new one".into());
    daemon.signal(Signal::USR1);
    let status = wait_state(&daemon, "ardengem", "fix_config");
    assert!(status["hint"].is_string(), "{status}");
    assert_eq!(
        host.token("ardengem.headers"),
        valid,
        "the valid token stays"
    );
    host.secret("ardengem", "the new one");
    server.wait_issued(System::Entra, 2, SOON);
    wait_state(&daemon, "ardengem", "fresh");
}

#[test]
fn a_replaced_key_signs_the_next_assertion() {
    let (old, new) = (SigningKey::rsa(), SigningKey::rsa());
    let server = Server::start(Settings::with_key(&old));
    let host = Host::new();
    host.configure(&host.nhs(&server, "test-1", &old));
    let daemon = host.start_ready();

    // Half written: the old key stays in use, and the trouble is said.
    host.secret("nhs.pem", &new.private_pem[..200]);
    support::eventually("the bad key in the log", SOON, || {
        daemon.logged().contains("nhs.pem").then_some(())
    });
    let next = server.issued(System::Nhs) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Nhs, next, SOON);
    // While that answer is on its way, nobody is heard who asks for another.
    support::eventually("the second token", SOON, || {
        let generation = daemon.status_json()["tokens"][0]["generation"].as_u64();
        (generation == Some(2)).then_some(())
    });

    server.change(|settings| {
        let keys = &mut settings.nhs.public_keys;
        keys.insert("test-1".into(), new.public_der.clone());
    });
    host.secret("nhs.pem", &new.private_pem);
    let next = server.issued(System::Nhs) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Nhs, next, SOON);
    wait_state(&daemon, "nhs", "fresh");
    daemon.assert_sound();
}

/// As Kubernetes updates a mounted secret: `..data` is a symbolic link that is swapped.
#[test]
fn a_secret_swapped_by_symbolic_link() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host
        .ardengem(&server)
        .replace("@/secrets/ardengem\"", "@/secrets/k8s/ardengem\"");
    let swap = |version: &str, value: &str| {
        fs::create_dir_all(host.path(&format!("secrets/k8s/..{version}"))).unwrap();
        host.secret(&format!("k8s/..{version}/ardengem"), value);
        let new = host.path("secrets/k8s/..data_tmp");
        symlink(format!("..{version}"), &new).unwrap();
        fs::rename(new, host.path("secrets/k8s/..data")).unwrap();
    };
    swap("2026_01", "entra~secret.8Q~");
    symlink("..data/ardengem", host.path("secrets/k8s/ardengem")).unwrap();
    host.configure(&tables);
    let daemon = host.start_ready();
    server.change(|settings| settings.entra.client_secret = "the second".into());
    daemon.signal(Signal::USR1);
    wait_state(&daemon, "ardengem", "fix_config");
    swap("2026_02", "the second");
    server.wait_issued(System::Entra, 2, SOON);
    wait_state(&daemon, "ardengem", "fresh");
}

#[test]
fn a_secret_that_appears_later() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&(host.lev(&server) + &host.ardengem(&server)));
    fs::remove_file(host.path("secrets/ardengem")).unwrap();
    let daemon = host.start();
    support::eventually("the other token", SOON, || host.token("lev"));
    let status = wait_state(&daemon, "ardengem", "fix_config");
    assert!(
        status["last_error"]
            .to_string()
            .contains("secrets/ardengem"),
        "{status}"
    );
    host.secret("ardengem", "entra~secret.8Q~");
    daemon.wait_ready(SOON);
    assert!(host.token("ardengem.headers").is_some());
}

/// Every request anew reads what is there: a new client id by SIGHUP obtains anew, once.
#[test]
fn a_changed_client_obtains_anew() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    host.configure(&tables);
    let daemon = host.start_ready();
    let first = host.token("ardengem.headers").expect("a token");
    server.change(|settings| settings.entra.client_id = "67890".into());
    host.configure(&tables.replace("\"12345\"", "\"67890\""));
    daemon.reload();
    support::eventually("the new client's token", SOON, || {
        host.token("ardengem.headers")
            .filter(|token| *token != first)
    });
    let used = server.log(|log| {
        log.last_request(System::Entra)
            .map(|r| r.param("client_id").to_owned())
    });
    assert_eq!(used.as_deref(), Some("67890"));
    assert_eq!(server.log(|log| log.token_requests(System::Entra)), 2);
    daemon.assert_sound();
}

/// What changed while the configuration was broken is not forgotten when it is mended.
#[test]
fn a_secret_replaced_under_a_refused_configuration_is_used_after_it() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    host.configure(&tables);
    let daemon = host.start_ready();
    let refusals = || daemon.logged().matches("configuration is refused").count();
    host.configure(&(tables.clone() + "\n[token.half"));
    support::eventually("a refusal", SOON, || (refusals() == 1).then_some(()));
    server.change(|settings| settings.entra.client_secret = "the second".into());
    host.secret("ardengem", "the second");
    support::eventually("another", SOON, || (refusals() == 2).then_some(()));
    host.configure(&tables);
    support::eventually("the mending noticed", SOON, || {
        configuration_error(&daemon).is_none().then_some(())
    });
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Entra, 2, SOON);
    assert_eq!(wait_state(&daemon, "ardengem", "fresh")["failures"], 0);
}

#[test]
fn what_waits_for_the_next_start_is_said() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.lev(&server);
    host.configure(&tables);
    let daemon = host.start_ready();
    let is_said = || {
        let warnings = daemon.status_json()["daemon"]["warnings"].to_string();
        warnings.contains("[daemon] has changed")
    };
    assert!(!is_said());
    let notify = "[daemon.notify]\ncommand = [\"/bin/true\"]\n";
    host.configure(&format!("{tables}{notify}"));
    daemon.reload();
    assert!(is_said());
    host.configure(&tables);
    daemon.reload();
    assert!(!is_said(), "it is as it was");
    assert_eq!(daemon.logged().matches("[daemon] has changed").count(), 1);
}

/// A key of no use is in the warnings until it is replaced, whatever else is loaded meanwhile.
#[test]
fn a_bad_key_is_warned_of_until_it_is_replaced() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let host = Host::new();
    host.configure(&host.nhs(&server, "test-1", &key));
    let daemon = host.start_ready();
    let warned = || {
        let warnings = daemon.status_json()["daemon"]["warnings"].to_string();
        warnings.contains("client nhs")
    };
    host.secret("nhs.pem", &key.private_pem[..200]);
    support::eventually("the warning", SOON, || warned().then_some(()));
    host.drop_in("20-lev.toml", &host.lev(&server));
    support::eventually("another load", SOON, || host.token("lev"));
    assert!(warned(), "the key is still bad");
    host.secret("nhs.pem", &key.private_pem);
    support::eventually("the end of the warning", SOON, || (!warned()).then_some(()));
}

/// A header's secret goes into the file when it changes, not only with the next token.
#[test]
fn a_changed_header_is_written_at_once() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    let daemon = host.start_ready();
    host.secret("ardengem-subscription", "subscription-key-of-next-year");
    support::eventually("the new header", SOON, || {
        let text = host.token("ardengem.headers")?;
        text.contains("subscription-key-of-next-year").then_some(())
    });
    assert_eq!(server.requests(System::Entra), 1);
    daemon.assert_sound();
}

/// Its outputs of before end first: they must not remove what the new ones have written.
#[test]
fn a_token_that_comes_back_keeps_its_file() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let hook = "[[token.ardengem.hook]]\ncommand = [\"sleep\", \"2\"]\n";
    let tables = host.ardengem(&server) + hook;
    host.configure(&tables);
    let daemon = host.start_ready();
    let token = host.token("ardengem.headers");
    assert!(token.is_some());
    host.configure("");
    daemon.reload();
    host.configure(&tables);
    daemon.reload();
    // Longer than the hook that was running.
    support::pause(Duration::from_secs(3));
    assert_eq!(host.token("ardengem.headers"), token);
    assert_eq!(status_of(&daemon, "ardengem")["state"], "fresh");
}
