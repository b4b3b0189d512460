//! What the service manager is told, and when.

use std::time::Duration;

use bearerd::clock;
use rustix::process::Signal;
use support::{Fault, Host, Server, Settings, System};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn ready_only_after_the_first_publish() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&(host.lev(&server) + &host.ardengem(&server)));
    server.fault_of(System::Lev, Some(&Fault::Status(503)));
    let daemon = host.start();
    server.wait_issued(System::Entra, 1, SOON);
    server.wait_for("a fault met", SOON, |log| (log.faults > 0).then_some(()));
    support::eventually("the token that can be had", SOON, || {
        host.token("ardengem.headers")
    });
    assert!(!daemon.exits_within(Duration::from_secs(2)));
    let early = daemon.notices();
    assert!(
        !early.iter().any(|notice| notice.says("READY=1")),
        "{early:?}"
    );

    // A reload is no readiness either.
    daemon.signal(Signal::HUP);
    support::eventually("the reload", SOON, || {
        daemon.logged().contains("reloading").then_some(())
    });
    assert!(!daemon.exits_within(Duration::from_secs(1)));
    let early = daemon.notices();
    assert!(
        !early.iter().any(|notice| notice.says("READY=1")),
        "{early:?}"
    );

    server.fault_of(System::Lev, None);
    daemon.wait_ready(Duration::from_secs(30));
    assert!(host.token("lev").is_some_and(|token| server.check(&token)));
    let notices = daemon.notices();
    assert!(
        notices
            .iter()
            .any(|notice| notice.value("STATUS").is_some()),
        "{notices:?}"
    );
}

/// A queue of ten would hold up a daemon that tells of each of its thousand tokens.
#[test]
fn status_tells_of_many_tokens_at_once() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    let (client, token) = tables.split_once("[token.ardengem]").unwrap();
    let token = token.split_once("[[token").unwrap().0;
    let tokens = (0..60).map(|n| {
        let table = format!("[token.t{n}]{token}");
        table.replace("token.ardengem", &format!("token.t{n}"))
    });
    host.configure(&(client.to_owned() + &tokens.collect::<String>()));
    let daemon = host.start();
    let last = "STATUS=60 of 60 tokens fresh";
    let notice = daemon.wait_notice(0, last, Duration::from_secs(20));
    let notices = daemon.notices();
    let sent: Vec<_> = notices.iter().filter_map(|n| n.value("STATUS")).collect();
    let seconds = notice.at.saturating_since(notices[0].at).as_secs_f64();
    assert!(
        (sent.len() as f64) < seconds + 3.0,
        "{sent:?} in {seconds} s"
    );
}

#[test]
fn readiness_does_not_wait_for_what_is_not_required() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let optional = host
        .lev(&server)
        .replace("[token.lev]\n", "[token.lev]\nrequired = false\n");
    host.configure(&(optional + &host.ardengem(&server)));
    server.fault_of(System::Lev, Some(&Fault::Status(503)));
    let _daemon = host.start_ready();
    assert!(host.token("lev").is_none());
}

#[test]
fn reloading_with_the_monotonic_time() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    let (before, from) = (daemon.notices().len(), clock::monotonic_usec());
    daemon.reload();
    let to = clock::monotonic_usec();
    let notices = daemon.notices().split_off(before);
    let reloading = notices
        .iter()
        .position(|notice| notice.says("RELOADING=1"))
        .unwrap();
    let ready = notices
        .iter()
        .position(|notice| notice.says("READY=1"))
        .unwrap();
    assert!(reloading < ready, "{notices:?}");
    let at: u128 = notices[reloading]
        .value("MONOTONIC_USEC")
        .unwrap()
        .parse()
        .unwrap();
    assert!((from..=to).contains(&at), "{from} {at} {to}");
    assert_eq!(
        server.log(|log| log.token_requests(System::Lev)),
        1,
        "nothing changed"
    );
}

#[test]
fn the_watchdog_is_fed_when_there_is_one() {
    let server = Server::start(Settings::default());
    let mut host = Host::new();
    host.configure(&host.lev(&server));
    host.variable("WATCHDOG_USEC", "600000");
    let daemon = host.start_ready();
    let mut seen = 0;
    let mut last = clock::now();
    for _ in 0..6 {
        let notice = daemon.wait_notice(seen, "WATCHDOG=1", Duration::from_secs(5));
        assert!(
            notice.at - last < Duration::from_millis(900),
            "{:?}",
            notice.at - last
        );
        let position = daemon.notices().iter().position(|n| n.at == notice.at);
        (seen, last) = (position.unwrap() + 1, notice.at);
    }
}

#[test]
fn no_watchdog_no_ping() {
    let server = Server::start(Settings::default().lifetime(Duration::from_secs(2)));
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    server.wait_issued(System::Lev, 3, SOON);
    let notices = daemon.notices();
    assert!(
        !notices.iter().any(|notice| notice.says("WATCHDOG=1")),
        "{notices:?}"
    );
}

#[test]
fn sigterm_ends_it_in_time_even_while_a_request_hangs() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let patient = host
        .lev(&server)
        .replace("timeout = \"2s\"", "timeout = \"30s\"");
    host.configure(&patient);
    let mut daemon = host.start_ready();
    server.fault(Some(&Fault::Hang));
    daemon.signal(Signal::USR1);
    server.wait_for("a request that hangs", SOON, |log| {
        (log.in_flight == 1).then_some(())
    });
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_exit(Duration::from_secs(5)).success());
    assert!(
        daemon
            .notices()
            .iter()
            .any(|notice| notice.says("STOPPING=1"))
    );
    assert!(
        host.token("lev").is_some(),
        "the token stays for the next start"
    );
}
