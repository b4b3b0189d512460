//! Units that got a token as a credential, and what is asked of systemd for them when it is replaced.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use support::{Daemon, Host, Server, Settings};

const SOON: Duration = Duration::from_secs(15);

/// Stands for `systemctl`: says of units what `units` holds, writes down what is asked of it, and refuses jobs
/// while there is `refuse`.
const SYSTEMCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit
case "$*" in
*' show '*) cat units ;;
*)
    echo "$*" >>asked
    if [ -e refuse ]; then
        echo 'Failed to try-restart a.service: Interactive authentication required.' >&2
        exit 1
    fi
    ;;
esac
"#;

fn host(server: &Server) -> Host {
    let mut host = Host::new();
    let program = host.write("systemctl", SYSTEMCTL);
    fs::set_permissions(program, fs::Permissions::from_mode(0o700)).expect("its mode");
    let path = format!("{}:/usr/bin:/bin", host.path("").display());
    host.variable("PATH", path);
    let hook = "[[token.lev.hook]]\nreload_consumers = true\n";
    host.configure(&(host.lev(server) + hook));
    host
}

/// What `systemctl show` says of units, each with its state and more.
fn units(host: &Host, units: &[(&str, &str)]) {
    let unit =
        |(unit, state): &(&str, &str)| format!("Type=notify\nId={unit}\nActiveState={state}\n");
    let units: Vec<_> = units.iter().map(unit).collect();
    host.write("units", &units.join("\n"));
}

/// As the service manager asks when the unit starts.
fn start(host: &Host, unit: &str) {
    let socket =
        rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    static RANDOM: AtomicU32 = AtomicU32::new(0);
    let random = RANDOM.fetch_add(1, Ordering::Relaxed);
    let address = format!("{:x}{random:08x}/unit/{unit}/lev", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(address.as_bytes()).expect("a name");
    rustix::net::bind(&socket, &address).expect("the name");
    let server = SocketAddrUnix::new(host.path("run/credentials.sock")).expect("a path");
    rustix::net::connect(&socket, &server).expect("the daemon");
    let mut got = String::new();
    UnixStream::from(socket)
        .read_to_string(&mut got)
        .expect("an end");
    assert_eq!(Some(got), host.token("lev"));
}

fn refresh(host: &Host, daemon: &Daemon) {
    let before = host.token("lev");
    assert!(daemon.client(&["refresh", "lev"]).status.success());
    support::eventually("a new token", SOON, || {
        host.token("lev")
            .filter(|token| Some(token) != before.as_ref())
    });
}

/// Waits until systemd has been asked for this, from the beginning on.
fn asked(host: &Host, expected: &str) {
    let path = host.path("asked");
    support::eventually(expected, SOON, || {
        let asked = fs::read_to_string(&path).unwrap_or_default();
        assert!(expected.starts_with(&asked), "{asked}");
        (asked == expected).then_some(())
    });
}

const RESTART: &str = "--no-ask-password --no-block try-restart --";
const RELOAD: &str = "--no-ask-password --no-block try-reload-or-restart --";

#[test]
fn a_replaced_token_reaches_the_units_that_had_the_old_one() {
    let server = Server::start(Settings::default());
    let host = host(&server);
    let daemon = host.start_ready();
    for unit in ["a.service", "b@1.service", "c.service", "gone.service"] {
        start(&host, unit);
    }
    units(
        &host,
        &[
            ("a.service", "active"),
            ("b@1.service", "active\nRefreshOnReload=credentials"),
            ("c.service", "active"),
            ("gone.service", "inactive"),
        ],
    );
    refresh(&host, &daemon);
    let first = format!("{RELOAD} b@1.service\n{RESTART} a.service c.service\n");
    asked(&host, &first);

    // Over a restart of the daemon, too.
    start(&host, "a.service");
    start(&host, "b@1.service");
    support::eventually("the consumers on disk", SOON, || {
        let kept = fs::read_to_string(host.path("state/consumers.json")).ok()?;
        let (has, gone) = (kept.contains("\"b@1.service\":2"), kept.contains("gone"));
        (has && !gone).then_some(())
    });
    daemon.kill();
    let daemon = host.start_ready();
    units(
        &host,
        &[
            ("a.service", "active"),
            ("b@1.service", "active"),
            ("c.service", "active"),
        ],
    );
    refresh(&host, &daemon);
    let second = format!("{first}{RESTART} a.service b@1.service c.service\n");
    asked(&host, &second);
    daemon.assert_sound();
}

#[test]
fn what_systemd_refuses_is_said_and_asked_for_again() {
    let server = Server::start(Settings::default());
    let host = host(&server);
    let daemon = host.start_ready();
    start(&host, "a.service");
    units(&host, &[("a.service", "active")]);
    host.write("refuse", "");
    refresh(&host, &daemon);
    let error = support::eventually("the error in status", SOON, || {
        let status = daemon.status_json()["tokens"][0]["output_errors"][0].clone();
        status.as_str().map(str::to_owned)
    });
    assert_eq!(
        error,
        "hook 0: systemctl try-restart: Failed to try-restart a.service: Interactive authentication \
         required; hint: polkit has to be installed and to allow it: see \"reload_consumers\" in bearerd(8)"
    );
    fs::remove_file(host.path("refuse")).expect("it is there");
    support::eventually("no error in status", SOON, || {
        let errors = daemon.status_json()["tokens"][0]["output_errors"].clone();
        errors.as_array().is_none_or(Vec::is_empty).then_some(())
    });
    let asked = fs::read_to_string(host.path("asked")).expect("it was asked");
    assert!(asked.lines().count() >= 2, "{asked}");
    assert!(
        asked
            .lines()
            .all(|line| line == format!("{RESTART} a.service")),
        "{asked}"
    );
}

#[test]
fn a_unit_that_starts_is_waited_for() {
    let server = Server::start(Settings::default());
    let host = host(&server);
    let daemon = host.start_ready();
    start(&host, "a.service");
    units(&host, &[("a.service", "activating")]);
    refresh(&host, &daemon);
    support::eventually("the log's word", SOON, || {
        let said =
            "a.service has asked for the token before it was replaced, and is still starting";
        daemon.logged().contains(said).then_some(())
    });
    assert!(!host.path("asked").exists());
    units(&host, &[("a.service", "active")]);
    asked(&host, &format!("{RESTART} a.service\n"));
}
