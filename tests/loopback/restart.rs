//! Power cuts, restarts, and what is on disk in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::{Fault, Host, Log, Reader, Server, Settings, SigningKey, System};

const SOON: Duration = Duration::from_secs(15);
const STATE_KEY: &str = "bearerd-state-key";

/// As after a reboot: whatever was on a tmpfs is gone.
fn forget_outputs(host: &Host) {
    for path in files_below(&host.path("tokens")) {
        fs::remove_file(path).expect("a file of ours");
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn state_holds(host: &Host, needle: &str) -> bool {
    let needle = needle.as_bytes();
    let holds = |path: PathBuf| {
        let content = fs::read(path).unwrap_or_default();
        content.windows(needle.len()).any(|window| window == needle)
    };
    files_below(&host.path("state")).into_iter().any(holds)
}

fn outlives_an_outage(host: &Host, key: &SigningKey) -> Server {
    let server = Server::start(Settings::with_key(key));
    let tables = host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", key);
    host.configure(&tables);
    let names = ["lev", "ardengem.headers", "nhs"];
    host.start_ready().kill();
    let before = names.map(|name| host.token(name));
    forget_outputs(host);
    server.outage(true);
    let requests = server.log(|log| log.requests.len());

    let daemon = host.start_ready();
    assert_eq!(names.map(|name| host.token(name)), before);
    assert!(before.iter().all(Option::is_some));
    server.outage(false);
    assert_eq!(
        server.log(|log| log.requests.len()),
        requests,
        "still valid: nothing to ask for"
    );
    for path in files_below(&host.path("state")) {
        assert_eq!(support::host::mode(&path) & 0o077, 0, "{}", path.display());
    }
    daemon.assert_sound();
    server
}

#[test]
fn valid_tokens_outlive_a_crash_and_an_outage() {
    let host = Host::new();
    let server = outlives_an_outage(&host, &SigningKey::rsa());
    let daemon = host.start_ready();
    let warnings = daemon.status_json()["daemon"]["warnings"].to_string();
    assert!(
        warnings.contains("seal"),
        "an unsealed state is said aloud: {warnings}"
    );
    drop(server);
}

#[test]
fn and_so_they_do_sealed() {
    let mut host = Host::new();
    host.credential(STATE_KEY, "0123456789abcdef0123456789abcdef");
    let server = outlives_an_outage(&host, &SigningKey::rsa());
    let secrets = server.log(|log| {
        let refresh = log.issued.iter().filter_map(|i| i.refresh_token.clone());
        let access = log.issued.iter().map(|i| i.access_token.clone());
        refresh.chain(access).collect::<Vec<_>>()
    });
    assert!(secrets.len() >= 4);
    assert!(
        !secrets.iter().any(|secret| state_holds(&host, secret)),
        "sealed"
    );
    let daemon = host.start_ready();
    let status = daemon.status_json();
    assert!(
        !status["daemon"]["warnings"].to_string().contains("seal"),
        "{status}"
    );
}

/// A state file that makes no sense is set aside and stops nothing.
#[test]
fn corrupt_state_is_set_aside() {
    for garbage in ["", "\0\0\0", "{\"version\":1", "{\"version\":999999}"] {
        let server = Server::start(Settings::default());
        let host = Host::new();
        host.configure(&host.lev(&server));
        host.start_ready().kill();
        let files = files_below(&host.path("state"));
        assert!(!files.is_empty());
        for path in &files {
            let relative = path.strip_prefix(host.path("")).unwrap();
            host.write(relative.to_str().unwrap(), garbage);
        }
        let daemon = host.start();
        server.wait_issued(System::Lev, 2, SOON);
        daemon.wait_ready(SOON);
        let warnings = daemon.status_json()["daemon"]["warnings"].to_string();
        assert!(warnings.len() > 2, "reported: {warnings}");
        let kept = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text == garbage);
        assert!(
            files_below(&host.path("state")).iter().any(kept),
            "set aside, not deleted"
        );
        daemon.assert_sound();
    }
}

fn token_status(daemon: &support::Daemon) -> Value {
    daemon.status_json()["tokens"][0].clone()
}

/// The seed is used once; from then on the state's own refresh token, across restarts.
#[test]
fn a_rotated_refresh_token_survives_a_crash() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.nhs_user(&server));
    for _ in 0..3 {
        let daemon = host.start_ready();
        let next = server.issued(System::Nhs) + 1;
        daemon.signal(Signal::USR1);
        server.wait_issued(System::Nhs, next, SOON);
        support::eventually("a fresh token", SOON, || {
            let newest =
                server.log(|log| log.last_issued(System::Nhs)?.access_token.clone().into());
            (host.token("nhs_user") == newest).then_some(())
        });
        daemon.kill();
    }
    let statuses = server.log(|log| log.requests.iter().map(|r| r.status).collect::<Vec<_>>());
    assert!(
        statuses.iter().all(|status| *status == Some(200)),
        "{statuses:?}"
    );
    assert_eq!(statuses.len(), 4);
}

/// The server rotated, the answer got lost, the daemon died. What is still valid is still served; what the
/// server has thrown away is reported.
#[test]
fn a_lost_rotation_is_reported_and_the_valid_token_served() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.nhs_user(&server));
    let daemon = host.start_ready();
    let valid = host.token("nhs_user").expect("a token");
    server.queue_fault(System::Nhs, Fault::LostReply);
    let next = server.issued(System::Nhs) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Nhs, next, SOON);
    daemon.kill();
    forget_outputs(&host);

    let daemon = host.start_ready();
    assert_eq!(host.token("nhs_user"), Some(valid.clone()));
    daemon.signal(Signal::USR1);
    let status = support::eventually("the loss in status", SOON, || {
        let status = token_status(&daemon);
        (status["reason"] == "rotation_lost").then_some(status)
    });
    assert_eq!(status["state"], "needs_login");
    assert_eq!(host.token("nhs_user"), Some(valid));

    host.secret("seed", &server.seed_refresh_token());
    server.wait_issued(System::Nhs, 3, SOON);
    support::eventually("recovery by a new seed", SOON, || {
        (token_status(&daemon)["state"] == "fresh").then_some(())
    });
}

/// With a password there is nothing to lose: the spent refresh token is not presented again, which would
/// end the session and with it the token still served.
#[test]
fn a_lost_rotation_with_a_password_goes_unnoticed() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    let valid = host.token("lev").expect("a token");
    server.queue_fault(System::Lev, Fault::LostReply);
    let next = server.issued(System::Lev) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Lev, next, SOON);
    daemon.kill();
    forget_outputs(&host);
    let daemon = host.start_ready();
    assert!(server.check(&valid));
    daemon.signal(Signal::USR1);
    support::eventually("the next token", SOON, || {
        host.token("lev").filter(|t| *t != valid)
    });
    assert!(server.check(&valid), "its session was ended by a reuse");
    assert_eq!(token_status(&daemon)["state"], "fresh");
}

/// A hundred power cuts at random instants, tokens of two seconds, rotation with reuse detection.
#[test]
fn a_hundred_power_cuts() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| power_cuts(25));
        }
    });
}

fn power_cuts(cuts: u32) {
    let server = Server::start(Settings::default().lifetime(Duration::from_secs(2)));
    let host = Host::new();
    host.configure(&host.lev(&server));
    host.start_ready().kill();
    let reader = Reader::start(host.path("tokens/lev"), &server);
    for _ in 0..cuts {
        let daemon = host.start();
        let random = support::keys::random_text(8)
            .bytes()
            .map(u64::from)
            .sum::<u64>();
        assert!(!daemon.exits_within(Duration::from_millis(random * 37 % 900)));
        assert!(!daemon.logged().contains("panicked"));
        daemon.kill();
    }
    let daemon = host.start_ready();
    let readings = reader.stop();
    assert_eq!((readings.garbled, readings.missing), (0, 0), "{readings:?}");
    assert!(readings.tokens >= 3, "{readings:?}");
    server.wait_issued(System::Lev, server.issued(System::Lev) + 2, SOON);
    let newest = |log: &Log| Some(log.last_issued(System::Lev)?.access_token.clone());
    support::eventually("the newest token", SOON, || {
        (host.token("lev") == server.log(newest)).then_some(())
    });
    let status = token_status(&daemon);
    assert_eq!(
        (&status["state"], status["failures"].as_u64()),
        (&"fresh".into(), Some(0))
    );
    assert_eq!(server.with(|state| state.lev.wrong_passwords), 0);
    let left: Vec<_> = files_below(&host.path("tokens"));
    assert_eq!(left, [host.path("tokens/lev")], "no temporary files stay");
}
