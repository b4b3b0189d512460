//! The event stream: of a socket over tokens made by hand, and of the real daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bearerd::api::Limits;
use bearerd::config::{Allow, Who};
use bearerd_core::refresh::{ErrorState, Reason};
use rustix::process::Signal;
use serde_json::Value;
use support::{Host, Server, Settings};

use crate::socket::{Made, World, fresh, pending};

/// A client that follows. Lines come as they are; of HTTP/1.0, so that there are no chunks.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(socket: &Path, target: &str) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        let timeout = Some(Duration::from_secs(20));
        stream.set_read_timeout(timeout).unwrap();
        let request = format!("GET {target} HTTP/1.0\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head += &stream.line();
        }
        assert!(head.contains(" 200 OK"), "{head}");
        assert!(
            head.contains("content-type: text/event-stream\r\n"),
            "{head}"
        );
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
        line
    }

    /// The next event: `event`, `id`, `data`, an empty line.
    fn event(&mut self) -> Value {
        let mut line = self.line();
        while line.starts_with(':') {
            assert_eq!(self.line(), "\n");
            line = self.line();
        }
        let name = line.strip_prefix("event: ").unwrap().trim_end().to_owned();
        let id = self.line();
        let id: u64 = id.strip_prefix("id: ").unwrap().trim_end().parse().unwrap();
        let data = self.line();
        assert_eq!(self.line(), "\n");
        assert!(!data.contains("canary"), "{data}");
        let mut data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["event"], name);
        assert!(data["time"].as_u64().unwrap() > 1_000_000_000);
        data["id"] = id.into();
        data
    }

    /// The names of the next events' tokens, or of the events themselves.
    fn expect(&mut self, name: &str, token: &str) -> Value {
        let event = self.event();
        assert_eq!(event["event"], name, "{event}");
        if !token.is_empty() {
            assert_eq!(event["name"], token, "{event}");
        }
        event
    }

    /// Skips to an event.
    fn until(&mut self, name: &str, token: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"] == name && (token.is_empty() || event["name"] == token) {
                return event;
            }
        }
    }

    fn ended(mut self) -> bool {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).is_ok() && rest.is_empty()
    }
}

#[test]
fn a_snapshot_and_then_everything_that_happens() {
    let lev = fresh("lev", "canary-1");
    let mut world = World::new([lev.clone().0, pending("nhs").0]);
    let mut stream = Stream::open(&world.socket, "/v1/events");
    let first = stream.expect("snapshot", "lev");
    assert_eq!(first["state"], "fresh");
    assert_eq!(first["generation"], 1);
    assert!(first["expires_at"].as_u64().unwrap() > first["time"].as_u64().unwrap() + 3500);
    let second = stream.expect("snapshot", "nhs");
    assert_eq!(second["state"], "pending");
    assert_eq!(second["generation"], Value::Null);
    stream.expect("synced", "");

    let failed = lev.failed(ErrorState::Transient, Reason::LastError, "canary-error");
    world.publish(failed.clone().0);
    let event = stream.expect("failed", "lev");
    assert_eq!(
        (&event["state"], &event["generation"]),
        (&"transient".into(), &1.into())
    );
    assert!(event["id"].as_u64() > first["id"].as_u64());
    let login = failed.failed(ErrorState::NeedsLogin, Reason::RotationLost, "canary-error");
    world.publish(login.clone().0);
    let event = stream.expect("needs_login", "lev");
    assert_eq!(event["reason"], "rotation_lost");
    world.withdraw("lev");
    assert_eq!(stream.expect("expired", "lev")["generation"], Value::Null);
    world.publish(login.obtained(2, "canary-2", 3600, 0).0);
    stream.expect("recovered", "lev");
    assert_eq!(stream.expect("published", "lev")["generation"], 2);
    // A new token is followed, and one with a new channel goes on being.
    world.configure(fresh("new", "canary-3").0);
    stream.expect("configured", "new");
    world.configure(pending("lev").0);
    stream.expect("configured", "lev");
    world.remove("nhs");
    stream.expect("removed", "nhs");
    world.publish(fresh("lev", "canary-4").0);
    stream.expect("published", "lev");
    world.daemon.send_modify(|daemon| daemon.stopping = true);
    stream.expect("stopping", "");
    assert!(stream.ended());
}

#[test]
fn one_token_alone() {
    let world = World::new([fresh("lev", "canary-1").0, fresh("nhs", "canary-2").0]);
    let mut stream = Stream::open(&world.socket, "/v1/events?token=nhs");
    stream.expect("snapshot", "nhs");
    stream.expect("synced", "");
    world.publish(fresh("lev", "x").obtained(2, "canary-3", 3600, 0).0);
    world.publish(fresh("nhs", "x").obtained(2, "canary-4", 3600, 0).0);
    stream.expect("published", "nhs");
}

#[test]
fn others_follow_what_they_may_see() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut own = fresh("own", "canary-1").0;
    Arc::make_mut(&mut own.config).allow = vec![Allow {
        written: "user:1234".into(),
        who: Who::User(1234),
    }];
    let mut world = World::new([own.clone(), fresh("closed", "canary-2").0]);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.directory.path(), open).unwrap();
    let curl = |query: &str| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=1234", "--regid=1234", "--clear-groups"])
            .args(["curl", "-sSN", "--max-time", "20", "--unix-socket"])
            .arg(&world.socket)
            .arg(format!("http://x/v1/events{query}"))
            .stdout(Stdio::piped());
        command
    };
    let refused = curl("?token=closed").output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stdout).contains("denied"));
    let mut child = curl("").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = String::new();
    while !seen.ends_with("\"event\":\"synced\"") {
        seen = lines.next().unwrap().unwrap();
        assert!(!seen.contains("closed"), "{seen}");
        seen.truncate(seen.find(",\"time\"").unwrap_or(seen.len()));
    }
    world.publish(fresh("closed", "x").obtained(2, "canary-3", 3600, 0).0);
    world.remove("closed");
    world.publish(Made(own).obtained(2, "canary-4", 3600, 0).0);
    world.withdraw("own");
    world.daemon.send_modify(|daemon| daemon.stopping = true);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let rest = rest.join("\n");
    assert!(
        !rest.contains("closed") && !rest.contains("canary"),
        "{rest}"
    );
    assert!(
        rest.contains("expired") && rest.contains("stopping"),
        "{rest}"
    );
    child.wait().unwrap();
}

#[test]
fn a_slow_reader_is_told_and_holds_up_nobody() {
    let limits = Limits {
        write: Duration::from_secs(30),
        ..Limits::default()
    };
    let world = World::limited(limits, [fresh("lev", "canary-1").0]);
    let mut slow = Stream::open(&world.socket, "/v1/events");
    let mut quick = Stream::open(&world.socket, "/v1/events");
    quick.until("synced", "");
    let mut made = fresh("lev", "canary-1");
    for generation in 2..=5000 {
        made = made.obtained(generation, "canary-2", 3600, 0);
        world.publish(made.clone().0);
        assert_eq!(quick.expect("published", "lev")["generation"], generation);
    }
    slow.until("synced", "");
    let lagged = slow.until("lagged", "");
    assert!(lagged["missed"].as_u64().unwrap() > 100, "{lagged}");
    assert_eq!(slow.expect("snapshot", "lev")["generation"], 5000);
    slow.expect("synced", "");
}

#[test]
fn silence_has_a_heartbeat() {
    let limits = Limits {
        heartbeat: Duration::from_millis(50),
        ..Limits::default()
    };
    let world = World::limited(limits, []);
    let mut stream = Stream::open(&world.socket, "/v1/events");
    stream.expect("synced", "");
    for _ in 0..3 {
        assert_eq!(stream.line(), ":\n");
        assert_eq!(stream.line(), "\n");
    }
}

/// One request over a connection that stays open.
fn ping(kept: &mut UnixStream) {
    kept.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    kept.write_all(request).unwrap();
    let mut answer = [0; 1024];
    let length = kept.read(&mut answer).unwrap();
    assert!(answer[..length].ends_with(b"ok\n"));
}

/// `bearerd events`.
fn follower(host: &Host, arguments: &[&str]) -> Child {
    Command::new(&host.program[0])
        .arg("events")
        .args(arguments)
        .arg("--socket")
        .arg(host.socket())
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_reload_leaves_socket_connections_and_streams_alone() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let (lev, ardengem) = (host.lev(&server), host.ardengem(&server));
    host.configure(&lev);
    let mut daemon = host.start_ready();
    let inode = std::fs::metadata(host.socket()).unwrap().ino();
    let mut kept = UnixStream::connect(host.socket()).unwrap();
    ping(&mut kept);
    let mut stream = Stream::open(&host.socket(), "/v1/events");
    stream.until("synced", "");
    // Not configured yet.
    let mut refused = follower(&host, &["ardengem", "--json"]);
    assert_eq!(refused.wait().unwrap().code(), Some(7));

    host.configure(&(lev.clone() + &ardengem));
    daemon.reload();
    stream.until("configured", "ardengem");
    stream.until("published", "ardengem");
    host.configure("[token.x]\nclient = 'none'\n");
    daemon.reload();
    let refused = stream.until("configuration_refused", "");
    assert!(
        refused["error"].as_str().unwrap().contains("none"),
        "{refused}"
    );
    let mut follower = follower(&host, &[]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.contains("Z snapshot ardengem fresh, generation 1, expires 20"),
        "{line}"
    );
    host.configure(&lev);
    daemon.reload();
    stream.until("removed", "ardengem");
    stream.until("configuration_loaded", "");
    ping(&mut kept);
    assert_eq!(std::fs::metadata(host.socket()).unwrap().ino(), inode);
    daemon.signal(Signal::USR1);
    stream.until("published", "lev");

    daemon.signal(Signal::TERM);
    stream.until("stopping", "");
    assert!(stream.ended());
    assert!(daemon.wait_exit(Duration::from_secs(5)).success());
    assert_eq!(follower.wait().unwrap().code(), Some(8));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest.last().unwrap().ends_with("Z stopping"), "{rest:?}");
}

#[test]
fn the_command_tells_a_refusal_from_a_broken_connection() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bearerd.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.args(["events", "--socket"]).arg(&socket);
    let mut broken_off = command.spawn().unwrap();
    let (mut client, _) = listener.accept().unwrap();
    // With a request that is not read, the end is no end of the stream.
    client.read_exact(&mut [0]).unwrap();
    drop(client);
    assert_eq!(broken_off.wait().unwrap().code(), Some(3));

    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new([fresh("closed", "canary-1").0]);
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    open(world.directory.path(), 0o755);
    let binary = world.directory.path().join("bearerd");
    std::fs::copy(env!("CARGO_BIN_EXE_bearerd"), &binary).unwrap();
    // First the socket's mode refuses, then the daemon.
    for mode in [0o600, 0o666] {
        open(&world.socket, mode);
        let mut command = Command::new("setpriv");
        command.args(["--reuid=1234", "--regid=1234", "--clear-groups"]);
        command.arg(&binary).args(["events", "closed", "--socket"]);
        let refused = command.arg(&world.socket).output().unwrap();
        assert_eq!(refused.status.code(), Some(6), "{refused:?}");
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn the_command_ends_when_nobody_reads_it() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let mut follower = Command::new(env!("CARGO_BIN_EXE_bearerd"))
        .args(["events", "--json", "--socket"])
        .arg(&world.socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&first["event"], &first["name"]),
        (&"snapshot".into(), &"lev".into())
    );
    // Nothing happens any more, and still it ends.
    drop(lines);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}
