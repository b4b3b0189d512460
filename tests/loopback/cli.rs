//! The command line against the real server: output, exit codes, errors.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use bearerd::store::DaemonView;
use bearerd_core::refresh::{ErrorState, Reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::tool;

use crate::socket;
use crate::socket::{World, fresh, pending};

struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

fn bearerd(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.env_clear().env("BEARERD_SOCKET", socket);
    command
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(world: &World, args: &[&str]) -> Outcome {
    outcome(bearerd(&world.socket).args(args).output().unwrap())
}

fn run_with_input(world: &World, args: &[&str], input: &[u8]) -> Outcome {
    let mut child = bearerd(&world.socket)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    outcome(child.wait_with_output().unwrap())
}

#[test]
fn get_prints_the_token_and_nothing_else() {
    let world = World::new([fresh("lev", "canary-1").0]);
    let got = run(&world, &["get", "lev"]);
    assert_eq!(
        (got.code, got.stdout.as_str(), got.stderr.as_str()),
        (0, "canary-1", "")
    );
    let got = run(
        &world,
        &["get", "lev", "--format", "json", "--min-ttl", "30m"],
    );
    let token: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
    assert_eq!(token["access_token"], "canary-1");

    // On a terminal a newline follows (script(1) makes one).
    let command = format!("{} get lev", env!("CARGO_BIN_EXE_bearerd"));
    let typescript = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("BEARERD_SOCKET", &world.socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let typescript = String::from_utf8(typescript.stdout).unwrap();
    assert!(typescript.contains("canary-1\r\n"), "{typescript:?}");
}

#[test]
fn get_waits_for_the_first_token() {
    let world = World::new([pending("lev").0]);
    let waiting = bearerd(&world.socket)
        .args(["get", "lev", "--wait", "20s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    world.wait_for_waiting("lev", 1);
    world.publish(fresh("lev", "canary-1").0);
    let got = outcome(waiting.wait_with_output().unwrap());
    assert_eq!((got.code, got.stdout.as_str()), (0, "canary-1"));
}

#[test]
fn exit_codes() {
    let world = World::new([
        fresh("fresh", "canary").0,
        failing("transient", ErrorState::Transient).0,
        failing("login", ErrorState::NeedsLogin).0,
        failing("config", ErrorState::FixConfig).0,
        failing("denied", ErrorState::Denied).0,
        pending("pending").0,
    ]);
    let cases = [
        ("fresh", 0),
        ("transient", 3),
        ("pending", 3),
        ("login", 4),
        ("config", 5),
        ("denied", 6),
        ("absent", 7),
    ];
    for (name, code) in cases {
        let got = run(&world, &["get", name, "--wait", "0s"]);
        assert_eq!(got.code, code, "get {name}: {}", got.stderr);
        assert_eq!(got.stdout.is_empty(), code != 0);
        let got = run(&world, &["status", name]);
        assert_eq!(got.code, code, "status {name}: {}", got.stderr);
        let got = run(&world, &["refresh", name, "--wait", "0s"]);
        let refreshed = if code == 0 { 3 } else { code };
        assert_eq!(got.code, refreshed, "refresh {name}: {}", got.stderr);
    }
    assert_eq!(run(&world, &["status"]).code, 6);
    for usage in [
        &["get"][..],
        &["get", "a/b"],
        &["get", "fresh", "--wait", "5"],
        &["get", "fresh", "--wait", "6m"],
        &["get", "fresh", "--min-ttl", "2h"],
        &["nonsense"],
        &["refresh", "fresh", "--rejected=canary"],
        &["--socket", "/x", "check"],
    ] {
        let got = run(&world, usage);
        assert_eq!(got.code, 2, "{usage:?}: {}", got.stderr);
        assert_eq!(got.stdout, "");
        assert!(!got.stderr.contains("canary"), "{}", got.stderr);
    }
}

#[test]
fn errors_say_what_and_what_to_do() {
    let world = World::new([failing("config", ErrorState::FixConfig).0]);
    let got = run(&world, &["get", "config"]);
    let expected = "bearerd: there is no valid token config: the server\u{fffd}[1m said no\n\
                    hint: mend it\n";
    assert_eq!(got.stderr, expected);
    let got = run(&world, &["get", "absent"]);
    let expected = "bearerd: no token is named absent\nhint: `bearerd status` lists the tokens\n";
    assert_eq!(got.stderr, expected);
}

#[test]
fn no_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("bearerd.sock");
    let got = outcome(bearerd(&nowhere).args(["get", "lev"]).output().unwrap());
    assert_eq!(got.code, 8);
    let begins = format!(
        "bearerd: cannot reach the daemon at {}: ",
        nowhere.display()
    );
    assert!(got.stderr.starts_with(&begins), "{}", got.stderr);
    assert!(got.stderr.contains("\nhint: "), "{}", got.stderr);

    // The file is there, the daemon is not.
    drop(bearerd::api::bind(&nowhere, std::time::Duration::ZERO).unwrap());
    for args in [&["get", "lev"][..], &["status"], &["refresh", "lev"]] {
        let got = outcome(bearerd(&nowhere).args(args).output().unwrap());
        assert_eq!(got.code, 8, "{}", got.stderr);
    }
    // --socket comes before $BEARERD_SOCKET.
    let world = World::new([fresh("lev", "canary").0]);
    let mut command = bearerd(&nowhere);
    command.args(["get", "lev", "--socket"]).arg(&world.socket);
    assert_eq!(outcome(command.output().unwrap()).code, 0);
}

#[test]
fn the_socket_of_somebody_else() {
    let world = World::new([fresh("lev", "canary").0]);
    let open = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    open(world.directory.path(), 0o755);
    let binary = world.directory.path().join("bearerd");
    std::fs::copy(env!("CARGO_BIN_EXE_bearerd"), &binary).unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .args(["get", "lev", "--socket"])
            .arg(&world.socket);
        outcome(command.output().unwrap())
    };
    // First the file's mode refuses, then the daemon.
    let got = as_nobody();
    assert_eq!((got.code, got.stdout.as_str()), (6, ""), "{}", got.stderr);
    assert!(got.stderr.contains("cannot connect"), "{}", got.stderr);
    open(&world.socket, 0o666);
    let got = as_nobody();
    assert_eq!((got.code, got.stdout.as_str()), (6, ""), "{}", got.stderr);
    assert!(got.stderr.contains("no rule"), "{}", got.stderr);
}

#[test]
fn something_else_at_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = std::io::Read::read(&mut stream, &mut request);
        stream.write_all(b"220 mail ready\r\n").unwrap();
    });
    let got = outcome(bearerd(&path).args(["get", "lev"]).output().unwrap());
    other.join().unwrap();
    assert_eq!(got.code, 1, "{}", got.stderr);
    assert!(got.stderr.contains("makes no sense"), "{}", got.stderr);
}

#[test]
fn status_for_people() {
    let mut shown = fresh("lev", "canary").0;
    shown.standing.output_errors = vec!["/run/lev: no space left".into()];
    let world = World::new([
        shown,
        failing("nhs_user", ErrorState::Transient).0,
        pending("x").0,
    ]);
    world.daemon.send_replace(DaemonView {
        ready: false,
        configuration_error: Some("bearerd.toml:3:1: unknown key".into()),
        warnings: vec!["state is not sealed".into()],
        ..DaemonView::default()
    });
    let got = run(&world, &["status"]);
    assert_eq!(got.code, 5);
    let version = env!("CARGO_PKG_VERSION");
    // Seconds pass while the test runs: their places are masked.
    let masked: String = got
        .stdout
        .lines()
        .map(|line| {
            let line = line
                .replace("44m 59s", "44m 5Xs")
                .replace("44m 58s", "44m 5Xs");
            let line = line
                .replace("59m 59s", "59m 5Xs")
                .replace("59m 58s", "59m 5Xs");
            line.replace("in 19s", "in 1Xs").replace("in 18s", "in 1Xs") + "\n"
        })
        .collect();
    let expected = format!(
        "bearerd {version}: not ready\n\
         configuration not in force: bearerd.toml:3:1: unknown key\n\
         warning: state is not sealed\n\
         \n\
         NAME      STATE      EXPIRES IN  NEXT REFRESH  LAST ERROR\n\
         lev       fresh      59m 5Xs     in 44m 5Xs    -\n\
         nhs_user  transient  -           in 1Xs        the server\u{fffd}[1m said no\n\
         x         pending    -           under way     -\n\
         \n\
         lev: not delivered: /run/lev: no space left\n"
    );
    assert_eq!(masked, expected);

    let got = run(&world, &["status", "nhs_user"]);
    assert!(
        got.stdout
            .ends_with("\nerror: the server\u{fffd}[1m said no\nhint: mend it\n")
    );
    let got = run(&world, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
    assert_eq!(status["tokens"][0]["name"], "lev");
    assert_eq!(got.code, 5);
    assert!(!got.stdout.contains("canary"));
}

#[test]
fn refresh_takes_the_rejected_token_from_stdin_or_its_hash() {
    let mut world = World::new([fresh("lev", "new").obtained(2, "new", 3600, 0).0]);
    // sha256 of "old".
    let hash = "--rejected=cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4";
    for (args, input) in [
        (["refresh", "lev", "--rejected"], &b"old"[..]),
        (["refresh", "lev", "--rejected"], b"other\n"),
        (["refresh", "lev", hash], b""),
    ] {
        let got = run_with_input(&world, &args, input);
        assert_eq!(got.code, 0, "{}", got.stderr);
        assert!(
            got.stderr
                .starts_with("lev: generation 2, expires in 59m 5")
        );
        assert_eq!(got.stdout, "");
    }
    assert!(world.nothing_asked());
    let got = run_with_input(&world, &["refresh", "lev", "--rejected"], b"\n");
    assert_eq!(got.code, 2);

    thread::scope(|scope| {
        let child = bearerd(&world.socket)
            .args(["refresh", "lev", "--rejected"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let asking = scope.spawn(move || {
            let mut child = child;
            child.stdin.take().unwrap().write_all(b"new\n").unwrap();
            outcome(child.wait_with_output().unwrap())
        });
        world.asked_for("lev");
        world.publish(fresh("lev", "new").obtained(3, "newer", 3600, 0).0);
        let got = asking.join().unwrap();
        assert_eq!(got.code, 0, "{}", got.stderr);
        assert!(
            got.stderr.starts_with("lev: generation 3"),
            "{}",
            got.stderr
        );
    });
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new([fresh("lev", "canary").0]);
    for args in [&["get", "lev"][..], &["status"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = bearerd(&world.socket)
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let got = outcome(child.wait_with_output().unwrap());
        assert_eq!((got.code, got.stderr.as_str()), (0, ""));
    }
}

/// What a process has open, and how many threads it is.
fn anatomy(pid: u32) -> (Vec<String>, String) {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let link = |entry: std::io::Result<std::fs::DirEntry>| {
        let link = std::fs::read_link(entry.unwrap().path()).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    (
        links.map(link).collect(),
        threads.unwrap().trim().to_owned(),
    )
}

/// Scripts ask often, and a runtime or the roots of TLS would cost them more than the answer.
#[test]
fn what_asks_the_daemon_alone_starts_neither_a_runtime_nor_tls() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bearerd.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    // Who loads certificates waits here for a writer that never comes, and does not get to its request.
    let roots = directory.path().join("roots.pem");
    let readable = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &roots,
        rustix::fs::FileType::Fifo,
        readable,
        0,
    )
    .unwrap();
    for args in [
        &["get", "lev", "--wait", "20s"][..],
        &["get", "lev", "--format", "headers"],
        &["credential-helper", "kubectl", "--token", "lev"],
        &["exec", "lev", "--", "true"],
        &["refresh", "lev"],
        &["status"],
        &["events"],
    ] {
        let mut command = bearerd(&socket);
        command.args(args).env("SSL_CERT_FILE", &roots);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut connected = [PollFd::new(&listener, PollFlags::IN)];
        let soon = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let came = poll(&mut connected, Some(&soon)).unwrap() == 1;
        let seen = came.then(|| {
            let mut client = std::io::BufReader::new(listener.accept().unwrap().0);
            // It has asked, and waits for the answer.
            let lines = std::io::BufRead::lines(&mut client).map(Result::unwrap);
            assert!(lines.take_while(|line| !line.is_empty()).count() > 1);
            anatomy(child.id())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let (links, threads) = seen.unwrap_or_else(|| panic!("{args:?} has asked nothing"));
        assert_eq!(threads, "1", "{args:?}");
        // Of polling, events and timers.
        let of_runtime = links.iter().any(|link| link.starts_with("anon_inode:"));
        assert!(!of_runtime, "{args:?}: {links:?}");
    }
}

fn failing(name: &str, state: ErrorState) -> socket::Made {
    let error = "the server\u{1b}[1m said no; hint: mend it";
    pending(name).failed(state, Reason::LastError, error)
}

#[test]
fn get_formats() {
    let world = World::new([fresh("lev", "canary-1").0]);
    for (format, expected) in [
        ("headers", "Authorization: Bearer canary-1\n"),
        ("curl", "header = \"Authorization: Bearer canary-1\"\n"),
        ("env", "ACCESS_TOKEN=\"canary-1\"\n"),
    ] {
        let got = run(&world, &["get", "lev", "--format", format]);
        assert_eq!((got.code, got.stdout.as_str()), (0, expected));
        let got = run(&world, &["get", "absent", "--format", format]);
        assert_eq!((got.code, got.stdout.as_str()), (7, ""));
    }
    let netrc = ["get", "lev", "--format", "netrc"];
    let got = run(&world, &[&netrc[..], &["--machine", "api.test"]].concat());
    let entry = "machine api.test login oauth2 password canary-1\n";
    assert_eq!((got.code, got.stdout.as_str()), (0, entry));
    assert_eq!(run(&world, &netrc).code, 2);
    let template = world.directory.path().join("t.j2");
    let by_template = ["get", "lev", "--format", "template", "--template"];
    let by_template = [&by_template[..], &[template.to_str().unwrap()]].concat();
    assert_eq!(run(&world, &by_template).code, 2);
    let text = "{{ name }} {{ token_type }} {{ generation }} {{ (expires_in > 3500) | tojson }} {{ access_token }}";
    std::fs::write(&template, text).unwrap();
    let got = run(&world, &by_template);
    assert_eq!(
        (got.code, got.stdout.as_str()),
        (0, "lev Bearer 1 true canary-1")
    );
}

/// bearerd on a terminal that script(1) makes.
fn on_terminal(world: &World, args: &str) -> Command {
    let command = format!("{} {args}", env!("CARGO_BIN_EXE_bearerd"));
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("BEARERD_SOCKET", &world.socket)
        .stdin(Stdio::null());
    script
}

#[test]
fn colour_is_for_terminals_whose_users_want_it() {
    let world = World::new([
        fresh("fresh", "canary").0,
        failing("lev", ErrorState::Transient).0,
        failing("x", ErrorState::NeedsLogin).0,
    ]);
    let shown = |command: &mut Command| {
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&mut on_terminal(&world, "status"));
    for coloured in [
        "\nfresh  \u{1b}[32mfresh\u{1b}[0m ",
        "\nlev    \u{1b}[33mtransient\u{1b}[0m ",
        "\nx      \u{1b}[31mneeds_login\u{1b}[0m ",
    ] {
        assert!(text.contains(coloured), "{text:?}");
    }
    let text = shown(on_terminal(&world, "status").env("NO_COLOR", "1"));
    assert!(text.contains("transient") && !text.contains('\u{1b}'));
    assert!(!run(&world, &["status"]).stdout.contains('\u{1b}'));
}

#[test]
fn status_is_watched() {
    let world = World::new([pending("lev").0]);
    let mut child = on_terminal(&world, "status --watch")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut until = |words: &str| {
        let (mut text, mut chunk) = (String::new(), [0; 4096]);
        while !text.contains(words) {
            let read = std::io::Read::read(&mut stdout, &mut chunk).unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        text
    };
    let first = until("\u{1b}[J");
    assert!(first.contains("\u{1b}[2J\u{1b}[H"), "{first:?}");
    assert!(first.contains("\u{1b}[33mpending\u{1b}[0m"), "{first:?}");
    world.publish(fresh("lev", "canary").0);
    let next = until("\u{1b}[32mfresh\u{1b}[0m");
    // Drawn over, not wiped away.
    assert!(!next.contains("\u{1b}[2J"), "{next:?}");
    // The daemon goes; the watch stays.
    let socket = world.socket.clone();
    drop(world);
    for _ in 0..2 {
        until(&format!("cannot reach the daemon at {}", socket.display()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_watch_ends_with_its_reader() {
    let world = World::new([fresh("lev", "canary").0]);
    let mut child = bearerd(&world.socket)
        .args(["status", "--watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut page = [0; 16];
    std::io::Read::read_exact(&mut stdout, &mut page).unwrap();
    assert!(!page.contains(&0x1b));
    drop(stdout);
    let got = outcome(child.wait_with_output().unwrap());
    assert_eq!((got.code, got.stderr.as_str()), (0, ""));
}

#[test]
fn shells_accept_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = bearerd(Path::new("/nonexistent"))
            .args(["completions", shell])
            .output()
            .unwrap();
        assert_eq!(script.status.code(), Some(0));
        let text = String::from_utf8(script.stdout).unwrap();
        assert!(text.contains("credential-helper"), "{shell}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        if tool::has(shell) {
            let mut check = Command::new(shell);
            let checked = check.arg("-n").arg(file.path()).output().unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }
}
