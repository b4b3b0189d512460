//! Sockets that somebody else has bound, as systemd passes them.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use support::{Host, Server, Settings, System, eventually, pause};

const SOON: Duration = Duration::from_secs(15);

/// Two sockets that a test holds as systemd does.
struct Sockets {
    http: UnixListener,
    credentials: UnixListener,
}

impl Sockets {
    fn bind(host: &Host) -> Self {
        let bind = |name: &str, mode| {
            let path = host.path(&format!("run/{name}"));
            let listener = UnixListener::bind(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            listener
        };
        Self {
            http: bind("bearerd.sock", 0o640),
            credentials: bind("credentials.sock", 0o600),
        }
    }

    /// Starts a daemon that gets them as descriptors 3 and 4. `exec` keeps the shell's process id.
    fn start(&self, host: &Host, names: &str, pid: &str) -> Running {
        let script = format!(
            "exec 3<&0 4>&1 </dev/null >/dev/null; export LISTEN_PID={pid} LISTEN_FDS=2 \
             LISTEN_FDNAMES={names}; exec \"$@\""
        );
        let stdio =
            |listener: &UnixListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(host.path("log"))
            .unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).args(&host.program);
        command.args(["run", "--config"]).arg(host.config_path());
        command
            .stdin(stdio(&self.http))
            .stdout(stdio(&self.credentials));
        Running(command.stderr(log).spawn().unwrap())
    }
}

/// Killed at the test's end.
struct Running(Child);

impl Running {
    /// The exit code of one that ends by itself.
    fn ends(&mut self) -> Option<i32> {
        let ended = || self.0.try_wait().unwrap();
        eventually("the end", SOON, ended).code()
    }

    fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_connects_while_it_restarts_is_served_afterwards() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let sockets = Sockets::bind(&host);
    let inode = |name: &str| {
        fs::metadata(host.path(&format!("run/{name}")))
            .unwrap()
            .ino()
    };
    let before = (inode("bearerd.sock"), inode("credentials.sock"));
    let names = "bearerd.sock:credentials.sock";
    // Nobody is there yet.
    let early = thread::spawn({
        let socket = host.socket();
        move || ask(&socket, "/v1/tokens/lev/access_token?wait=15s")
    });
    let daemon = sockets.start(&host, names, "$$");
    assert!(early.join().unwrap().contains(" 200 OK"));
    assert_eq!(daemon.stop(), Some(0));

    let between = thread::spawn({
        let socket = host.socket();
        move || ask(&socket, "/v1/tokens/lev/access_token")
    });
    pause(Duration::from_millis(300));
    assert!(!between.is_finished(), "there is a daemon to answer");
    let daemon = sockets.start(&host, names, "$$");
    assert!(between.join().unwrap().contains(" 200 OK"));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((inode("bearerd.sock"), inode("credentials.sock")), before);
    assert_eq!(support::host::mode(&host.socket()), 0o640);
}

#[test]
fn a_closed_socket_and_allow_lists_contradict_each_other() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let allow = "[token.lev.socket]\nallow = [\"user:1234\"]\n";
    host.configure(&(host.lev(&server) + allow));
    let sockets = Sockets::bind(&host);
    let daemon = sockets.start(&host, "bearerd.socket:bearerd-credentials.socket", "$$");
    let status = ask(&host.socket(), "/v1/status");
    assert!(status.contains("was passed with mode 0640"), "{status}");
    assert_eq!(support::host::mode(&host.socket()), 0o640);
    drop(daemon);
    host.configure(&host.lev(&server));
    let _daemon = sockets.start(&host, "bearerd.sock:credentials.sock", "$$");
    let status = ask(&host.socket(), "/v1/status");
    assert!(!status.contains("was passed"), "{status}");
}

#[test]
fn a_socket_that_nobody_can_reach_is_told() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let sockets = Sockets::bind(&host);
    fs::remove_file(host.socket()).unwrap();
    let _daemon = sockets.start(&host, "bearerd.sock:credentials.sock", "$$");
    eventually("the warning", SOON, || {
        let log = fs::read_to_string(host.path("log")).ok()?;
        log.contains("its file is gone; hint: restart")
            .then_some(())
    });
}

#[test]
fn hooks_see_nothing_of_it() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let script = host.write(
        "hook",
        &format!(
            "env >{0}.new; for fd in /proc/$$/fd/*; do readlink $fd >>{0}.new; done; mv {0}.new {0}",
            host.path("seen").display()
        ),
    );
    let hook = format!(
        "[[token.lev.hook]]\ncommand = [\"sh\", \"{}\"]\n",
        script.display()
    );
    host.configure(&(host.lev(&server) + &hook));
    let sockets = Sockets::bind(&host);
    let _daemon = sockets.start(&host, "bearerd.sock:credentials.sock", "$$");
    let seen = eventually("the hook", SOON, || {
        fs::read_to_string(host.path("seen")).ok()
    });
    assert!(seen.contains("BEARERD_TOKEN_NAME=lev"), "{seen}");
    assert!(
        !seen.contains("LISTEN_") && !seen.contains("socket:"),
        "{seen}"
    );
}

#[test]
fn what_somebody_is_about_to_leave_is_taken_over() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let sockets = Sockets::bind(&host);
    let daemon = host.start();
    let soon = Timespec::try_from(SOON).unwrap();
    // As the sockets of a killed daemon, in the hands of a program that it was about to start.
    for leaving in [sockets.http, sockets.credentials] {
        let mut knocked = [PollFd::new(&leaving, PollFlags::IN)];
        assert_eq!(poll(&mut knocked, Some(&soon)), Ok(1));
    }
    daemon.wait_ready(SOON);
    assert_eq!(daemon.status_json()["tokens"][0]["name"], "lev");
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let sockets = Sockets::bind(&host);
    let mut daemon = sockets.start(&host, "bearerd.sock:credentials.sock", "1");
    // It binds its own, and finds the name in use.
    assert_eq!(daemon.ends(), Some(5));
    let log = fs::read_to_string(host.path("log")).unwrap();
    assert!(log.contains("another process does"), "{log}");
    assert_eq!(server.log(|log| log.token_requests(System::Lev)), 0);
}

#[test]
fn a_socket_with_a_strange_name_is_a_mistake() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let sockets = Sockets::bind(&host);
    for names in ["bearerd.sock:other", "bearerd.sock:bearerd.socket"] {
        let mut daemon = sockets.start(&host, names, "$$");
        assert_eq!(daemon.ends(), Some(5), "{names}");
    }
    let log = fs::read_to_string(host.path("log")).unwrap();
    assert!(
        log.contains("a socket named \"other\" was passed; hint: File"),
        "{log}"
    );
    assert!(
        log.contains("2 sockets were passed; hint: one named"),
        "{log}"
    );
}
