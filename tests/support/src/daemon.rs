//! The process of a daemon under test.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use crate::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::host::Host;
use super::notify::{Notice, NotifySocket};

/// A running daemon. Dropping it kills it, and prints its log when the test is failing.
pub struct Daemon {
    child: Child,
    // A descriptor names the process even after its id went to another.
    process: OwnedFd,
    notify: NotifySocket,
    log: PathBuf,
    socket: PathBuf,
    program: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Daemon {
    /// Starts `bearerd run` with further arguments.
    #[must_use]
    pub fn start(host: &Host, arguments: &[&str]) -> Self {
        let notify = NotifySocket::bind(&host.path("notify.sock"));
        let log = host.path("log");
        let mut command = command(host);
        command
            .args(["run", "--config"])
            .arg(host.config_path())
            .args(arguments)
            .env("NOTIFY_SOCKET", &notify.path)
            .stdin(Stdio::null())
            .stdout(append(&log))
            .stderr(append(&log));
        let child = command.spawn().expect("the daemon's program");
        let pid = Pid::from_child(&child);
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("a process descriptor");
        Self {
            child,
            process,
            notify,
            log,
            socket: host.socket(),
            program: host.program.clone(),
            environment: host.environment.clone(),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal).expect("a live process");
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait_exit(Duration::from_secs(5));
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(Duration::from_secs(5))
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait_exit(&mut self, timeout: Duration) -> ExitStatus {
        assert!(
            self.exits_within(timeout),
            "still running after {timeout:?}"
        );
        self.child.wait().expect("a child of ours")
    }

    /// Whether it ends within this time.
    #[must_use]
    pub fn exits_within(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).expect("a sane timeout");
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut ended, Some(&timeout)).expect("poll") == 1
    }

    /// Waits for `READY=1`.
    #[track_caller]
    pub fn wait_ready(&self, timeout: Duration) -> Notice {
        self.wait_notice(0, "READY=1", timeout)
    }

    /// Everything it told systemd.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.notify.received()
    }

    /// Waits for a notice with this line, among those after the first `skip`.
    #[track_caller]
    pub fn wait_notice(&self, skip: usize, line: &str, timeout: Duration) -> Notice {
        let found = self.notify.wait(skip, timeout, |notice| notice.says(line));
        found.unwrap_or_else(|| {
            let seen = self.notices();
            panic!("no {line} within {timeout:?}: {seen:?}");
        })
    }

    /// Sends SIGHUP and waits until the reload is over.
    #[track_caller]
    pub fn reload(&self) {
        let before = self.notices().len();
        self.signal(Signal::HUP);
        self.wait_notice(before, "READY=1", Duration::from_secs(10));
    }

    /// What it has logged.
    #[must_use]
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs a client command against its socket.
    #[must_use]
    pub fn client(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(arguments);
        command.arg("--socket").arg(&self.socket).env_clear();
        command.envs(self.environment.iter().cloned());
        command.output().expect("the client's program")
    }

    /// `bearerd status --json`.
    #[track_caller]
    #[must_use]
    pub fn status_json(&self) -> Value {
        let output = self.client(&["status", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("status is no JSON ({error}): {text} {errors}")
        })
    }

    /// Asserts that it has not ended by itself and has not panicked.
    #[track_caller]
    pub fn assert_sound(&self) {
        assert!(!self.exits_within(Duration::ZERO), "the daemon has ended");
        assert!(
            !self.logged().contains("panicked"),
            "the daemon has panicked"
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let now = clock::now().elapsed_since_boot();
            eprintln!(
                "--- the daemon's log, {now:?} since boot\n{}---",
                self.logged()
            );
        }
    }
}

/// `bearerd` on this host, without arguments and with nothing but the host's environment.
#[must_use]
pub fn command(host: &Host) -> Command {
    let mut command = Command::new(&host.program[0]);
    command
        .args(&host.program[1..])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(host.environment.iter().cloned());
    command
}

fn append(path: &PathBuf) -> File {
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).mode(0o600).open(path);
    file.expect("a log file")
}
