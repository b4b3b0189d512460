//! A part of the daemon that hangs lets the service manager's watchdog starve.

use std::time::Duration;

use bearerd::clock;
use support::notify::Notice;
use support::{Daemon, Host, eventually};

const SOON: Duration = Duration::from_secs(15);

/// The loop alone hangs: clients are still answered, and that must not feed the watchdog.
#[test]
fn a_loop_that_hangs_lets_the_watchdog_starve() {
    let (_host, daemon) = starving("turn:30", "hangs at turn");
    assert!(daemon.client(&["status"]).status.success());
}

/// The thread that serves clients hangs.
#[test]
fn so_does_a_socket_that_nobody_serves() {
    starving("beat:10", "stalls at beat");
}

/// A daemon that has hung at a point, as it says, and feeds the watchdog no more.
fn starving(failpoint: &str, says: &str) -> (Host, Daemon) {
    let mut host = Host::new();
    host.configure("");
    host.variable("WATCHDOG_USEC", "200000");
    host.variable("BEARERD_FAILPOINT", failpoint);
    let daemon = host.start_ready();
    daemon.wait_notice(0, "WATCHDOG=1", SOON);
    eventually("it hangs", SOON, || {
        daemon.logged().contains(says).then_some(())
    });
    let hung = clock::now();
    let fed = |notices: &[Notice]| {
        let fed = notices.iter().filter(|notice| notice.says("WATCHDOG=1"));
        fed.count()
    };
    let before = daemon.notices();
    assert!(fed(&before) > 5, "{before:?}");
    assert!(!daemon.exits_within(Duration::from_secs(3)));
    let mut late = daemon.notices();
    // One may have been on its way.
    late.retain(|notice| notice.at.saturating_since(hung) > Duration::from_millis(500));
    assert_eq!(fed(&late), 0, "{late:?}");
    (host, daemon)
}
