//! What many clients at once, and slow ones, can do to others.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bearerd::api::Limits;
use bearerd::clock;
use bearerd::config::{Allow, Who};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::socket::{Made, World, fresh, pending};

/// Clients of one user, until dropped.
struct Crowd {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    turned_away: usize,
}

/// Opens connections, tells how many were turned away, and keeps the others.
const STEADY: &str = r#"
import resource, select, socket, sys
path, count, request = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
streams, away = [], 0
for _ in range(count):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    streams.append(stream)
    if request:
        try:
            stream.sendall(b"GET " + request + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            pass
        # Turned away at once, or waiting for an answer.
        if select.select([stream], [], [], 0.2)[0] and b" 503 " in stream.recv(100):
            away += 1
print(away, flush=True)
sys.stdin.read()
"#;

/// Asks over every connection, again and again while anything can be sent, and reads no answer. Who is cut off
/// comes again; who is turned away does not. Tells when as many were cut off as have come.
const SLOW: &str = r#"
import resource, select, socket, sys
path, count, request = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
request = b"GET " + request + b" HTTP/1.1\r\nHost: x\r\n\r\n"
batch = request * 64
clients, sent, events = {}, {}, select.epoll()
def join():
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.setblocking(False)
    clients[client.fileno()], sent[client.fileno()] = client, 0
    events.register(client, select.EPOLLOUT)
def turned_away(client):
    try:
        return b" 503 " in client.recv(100)
    except OSError:
        return False
def send(number):
    try:
        while True:
            sent[number] += clients[number].send(batch[sent[number] % len(request):])
    except BlockingIOError:
        return True
    except OSError:
        return False
for _ in range(count):
    join()
events.register(sys.stdin, select.EPOLLIN)
away = cut = 0
told = False
while True:
    for number, event in events.poll():
        if number == 0:
            sys.exit()
        if event & (select.EPOLLHUP | select.EPOLLERR) or not send(number):
            with clients.pop(number) as client:
                events.unregister(client)
                refused = turned_away(client)
            away, cut = away + refused, cut + (not refused)
            if not refused:
                join()
    if not told and cut >= count - away:
        told = True
        print(away, flush=True)
"#;

impl Crowd {
    /// `None` where the test is not root's.
    fn gather(world: &World, uid: u32, count: usize, request: &str) -> Option<Self> {
        let mut crowd = Self::begin(world, STEADY, uid, (count, request))?;
        crowd.turned_away = crowd.told();
        Some(crowd)
    }

    fn begin(
        world: &World,
        script: &str,
        uid: u32,
        (count, request): (usize, &str),
    ) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("NOT TESTED: only root can connect as others");
            return None;
        }
        let open = |path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open(world.directory.path(), 0o755);
        open(&world.socket, 0o666);
        let uid = uid.to_string();
        let mut child = Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .args(["/usr/bin/env", "python3", "-c", script])
            .arg(&world.socket)
            .args([&count.to_string(), request])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            turned_away: 0,
        })
    }

    fn has_told(&self) -> bool {
        let mut stdout = [PollFd::new(self.stdout.get_ref(), PollFlags::IN)];
        poll(&mut stdout, Some(&Timespec::default())).unwrap() == 1
    }

    fn told(&mut self) -> usize {
        let mut said = String::new();
        self.stdout.read_line(&mut said).unwrap();
        said.trim().parse().unwrap()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn for_everybody(mut made: Made, uids: &[u32]) -> Made {
    let rule = |uid: &u32| Allow {
        written: format!("user:{uid}"),
        who: Who::User(*uid),
    };
    Arc::make_mut(&mut made.0.config).allow = uids.iter().map(rule).collect();
    made
}

/// The answer to a request over a connection of its own, and how long it took.
fn ask(world: &World, path: &str) -> (String, Duration) {
    let begun = clock::now();
    let mut stream = UnixStream::connect(&world.socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer, clock::now() - begun)
}

/// The slowest of 50 reads.
fn slowest(world: &World) -> Duration {
    let reads = (0..50).map(|_| {
        let (answer, took) = ask(world, "/v1/tokens/lev/access_token");
        assert!(answer.ends_with("canary-1"), "{answer}");
        took
    });
    reads.max().unwrap()
}

#[test]
fn a_thousand_silent_clients_of_another_user() {
    let world = World::new([for_everybody(fresh("lev", "canary-1"), &[1235]).0]);
    let alone = slowest(&world);
    let Some(_crowd) = Crowd::gather(&world, 1234, 1000, "") else {
        return;
    };
    let among = slowest(&world);
    println!("slowest of 50 reads: {alone:?} alone, {among:?} among 1000 silent clients");
    assert!(among < Duration::from_millis(500), "{among:?}");
    // Nor are they in a third user's way.
    let reader = Crowd::gather(&world, 1235, 20, "/v1/tokens/lev").unwrap();
    assert_eq!(reader.turned_away, 0);
}

#[test]
fn a_thousand_silent_clients_of_the_same_user() {
    // All of them may sit there, or most have to make room.
    let few = Limits {
        connections: 256,
        ..Limits::default()
    };
    for limits in [Limits::of_process(), few] {
        let connections = limits.connections;
        let world = World::limited(limits, [fresh("lev", "canary-1").0]);
        let Some(_crowd) = Crowd::gather(&world, 0, 1000, "") else {
            return;
        };
        let among = slowest(&world);
        println!(
            "slowest of 50 reads: {among:?} among 1000 silent clients, with {connections} places"
        );
        assert!(among < Duration::from_secs(1), "{among:?}");
    }
}

/// While they fill their sockets, get stuck, are cut off and come again.
#[test]
fn a_thousand_clients_that_read_no_answer() {
    let limits = Limits {
        write: Duration::from_secs(1),
        ..Limits::of_process()
    };
    // Root's may all sit there; of another user's, most are turned away or make room.
    let count = limits.connections.min(1000);
    for uid in [1234, 0] {
        let world = World::limited(limits, [for_everybody(fresh("lev", "canary-1"), &[1234]).0]);
        let asking = (count, "/v1/tokens/lev");
        let Some(mut crowd) = Crowd::begin(&world, SLOW, uid, asking) else {
            return;
        };
        let (begun, mut reads) = (clock::now(), Vec::new());
        while !crowd.has_told() {
            let (answer, took) = ask(&world, "/v1/tokens/lev/access_token");
            assert!(answer.ends_with("canary-1"), "{answer}");
            reads.push(took);
            assert!(clock::now() - begun < Duration::from_secs(60));
        }
        let away = crowd.told();
        reads.sort();
        let (slowest, median) = (reads[reads.len() - 1], reads[reads.len() / 2]);
        println!(
            "{} reads, median {median:?}, slowest {slowest:?}, among {count} of uid {uid} that read nothing, {away} of them turned away",
            reads.len()
        );
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    }
}

#[test]
fn clients_leave_descriptors_to_the_rest() {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limits = Limits::of_process();
    assert!(
        allowed.is_none_or(|allowed| 3 * limits.connections as u64 <= allowed),
        "{limits:?} of {allowed:?}"
    );
}

#[test]
fn one_user_has_its_share_and_all_others_leave_some_to_root() {
    let limits = Limits {
        connections: 8,
        reserved: 2,
        per_user: 4,
        ..Limits::default()
    };
    let waiting = for_everybody(pending("lev"), &[1234, 1235]);
    let world = World::limited(limits, [waiting.0]);
    let busy = "/v1/tokens/lev?wait=60s";
    let Some(first) = Crowd::gather(&world, 1234, 6, busy) else {
        return;
    };
    assert_eq!(first.turned_away, 2, "of 6, 4 are its share");
    let second = Crowd::gather(&world, 1235, 4, busy).unwrap();
    assert_eq!(second.turned_away, 2, "others have 6 together");
    let (answer, took) = ask(&world, "/healthz");
    assert!(
        answer.ends_with("ok\n") && took < Duration::from_secs(2),
        "{took:?}"
    );
    drop(first);
    // Event streams are in use as well, though nothing is asked over them any more.
    let streams = Crowd::gather(&world, 1234, 6, "/v1/events").unwrap();
    assert_eq!(streams.turned_away, 2);
}

#[test]
fn idle_clients_are_let_go() {
    let limits = Limits {
        idle: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::limited(limits, []);
    let mut stream = UnixStream::connect(&world.socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 1024];
    assert!(stream.read(&mut answer).unwrap() > 0);
    let begun = clock::now();
    // What it begins does not keep it.
    stream.write_all(b"GET /hea").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let took = clock::now() - begun;
    assert!(
        (Duration::from_millis(200)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
}
