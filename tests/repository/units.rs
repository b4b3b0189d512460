//! The units as systemd itself reads and judges them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Exposure at most 1.3 of 10.
const THRESHOLD: &str = "--threshold=13";

/// `systemd-analyze`, or `None` on a system without systemd. CI installs it, and may not go without.
fn systemd_analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    let there = found.is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("CI").is_none(),
        "systemd-analyze is missing: install systemd"
    );
    if !there {
        println!("NOT TESTED: there is no systemd-analyze");
    }
    there.then(|| Command::new("systemd-analyze"))
}

/// The unit as installed, but for the program: the one that was just built.
fn unit(directory: &TempDir, source: &str) -> PathBuf {
    let text = fs::read_to_string(source).unwrap();
    let installed = "ExecStart=/usr/bin/bearerd ";
    assert!(text.contains(installed), "{source}");
    let built = format!("ExecStart={} ", env!("CARGO_BIN_EXE_bearerd"));
    let path = directory
        .path()
        .join(Path::new(source).file_name().unwrap());
    fs::write(&path, text.replace(installed, &built)).unwrap();
    path
}

/// Runs to the end with nothing to say on standard error: of a key it does not know, systemd only warns.
fn content(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{report}");
    assert_eq!(said, "");
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let directory = TempDir::new().unwrap();
    let kinds = [
        ("systemd/bearerd.service", "--system"),
        ("systemd/user/bearerd.service", "--user"),
    ];
    for (source, kind) in kinds {
        let Some(mut command) = systemd_analyze() else {
            return;
        };
        let unit = unit(&directory, source);
        command.args([kind, "verify", "--man=no", "--recursive-errors=no"]);
        content(command.arg(unit).env("XDG_RUNTIME_DIR", directory.path()));
    }
}

#[test]
fn the_service_is_exposed_to_little() {
    let Some(mut command) = systemd_analyze() else {
        return;
    };
    content(command.args([
        "security",
        "--offline=true",
        "--no-pager",
        THRESHOLD,
        "systemd/bearerd.service",
    ]));
}

#[test]
fn systemd_finds_no_fault_with_the_sockets() {
    let directory = TempDir::new().unwrap();
    let service = unit(&directory, "systemd/bearerd.service");
    for name in ["bearerd.socket", "bearerd-credentials.socket"] {
        let Some(mut command) = systemd_analyze() else {
            return;
        };
        let text = fs::read_to_string(format!("systemd/{name}")).unwrap();
        let socket = directory.path().join(name);
        fs::write(&socket, text).unwrap();
        command.args(["--system", "verify", "--man=no", "--recursive-errors=no"]);
        content(command.arg(socket).arg(&service));
    }
}

#[test]
fn peers_keep_their_names() {
    let text = fs::read_to_string("systemd/bearerd.service").unwrap();
    for (setting, why) in [
        (
            "PrivateUsers=",
            "in a user namespace every peer of the socket is nobody",
        ),
        ("ProtectProc=", "units and groups of peers are in /proc"),
        ("ProcSubset=", "units and groups of peers are in /proc"),
    ] {
        let has = text.lines().any(|line| line.starts_with(setting));
        assert!(!has, "{setting}: {why}");
    }
}
