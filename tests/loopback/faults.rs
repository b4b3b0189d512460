//! Whatever goes wrong at the authorization server: the daemon lives, keeps what is valid published, does
//! not storm, and recovers by itself.

use std::time::Duration;

use rustix::process::Signal;
use support::{Daemon, Fault, Host, Reader, RetryAfter, Server, Settings, SigningKey, System};

/// For as long as the trouble lasts.
const TROUBLE: Duration = Duration::from_secs(6);
/// Long enough to outlive the trouble and the longest wait after it.
const LIFETIME: Duration = Duration::from_secs(40);

const FILES: [&str; 3] = ["lev", "ardengem.headers", "nhs"];

enum Trouble {
    Faulty(Fault),
    Refused,
}

/// All three tokens ride out the trouble, each case on a thread of its own with its own server and daemon.
#[test]
fn every_fault_is_survived() {
    let key = SigningKey::rsa();
    let late = RetryAfter::Date(Duration::from_secs(2));
    let html = "<html><body>502 Bad Gateway</body></html>";
    let cases = [
        ("refused", Trouble::Refused),
        ("hang", Trouble::Faulty(Fault::Hang)),
        ("reset", Trouble::Faulty(Fault::ResetMidBody)),
        ("closed", Trouble::Faulty(Fault::CloseBeforeReply)),
        ("lost", Trouble::Faulty(Fault::LostReply)),
        ("500", Trouble::Faulty(Fault::Status(500))),
        (
            "502",
            Trouble::Faulty(Fault::Custom(502, "text/html", html.into())),
        ),
        ("503", Trouble::Faulty(Fault::Status(503))),
        (
            "429",
            Trouble::Faulty(Fault::TooManyRequests(RetryAfter::None)),
        ),
        ("429-date", Trouble::Faulty(Fault::TooManyRequests(late))),
        ("302", Trouble::Faulty(Fault::Redirect302)),
        ("html", Trouble::Faulty(Fault::Html200)),
        ("endless", Trouble::Faulty(Fault::EndlessBody)),
        ("drip", Trouble::Faulty(Fault::SlowDrip)),
        (
            "empty",
            Trouble::Faulty(Fault::Custom(200, "application/json", String::new())),
        ),
        (
            "null",
            Trouble::Faulty(Fault::Custom(200, "application/json", "null".into())),
        ),
    ];
    std::thread::scope(|scope| {
        for (name, trouble) in &cases {
            let thread = std::thread::Builder::new().name((*name).into());
            let ride_out = || ride_out(trouble, &key);
            thread.spawn_scoped(scope, ride_out).expect("a thread");
        }
    });
}

fn ride_out(trouble: &Trouble, key: &SigningKey) {
    let server = Server::start(Settings::with_key(key).lifetime(LIFETIME));
    let host = Host::new();
    let tables = host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", key);
    host.configure(&tables);
    let mut daemon = host.start_ready();
    let readers = FILES.map(|file| Reader::start(host.path("tokens").join(file), &server));

    let before = System::ALL.map(|system| server.requests(system));
    match trouble {
        Trouble::Faulty(fault) => server.fault(Some(fault)),
        Trouble::Refused => server.outage(true),
    }
    daemon.signal(Signal::USR1);
    assert!(!daemon.exits_within(TROUBLE), "the daemon has ended");
    for (system, before) in System::ALL.into_iter().zip(before) {
        // Never closer than a second apart, and ever further.
        let sent = server.requests(system) - before;
        assert!(sent <= 6, "a storm on {system:?}: {sent} requests");
    }
    let met = server.log(|log| log.faults);
    assert_eq!(
        met == 0,
        matches!(trouble, Trouble::Refused),
        "{met} faults met"
    );
    assert_failing(&daemon);

    let lost = server.log(|log| log.issued.len());
    match trouble {
        Trouble::Faulty(_) => server.fault(None),
        Trouble::Refused => server.outage(false),
    }
    let recovered = |log: &support::Log| {
        let new = &log.issued[lost..];
        let all = System::ALL
            .iter()
            .all(|system| new.iter().any(|i| i.system == *system));
        all.then_some(())
    };
    server.wait_for("recovery", Duration::from_secs(30), recovered);
    support::eventually("fresh status", Duration::from_secs(5), || {
        let status = daemon.status_json();
        let mut tokens = status["tokens"].as_array()?.iter();
        tokens.all(|token| token["state"] == "fresh").then_some(())
    });
    assert_nothing_rejected(readers);
    assert_eq!(server.with(|state| state.lev.wrong_passwords), 0);
    assert!(!daemon.logged().contains("panicked"));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_exit(Duration::from_secs(5)).success());
}

fn assert_nothing_rejected(readers: [Reader; 3]) {
    let second = || {
        readers
            .iter()
            .all(|r| r.readings().tokens >= 2)
            .then_some(())
    };
    support::eventually("the second token read", Duration::from_secs(10), second);
    for reader in readers {
        let readings = reader.stop();
        assert!(readings.reads > 500, "{readings:?}");
        assert_eq!(
            (readings.rejected, readings.garbled, readings.missing),
            (0, 0, 0)
        );
    }
}

fn assert_failing(daemon: &Daemon) {
    let failing = daemon.status_json();
    for token in failing["tokens"].as_array().expect("a list of tokens") {
        assert_eq!(token["state"], "transient", "{token}");
        assert!(token["failures"].as_u64() > Some(0), "{token}");
        assert!(
            token["expires_in"].as_u64() > Some(0),
            "the last good one stays: {token}"
        );
    }
}

#[test]
fn retry_after_is_heeded() {
    let server = Server::start(Settings::default().lifetime(LIFETIME));
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    let daemon = host.start_ready();
    let throttled = Fault::TooManyRequests(RetryAfter::Seconds(4));
    server.queue_fault(System::Entra, throttled);
    let next = server.issued(System::Entra) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Entra, next, Duration::from_secs(15));
    let (refused, next) = server.log(|log| {
        let asked: Vec<_> = log.requests.iter().filter(|r| r.asks_for_token()).collect();
        (asked[asked.len() - 2].at, asked[asked.len() - 1].at)
    });
    assert!(
        next - refused >= Duration::from_secs(4),
        "{:?}",
        next - refused
    );
    daemon.assert_sound();
}

/// A refused password must not be sent again: the account would be locked.
#[test]
fn a_refused_password_is_sent_once() {
    let server = Server::start(Settings::default().lifetime(Duration::from_secs(4)));
    let host = Host::new();
    host.configure(&host.lev(&server));
    host.secret("lev-password", "an old one");
    // A file of the same kernel tick as the start counts as changed since.
    support::pause(Duration::from_millis(50));
    let daemon = host.start();
    server.wait_requests(System::Lev, 1, Duration::from_secs(10));
    assert!(!daemon.exits_within(Duration::from_secs(5)));
    assert_eq!(server.with(|state| state.lev.wrong_passwords), 1);
    let status = daemon.status_json();
    let token = &status["tokens"][0];
    assert_eq!(
        (&token["state"], &token["reason"]),
        (&"fix_config".into(), &"password_refused".into())
    );

    host.secret("lev-password", "correct horse");
    daemon.wait_ready(Duration::from_secs(10));
    assert_eq!(server.with(|state| state.lev.wrong_passwords), 0);
}

/// The refresh token is refused, the password still works: nobody notices.
#[test]
fn a_refused_refresh_token_falls_back_to_the_password() {
    let server = Server::start(Settings::default().lifetime(LIFETIME));
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    let first = host.token("lev").expect("a token");
    let requests = server.requests(System::Lev);
    server.queue_fault(System::Lev, Fault::InvalidGrant);
    let next = server.issued(System::Lev) + 1;
    daemon.signal(Signal::USR1);
    server.wait_issued(System::Lev, next, Duration::from_secs(10));
    let grants: Vec<String> = server.log(|log| {
        let asked = log.requests.iter().filter(|r| r.asks_for_token());
        let asked = asked.skip(requests);
        asked.map(|r| r.param("grant_type").to_owned()).collect()
    });
    assert_eq!(grants, ["refresh_token", "password"]);
    support::eventually("the new token", Duration::from_secs(5), || {
        host.token("lev").filter(|token| *token != first)
    });
    daemon.assert_sound();
}

/// One request, however many ask, and one at a time.
#[test]
fn many_signals_make_one_request_at_a_time() {
    let server = Server::start(Settings::default().lifetime(LIFETIME));
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    let daemon = host.start_ready();
    let before = server.requests(System::Entra);
    server.fault(Some(&Fault::Hang));
    for _ in 0..50 {
        daemon.signal(Signal::USR1);
    }
    server.wait_requests(System::Entra, before + 1, Duration::from_secs(5));
    server.fault(None);
    server.wait_issued(System::Entra, 2, Duration::from_secs(15));
    assert_eq!(server.log(|log| log.max_in_flight), 1);
    let after = server.requests(System::Entra);
    assert!(after - before <= 3, "{}", after - before);
    daemon.assert_sound();
}
