//! The HTTP API as its clients see it: curl, and raw bytes where curl is too polite.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aws_lc_rs::digest;
use bearerd::api::Limits;
use bearerd::api::client::{self, Call, ClientError};
use bearerd::api::code::Code;
use bearerd::clock;
use bearerd::config::{Allow, Who};
use bearerd::store::DaemonView;
use bearerd_core::refresh::{ErrorState, Reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::socket;
use crate::socket::{Made, World, fresh, pending};

/// An answer, taken apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    fn parse(answer: &[u8]) -> Self {
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Self {
            status: head["HTTP/1.1 ".len()..][..3].parse().unwrap(),
            head: head.into(),
            body: body.into(),
        }
    }
}

fn curl(world: &World, args: &[&str]) -> Answer {
    let (options, path) = args.split_at(args.len() - 1);
    let output = run(Command::new("curl")
        .args(["-isS", "--max-time", "20", "--unix-socket"])
        .arg(&world.socket)
        .args(options)
        .arg(format!("http://bearerd{}", path[0])));
    Answer::parse(&output.stdout)
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    output
}

/// Sends bytes and returns everything until the server closes, or until 20 seconds have passed.
fn raw(world: &World, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(&world.socket).unwrap();
    let timeout = Some(Duration::from_secs(20));
    stream.set_read_timeout(timeout).unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn sha256(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_token_as_json_and_as_bytes() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let unix = clock::unix_now().as_secs();
    let answer = curl(&world, &["/v1/tokens/lev"]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json();
    assert_eq!(token["access_token"], "canary-1");
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["scope"], "openid profile");
    assert_eq!(token["generation"], 1);
    let expires_in = token["expires_in"].as_u64().unwrap();
    assert!((3590..3600).contains(&expires_in), "{expires_in}");
    let expires_at = token["expires_at"].as_u64().unwrap();
    assert!((unix + 3590..unix + 3605).contains(&expires_at));
    assert!(!answer.body.contains("refresh-canary"));

    let plain = curl(&world, &["-HAccept: text/plain", "/v1/tokens/lev"]);
    assert_eq!(plain.body, "canary-1");
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    let plain = curl(&world, &["/v1/tokens/lev/access_token"]);
    assert_eq!(plain.body, "canary-1");
    let head = curl(&world, &["-I", "/v1/tokens/lev/access_token"]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn lists_and_status() {
    let failing = fresh("nhs", "canary-2").failed(
        ErrorState::FixConfig,
        Reason::LastError,
        "invalid_client: unknown kid; hint: register the key",
    );
    let mut delivered = fresh("lev", "canary-1").0;
    delivered.standing.output_errors = vec!["/run/x: no space".into()];
    let world = World::new([delivered, failing.0, pending("ardengem").0]);
    let list = curl(&world, &["/v1/tokens"]);
    assert_eq!(list.json()["tokens"][1]["name"], "lev");
    assert_eq!(list.json()["tokens"][0]["state"], "pending");
    assert_eq!(list.json()["tokens"][0]["expires_at"], Value::Null);

    world.daemon.send_replace(DaemonView {
        ready: true,
        configuration_error: Some("line 3: unknown key".into()),
        warnings: vec!["state is not sealed".into()],
        ..DaemonView::default()
    });
    let page = curl(&world, &["/v1/status"]);
    let status = page.json();
    assert_eq!(status["daemon"]["ready"], true);
    assert_eq!(status["daemon"]["warnings"][0], "state is not sealed");
    assert_eq!(
        status["daemon"]["configuration_error"],
        "line 3: unknown key"
    );
    assert_eq!(status["tokens"][1]["output_errors"][0], "/run/x: no space");
    let nhs = curl(&world, &["/v1/status/nhs"]).json();
    assert_eq!(nhs, status["tokens"][2]);
    assert_eq!(nhs["state"], "fix_config");
    assert_eq!(nhs["last_error"], "invalid_client: unknown kid");
    assert_eq!(nhs["hint"], "register the key");
    assert_eq!(nhs["failures"], 1);
    let next = nhs["next_refresh_in"].as_u64().unwrap();
    assert!((10..=20).contains(&next), "{next}");
    for body in [&list.body, &page.body] {
        assert!(!body.contains("canary"), "{body}");
    }
}

#[test]
fn a_large_answer_is_the_last_on_its_connection() {
    let world = World::new((0..2000).map(|number| pending(&format!("t{number}")).0));
    let small = curl(&world, &["/v1/status/t1"]);
    assert_eq!(small.header("connection"), None);
    let large = curl(&world, &["/v1/status"]);
    assert!(large.body.len() > 256 * 1024);
    assert_eq!(large.json()["tokens"].as_array().unwrap().len(), 2000);
    assert_eq!(large.header("connection"), Some("close"));
}

#[test]
fn health_and_readiness() {
    let world = World::new([pending("lev").0]);
    assert_eq!(curl(&world, &["/healthz"]).body, "ok\n");
    let unready = curl(&world, &["/readyz"]);
    assert_eq!(unready.status, 503);
    assert_eq!(unready.json()["detail"], "not ready: waiting for lev");
    world.daemon.send_modify(|daemon| daemon.ready = true);
    assert_eq!(curl(&world, &["/readyz"]).status, 200);

    // A token whose files are not written is not there for those who read files.
    let mut undelivered = fresh("lev", "canary-1").0;
    undelivered.standing.output_errors = vec!["/run/x: no space".into()];
    let world = World::new([undelivered]);
    let unready = curl(&world, &["/readyz"]).json();
    assert_eq!(unready["detail"], "not ready: waiting for lev");
}

#[test]
fn bad_requests_get_problems() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let cases: &[(&[&str], u16, &str)] = &[
        (&["/nothing"], 404, "not_found"),
        (&["/v1/tokens/other"], 404, "not_found"),
        (&["/v1/status/other"], 404, "not_found"),
        (&["-XPOST", "/v1/tokens/other/refresh"], 404, "not_found"),
        (&["/v1/tokens/..%2fetc"], 404, "not_found"),
        (&["-XDELETE", "/v1/tokens/lev"], 405, "usage"),
        (&["/v1/tokens/lev/refresh"], 405, "usage"),
        (&["/v1/tokens/lev?wait=6m"], 400, "usage"),
        (&["/v1/tokens/lev?wait=10"], 400, "usage"),
        (&["/v1/tokens/lev?min_ttl=2h"], 400, "usage"),
        (&["/v1/tokens/lev?canary=1"], 400, "usage"),
        (&["/v1/status?wait=1s"], 400, "usage"),
        (&["-dcanary", "/v1/tokens/lev/refresh"], 400, "usage"),
        (
            &[r#"-d{"canary":1}"#, "/v1/tokens/lev/refresh"],
            400,
            "usage",
        ),
        (
            &[r#"-d{"rejected":"canary"}"#, "/v1/tokens/lev/refresh"],
            400,
            "usage",
        ),
    ];
    for (args, status, code) in cases {
        let answer = curl(&world, args);
        assert_eq!(answer.status, *status, "{args:?}: {}", answer.body);
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("application/problem+json"), "{args:?}");
        let problem = answer.json();
        assert_eq!(problem["code"], *code, "{args:?}");
        assert_eq!(problem["status"], *status, "{args:?}");
        assert_eq!(problem["type"], "about:blank");
        assert!(!answer.body.contains("canary"), "{args:?}: {}", answer.body);
    }
    let allow = |args: &[&str]| curl(&world, args).header("allow").map(str::to_owned);
    let get = allow(&["-XPUT", "/v1/tokens/lev"]);
    assert_eq!(get.as_deref(), Some("GET, HEAD"));
    let post = allow(&["/v1/tokens/lev/refresh"]);
    assert_eq!(post.as_deref(), Some("POST"));
}

#[test]
fn malformed_and_oversized_requests_are_refused() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let status = |request: &[u8]| Answer::parse(&raw(&world, request)).status;
    assert_eq!(status(b"\0\x01\x02 nonsense\r\n\r\n"), 400);
    assert_eq!(status(b"GET /healthz HTTP/9.9\r\n\r\n"), 400);
    let many = "A: b\r\n".repeat(100);
    let request = format!("GET /healthz HTTP/1.1\r\n{many}\r\n");
    assert_eq!(status(request.as_bytes()), 431);
    let long = "x".repeat(17 * 1024);
    let request = format!("GET /{long} HTTP/1.1\r\n\r\n");
    assert_eq!(status(request.as_bytes()), 431);
    let request = format!("GET /healthz HTTP/1.1\r\nA: {long}\r\n\r\n");
    assert_eq!(status(request.as_bytes()), 431);
    let refresh = "POST /v1/tokens/lev/refresh HTTP/1.1\r\nConnection: close\r\n";
    let declared = format!("{refresh}Content-Length: 99999999999\r\n\r\n");
    assert_eq!(status(declared.as_bytes()), 413);
    let chunk = "4000\r\n".to_owned() + &"x".repeat(0x4000) + "\r\n";
    let chunked = format!("{refresh}Transfer-Encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n\r\n");
    assert_eq!(status(chunked.as_bytes()), 413);
    assert_eq!(curl(&world, &["/healthz"]).status, 200);
}

#[test]
fn an_expired_token_is_never_served() {
    // Withdrawal is late: the expired token still stands as current.
    let expired = pending("lev").obtained(1, "canary-1", 10, 10).0;
    let dying = pending("nhs").obtained(1, "canary-2", 2, 0).0;
    let expires_at = dying.standing.status.validity.unwrap().expires_at;
    let world = World::new([expired, dying]);
    for path in ["/v1/tokens/lev", "/v1/tokens/lev/access_token"] {
        let answer = curl(&world, &[path]);
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()["code"], "transient");
        assert!(!answer.body.contains("canary"), "{}", answer.body);
    }
    assert_eq!(
        curl(&world, &["/v1/status/lev"]).json()["state"],
        "transient"
    );
    let before = curl(&world, &["/v1/tokens/nhs/access_token"]);
    assert_eq!(before.body, "canary-2");
    // Nothing but the time makes it so.
    support::eventually("its expiry", Duration::from_secs(15), || {
        let status = curl(&world, &["/v1/tokens/nhs/access_token"]).status;
        (status == 503).then_some(())
    });
    assert!(clock::now() >= expires_at);
}

#[test]
fn the_four_states() {
    let states = [
        (ErrorState::Transient, 503, "transient", Some("20")),
        (ErrorState::NeedsLogin, 409, "needs_login", None),
        (ErrorState::FixConfig, 500, "fix_config", None),
        (ErrorState::Denied, 403, "denied", None),
    ];
    for (state, status, code, retry_after) in states {
        let error = "the server said no; hint: ask nicely";
        let failing = pending("lev").failed(state, Reason::LastError, error);
        let mut world = World::new([failing.clone().0]);
        let answer = curl(&world, &["/v1/tokens/lev?min_ttl=1m"]);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after"), retry_after);
        let problem = answer.json();
        assert_eq!(problem["code"], code);
        let detail = "there is no valid token lev: the server said no";
        assert_eq!(problem["detail"], detail);
        assert_eq!(problem["hint"], "ask nicely");

        // The last good token is served all the same.
        world.publish(
            fresh("lev", "canary-1")
                .failed(state, Reason::LastError, error)
                .0,
        );
        assert_eq!(curl(&world, &["/v1/tokens/lev?min_ttl=1m"]).status, 200);
        assert!(world.nothing_asked());
    }
    let lost = pending("lev").failed(ErrorState::NeedsLogin, Reason::RotationLost, "x");
    let world = World::new([lost.0]);
    let problem = curl(&world, &["/v1/tokens/lev?wait=20s"]).json();
    assert_eq!(problem["reason"], "rotation_lost");
}

#[test]
fn min_ttl_asks_and_waits() {
    let old = pending("lev").obtained(1, "old", 100, 60);
    let mut world = World::new([old.clone().0]);
    assert_eq!(curl(&world, &["/v1/tokens/lev?min_ttl=30s"]).status, 200);
    assert!(world.nothing_asked());

    let at_once = curl(&world, &["/v1/tokens/lev?min_ttl=50s"]);
    assert_eq!(at_once.status, 503);
    assert_eq!(at_once.header("retry-after"), Some("1"));
    let detail = at_once.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("token lev expires in 3"), "{detail}");
    world.asked_for("lev");

    thread::scope(|scope| {
        let world = &mut world;
        let socket = world.socket.clone();
        let waiting = scope.spawn(move || {
            let target = "/v1/tokens/lev/access_token?min_ttl=50s&wait=15s";
            get(&socket, target).unwrap()
        });
        world.asked_for("lev");
        // News that do not answer the wish leave it waiting.
        world.begin_attempt("lev");
        world.publish(old.obtained(2, "new", 100, 0).0);
        assert_eq!(waiting.join().unwrap(), b"new");
    });
    assert!(world.nothing_asked());

    // While requests fail, readers leave the schedule alone; accounts get locked.
    for state in [ErrorState::Transient, ErrorState::NeedsLogin] {
        let failing = pending("lev").obtained(3, "old", 100, 60);
        world.publish(failing.failed(state, Reason::PasswordRefused, "x").0);
        let answer = curl(&world, &["/v1/tokens/lev?min_ttl=50s&wait=100ms"]);
        assert!(answer.status == 503 || answer.status == 409);
        assert!(world.nothing_asked());
    }
}

#[test]
fn waits_through_a_reload_but_not_for_a_removed_token() {
    let mut world = World::new([pending("lev").0, pending("nhs").0]);
    thread::scope(|scope| {
        let world = &mut world;
        let wait = |target| {
            let socket = world.socket.clone();
            scope.spawn(move || get(&socket, target))
        };
        let kept = wait("/v1/tokens/lev/access_token?wait=15s");
        let removed = wait("/v1/tokens/nhs?wait=15s");
        for name in ["lev", "nhs"] {
            world.wait_for_waiting(name, 1);
        }
        world.configure(pending("lev").0);
        world.remove("nhs");
        assert_eq!(code(removed.join().unwrap()), Code::NotFound);
        world.wait_for_waiting("lev", 1);
        world.publish(fresh("lev", "new").0);
        assert_eq!(kept.join().unwrap().unwrap(), b"new");
    });
}

#[test]
fn a_refresh_waits_for_its_outcome() {
    let old = fresh("lev", "old");
    let mut world = World::new([old.clone().0]);
    let refresh = |world: &mut World, answer: socket::Made| {
        let socket = world.socket.clone();
        let asking = thread::spawn(move || post(&socket, "/v1/tokens/lev/refresh?wait=15s", ""));
        world.asked_for("lev");
        // That an attempt has begun is news, but no outcome, whatever came of the one before.
        world.begin_attempt("lev");
        // The server's thread has seen it when it answers who asks later.
        assert_eq!(curl(world, &["/v1/status/lev"]).status, 200);
        world.publish(answer.0);
        asking.join().unwrap()
    };
    let replaced = old.obtained(2, "new", 3600, 0);
    let new = refresh(&mut world, replaced.clone()).unwrap();
    let new: Value = serde_json::from_slice(&new).unwrap();
    assert_eq!(new["generation"], 2);
    assert_eq!(new["access_token"], "new");

    let failed = replaced.failed(ErrorState::FixConfig, Reason::LastError, "invalid_client");
    let begun = clock::now();
    assert_eq!(
        code(refresh(&mut world, failed.clone())),
        Code::State(ErrorState::FixConfig)
    );
    assert!(clock::now() - begun < Duration::from_secs(5));
    // A failure from before the request is not its outcome.
    let fixed = failed.obtained(3, "newer", 3600, 0);
    assert!(refresh(&mut world, fixed).is_ok());

    let late = curl(&world, &["-XPOST", "/v1/tokens/lev/refresh?wait=50ms"]);
    assert_eq!(late.status, 503);
    assert_eq!(late.json()["detail"], "token lev was not replaced in time");
}

#[test]
fn fifty_that_met_a_401_get_one_replacement() {
    let mut world = World::new([fresh("lev", "old").0]);
    let body: Arc<str> = json!({ "rejected": sha256("old") }).to_string().into();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (socket, body) = (world.socket.clone(), Arc::clone(&body));
            let target = "/v1/tokens/lev/refresh?wait=15s";
            thread::spawn(move || post(&socket, target, &body).unwrap())
        })
        .collect();
    // The core joins them to the one attempt under way.
    for _ in 0..50 {
        assert_eq!(world.asked_for("lev"), Some(1), "instead of the old one");
    }
    world.publish(fresh("lev", "old").obtained(2, "new", 3600, 0).0);
    for asking in asking {
        let new: Value = serde_json::from_slice(&asking.join().unwrap()).unwrap();
        assert_eq!(new["access_token"], "new");
    }

    // Who comes later with the old one gets the current one, and nothing is fetched.
    let upper = json!({ "rejected": sha256("old").to_uppercase() }).to_string();
    let late = post(&world.socket, "/v1/tokens/lev/refresh", &upper).unwrap();
    let late: Value = serde_json::from_slice(&late).unwrap();
    assert_eq!(late["generation"], 2);
    assert!(world.nothing_asked());
}

#[test]
fn a_401_does_not_repeat_a_refused_password() {
    let refused = fresh("lev", "old").failed(
        ErrorState::NeedsLogin,
        Reason::PasswordRefused,
        "invalid_grant",
    );
    let mut world = World::new([refused.0]);
    let body = json!({ "rejected": sha256("old") }).to_string();
    let begun = clock::now();
    let answer = post(&world.socket, "/v1/tokens/lev/refresh", &body);
    assert_eq!(code(answer), Code::State(ErrorState::NeedsLogin));
    assert!(clock::now() - begun < Duration::from_secs(5));
    assert!(world.nothing_asked());
}

#[test]
fn other_users_are_refused() {
    let mut world = World::new([fresh("lev", "canary-1").0]);
    // The files' modes are one gate; here the server's own is tested.
    let open = |path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    open(world.directory.path(), 0o755);
    open(&world.socket, 0o666);
    let as_nobody = |args: &[&str]| {
        let (options, path) = args.split_at(args.len() - 1);
        let output = run(Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["curl", "-isS", "--max-time", "20", "--unix-socket"])
            .arg(&world.socket)
            .args(options)
            .arg(format!("http://bearerd{}", path[0])));
        Answer::parse(&output.stdout)
    };
    for args in [
        &["/v1/tokens"][..],
        &["/v1/tokens/lev"],
        &["/v1/tokens/lev/access_token"],
        &["/v1/tokens/unknown"],
        &["-XPOST", "/v1/tokens/lev/refresh"],
        &["/v1/status"],
        &["/v1/status/lev"],
        &["/v1/events"],
        &["/v1/events?token=lev"],
        &["/metrics"],
        &["/healthz"],
        &["/readyz"],
    ] {
        let answer = as_nobody(args);
        assert_eq!(answer.status, 403, "{args:?}");
        assert_eq!(answer.json()["code"], "denied", "{args:?}");
        assert!(!answer.body.contains("canary"), "{args:?}");
    }
    assert!(world.nothing_asked());
    assert_eq!(curl(&world, &["/v1/tokens/lev"]).status, 200);
}

#[test]
fn silent_clients_do_not_stand_in_the_way() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let mut kept = UnixStream::connect(&world.socket).unwrap();
    ping(&mut kept);
    let silent: Vec<_> = (0..700)
        .map(|i| {
            let mut stream = UnixStream::connect(&world.socket).unwrap();
            if i % 2 == 0 {
                // The server may have closed it already to make room.
                let _ = stream.write_all(b"GET /v1/to");
            }
            stream
        })
        .collect();
    let begun = clock::now();
    for _ in 0..20 {
        assert_eq!(
            curl(&world, &["/v1/tokens/lev/access_token"]).body,
            "canary-1"
        );
    }
    let took = clock::now() - begun;
    assert!(took < Duration::from_secs(4), "{took:?}");
    // A client that has made use of its connection keeps it before those that have not.
    ping(&mut kept);
    drop(silent);
}

#[test]
fn more_requests_than_connections_wait_their_turn() {
    let limits = Limits {
        connections: 256,
        ..Limits::default()
    };
    let world = World::limited(limits, [pending("lev").0, fresh("nhs", "canary-2").0]);
    let busy: Vec<_> = (0..256)
        .map(|_| {
            let mut stream = UnixStream::connect(&world.socket).unwrap();
            let request = b"GET /v1/tokens/lev/access_token?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    // Before its request is read, a client may be sent away to make room.
    world.wait_for_waiting("lev", 256);
    let socket = world.socket.clone();
    let next = thread::spawn(move || get(&socket, "/v1/tokens/nhs/access_token").unwrap());
    // The same thread serves oidc-agent's socket: by the time of its answers it has seen the new client, too.
    for _ in 0..10 {
        let mut stream = UnixStream::connect(&world.oidc_agent).unwrap();
        stream.write_all(b"no such request").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(!next.is_finished());
    // One is answered and stays connected: being idle now, it makes room.
    world.publish(fresh("lev", "canary-1").0);
    assert_eq!(next.join().unwrap(), b"canary-2");
    drop(busy);
}

#[test]
fn waiting_clients_that_leave_free_their_place() {
    let world = World::new([pending("lev").0, fresh("nhs", "canary-2").0]);
    for _ in 0..600 {
        let mut stream = UnixStream::connect(&world.socket).unwrap();
        let request = b"GET /v1/tokens/lev?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).unwrap();
    }
    let begun = clock::now();
    assert_eq!(
        get(&world.socket, "/v1/tokens/nhs/access_token").unwrap(),
        b"canary-2"
    );
    let took = clock::now() - begun;
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Waits until the other side has closed a connection, and reads nothing of it.
fn wait_for_hangup(stream: &UnixStream) {
    let mut ends = [PollFd::new(stream, PollFlags::empty())];
    let patience = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let ended = poll(&mut ends, Some(&patience)).unwrap();
    assert_eq!(ended, 1, "nobody hangs up");
}

#[test]
fn slow_clients_are_cut_off() {
    let world = World::new([fresh("lev", "canary-1").0]);
    thread::scope(|scope| {
        // Headers that never end, a byte at a time.
        scope.spawn(|| {
            let mut stream = UnixStream::connect(&world.socket).unwrap();
            // Between two bytes it waits for the server to hang up.
            let pace = Some(Duration::from_millis(50));
            stream.set_read_timeout(pace).unwrap();
            let begun = clock::now();
            while stream.write_all(b"G").is_ok() && stream.read(&mut [0]).is_err() {
                assert!(clock::now() - begun < Duration::from_secs(9));
            }
            assert!(clock::now() - begun > Duration::from_secs(3));
        });
        // A body that never comes.
        scope.spawn(|| {
            let request =
                b"POST /v1/tokens/lev/refresh HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
            assert_eq!(Answer::parse(&raw(&world, request)).status, 408);
        });
    });
}

#[test]
fn a_client_that_does_not_read_loses_its_connection() {
    let long = "x".repeat(4096);
    let tokens = (0..2000).map(|i| {
        let name = format!("t{i}");
        pending(&name)
            .failed(ErrorState::Transient, Reason::LastError, &long)
            .0
    });
    let world = World::new(tokens);
    let mut stream = UnixStream::connect(&world.socket).unwrap();
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    wait_for_hangup(&stream);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        !answer.is_empty() && answer.len() < 2000 * 4096,
        "{}",
        answer.len()
    );
    // One that reads gets all of it.
    let page = get(&world.socket, "/v1/status").unwrap();
    assert!(page.len() > 2000 * 4096);
}

/// One request over a connection that stays open.
fn ping(stream: &mut UnixStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
}

fn get(socket: &std::path::Path, target: &str) -> Result<Vec<u8>, ClientError> {
    call(socket, "GET", target, "")
}

fn post(socket: &std::path::Path, target: &str, body: &str) -> Result<Vec<u8>, ClientError> {
    call(socket, "POST", target, body)
}

fn call(
    socket: &std::path::Path,
    method: &str,
    target: &str,
    body: &str,
) -> Result<Vec<u8>, ClientError> {
    let wait = Duration::from_secs(60);
    client::call(
        socket,
        Call {
            method,
            target,
            body,
            wait,
        },
    )
}

fn code(answer: Result<Vec<u8>, ClientError>) -> Code {
    match answer {
        Err(ClientError::Problem(problem)) => problem.code,
        other => panic!("{other:?}"),
    }
}

/// As another user, with these groups; `None` where the test is not root's.
fn curl_as(world: &World, uid: u32, groups: &str, path: &str) -> Option<Answer> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.directory.path(), open).unwrap();
    let uid = uid.to_string();
    let output = run(Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--groups", groups])
        .args(["curl", "-isS", "--max-time", "20", "--unix-socket"])
        .arg(&world.socket)
        .args(path.starts_with("POST ").then_some("-XPOST"))
        .arg(format!(
            "http://bearerd{}",
            path.trim_start_matches("POST ")
        )));
    Some(Answer::parse(&output.stdout))
}

fn allowing(name: &str, secret: &str, allow: &[(&str, Who)]) -> Made {
    let mut made = fresh(name, secret);
    Arc::make_mut(&mut made.0.config).allow = allow
        .iter()
        .map(|(written, who)| Allow {
            written: (*written).to_owned(),
            who: who.clone(),
        })
        .collect();
    made
}

fn mode(world: &World) -> u32 {
    let metadata = std::fs::metadata(&world.socket).unwrap();
    metadata.permissions().mode() & 0o777
}

/// Waits for the acceptor's next turn: it answers in order.
fn after_a_turn(world: &World) {
    assert_eq!(curl(world, &["/healthz"]).status, 200);
}

/// Who may log in may not read, nor the other way round.
#[test]
fn logging_in_is_a_right_of_its_own() {
    let mut world = World::new([]);
    let mut one = allowing("lev", "of-lev", &[]).0;
    let rule = |uid| Allow {
        written: format!("user:{uid}"),
        who: Who::User(uid),
    };
    Arc::make_mut(&mut one.config).login = vec![rule(1234)];
    Arc::make_mut(&mut one.config).allow = vec![rule(1235)];
    world.configure(one);
    after_a_turn(&world);
    let asked = |uid, path: &str| curl_as(&world, uid, "1", path).map(|answer| answer.status);
    let login = "POST /v1/tokens/lev/login";
    let Some(status) = asked(1234, login) else {
        return;
    };
    // The test does not play the daemon's part in it: 503 is behind the gate.
    assert_eq!((status, asked(1235, login)), (503, Some(403)));
    let complete = "POST /v1/tokens/lev/login/complete";
    assert_eq!(
        (asked(1234, complete), asked(1235, complete)),
        (Some(503), Some(403))
    );
    let logout = "POST /v1/tokens/lev/logout";
    assert_eq!(
        (asked(1234, logout), asked(1235, logout)),
        (Some(503), Some(403))
    );
    for path in [
        "/v1/tokens/lev",
        "/v1/tokens/lev/access_token",
        "POST /v1/tokens/lev/refresh",
    ] {
        assert_eq!(asked(1234, path), Some(403), "{path}");
    }
    assert_eq!(asked(1235, "/v1/tokens/lev"), Some(200));
    assert_eq!(asked(1236, login), Some(403));
    // Even with nobody but people who log in, the socket lets them in.
    let mut only = allowing("lev", "of-lev", &[]).0;
    Arc::make_mut(&mut only.config).login = vec![rule(1234)];
    world.configure(only);
    after_a_turn(&world);
    assert_eq!(mode(&world), 0o666);
}

#[test]
fn other_users_read_what_they_are_allowed_and_learn_of_nothing_else() {
    let mut world = World::new([fresh("closed", "canary-closed").0]);
    after_a_turn(&world);
    assert_eq!(mode(&world), 0o600);
    world.configure(allowing("user", "of-user", &[("user:1234", Who::User(1234))]).0);
    world.configure(allowing("group", "of-group", &[("group:777", Who::Group(777))]).0);
    world.configure(allowing("unit", "of-unit", &[("unit:*", Who::Unit("*".into()))]).0);
    after_a_turn(&world);
    assert_eq!(mode(&world), 0o666);
    world.daemon.send_replace(DaemonView {
        warnings: vec!["canary-warning".into()],
        configuration_error: Some("canary-error".into()),
        ..DaemonView::default()
    });

    let Some(answer) = curl_as(&world, 1234, "1", "/v1/tokens/user/access_token") else {
        return;
    };
    assert_eq!((answer.status, &*answer.body), (200, "of-user"));
    let get = |uid, groups, path: &str| curl_as(&world, uid, groups, path).unwrap();
    // A further group counts, not only the first.
    let answer = get(1235, "5,777", "/v1/tokens/group/access_token");
    assert_eq!((answer.status, &*answer.body), (200, "of-group"));
    let answer = get(777, "1", "/v1/tokens/group/access_token");
    assert_eq!((answer.status, &*answer.body), (200, "of-group"));

    for (uid, groups, path) in [
        (1235, "1", "/v1/tokens/user"),
        (1234, "1", "/v1/tokens/group"),
        (1234, "777", "/v1/tokens/closed"),
        (1234, "777", "/v1/tokens/none"),
        (1234, "777", "/v1/status/closed"),
        (1235, "0", "/v1/tokens/closed"),
        (1235, "1", "/v1/tokens"),
        (1235, "1", "/v1/status"),
        (1235, "1", "/readyz"),
        // This machine's tests run in no unit.
        (1235, "1", "/v1/tokens/unit"),
    ] {
        let answer = get(uid, groups, path);
        assert_eq!(answer.status, 403, "{uid} {groups} {path} {}", answer.body);
        assert_eq!(answer.json()["code"], "denied");
    }

    for (path, names) in [("/v1/tokens", "[\"user\"]"), ("/v1/status", "[\"user\"]")] {
        let answer = get(1234, "1", path);
        let tokens = answer.json()["tokens"].as_array().unwrap().clone();
        let seen: Vec<Value> = tokens.iter().map(|token| token["name"].clone()).collect();
        assert_eq!(Value::Array(seen).to_string(), names);
        assert!(!answer.body.contains("canary"), "{}", answer.body);
    }
    let answer = get(1234, "1", "/readyz");
    assert!(answer.status == 503 && !answer.body.contains("closed"));
    // Root sees everything.
    let listed = curl(&world, &["/v1/tokens"]).json();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 4);

    for name in ["user", "group", "unit"] {
        world.remove(name);
    }
    after_a_turn(&world);
    assert_eq!(mode(&world), 0o600);
}

#[test]
fn who_has_the_token_is_not_sent_it_again() {
    let mut world = World::new([]);
    for path in ["/v1/tokens/lev", "/v1/tokens/lev/access_token"] {
        world.configure(fresh("lev", "lev-1").0);
        let first = curl(&world, &[path]);
        assert_eq!(first.status, 200);
        let tag = first.header("etag").unwrap().to_owned();
        assert_eq!(tag, "W/\"1\"");
        for known in [&tag, "\"1\"", "\"x\", W/\"1\"", "*"] {
            let again = curl(&world, &["-H", &format!("If-None-Match: {known}"), path]);
            assert_eq!((again.status, &*again.body), (304, ""), "{known}");
            assert_eq!(again.header("etag"), Some(&*tag));
        }
        for other in ["\"2\"", "1", "W/", "\"", "\"11\""] {
            let again = curl(&world, &["-H", &format!("If-None-Match: {other}"), path]);
            assert_eq!(again.status, 200, "{other}");
        }
        world.publish(fresh("lev", "lev-1").obtained(2, "lev-2", 3600, 0).0);
        let changed = curl(&world, &["-H", &format!("If-None-Match: {tag}"), path]);
        assert_eq!(changed.status, 200);
        assert!(changed.body.contains("lev-2"));
        assert_eq!(changed.header("etag"), Some("W/\"2\""));
    }
}
