//! `credentials.sock` as systemd asks it: from an abstract address that names unit and credential.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use bearerd::clock;
use bearerd::config::{FileConfig, FileFormat, HeaderValue, OnExpiry};
use bearerd_core::refresh::{ErrorState, Reason};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::socket::{Made, World, fresh, pending};

/// Everything that is sent to who connects from this abstract address; from none without.
fn read_from(world: &World, address: Option<&[u8]>) -> String {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    if let Some(address) = address {
        let address = SocketAddrUnix::new_abstract_name(address).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
    }
    let server = SocketAddrUnix::new(&world.credentials).unwrap();
    rustix::net::connect(&socket, &server).unwrap();
    let mut stream = UnixStream::from(socket);
    let timeout = Some(Duration::from_secs(20));
    stream.set_read_timeout(timeout).unwrap();
    let mut sent = String::new();
    stream.read_to_string(&mut sent).unwrap();
    sent
}

/// What a unit gets for `LoadCredential=ID:credentials.sock`.
fn credential(world: &World, id: &str) -> String {
    static RANDOM: AtomicU32 = AtomicU32::new(0);
    let random = RANDOM.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let address = format!("{pid:x}{random:08x}/unit/reports@1.service/{id}");
    read_from(world, Some(address.as_bytes()))
}

fn with_file(mut made: Made, format: FileFormat, header: Option<(&str, &str)>) -> Made {
    let headers = header.map(|(name, value)| (name.into(), HeaderValue::Plain(value.into())));
    Arc::make_mut(&mut made.0.config).files.push(FileConfig {
        path: "/nonexistent/token".into(),
        format,
        headers: headers.into_iter().collect(),
        cert: None,
        key: None,
        owner: None,
        group: None,
        mode: 0o600,
        on_expiry: OnExpiry::Keep,
    });
    made
}

#[test]
fn a_unit_gets_the_bare_token() {
    let world = World::new([fresh("lev", "lev-1").0]);
    assert_eq!(credential(&world, "lev"), "lev-1");
    assert_eq!(credential(&world, "lev.raw"), "lev-1");
    world.publish(fresh("lev", "x").obtained(2, "lev-2", 3600, 0).0);
    assert_eq!(credential(&world, "lev"), "lev-2");
    let mode = std::fs::metadata(&world.credentials).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_unit_gets_the_format_that_it_names() {
    let own = with_file(
        fresh("own", "own-1"),
        FileFormat::Headers,
        Some(("X-Api-Key", "k")),
    );
    let own = with_file(
        own,
        FileFormat::Netrc {
            machine: "api.test".into(),
            login: "oauth2".into(),
        },
        None,
    );
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("own.j2");
    let mut file = std::fs::File::create(&template).unwrap();
    file.write_all(b"key={{ access_token }}").unwrap();
    let own = with_file(own, FileFormat::Template { template }, None);
    let world = World::new([fresh("lev", "lev-1").0, own.0]);
    let bearer = "Authorization: Bearer lev-1";
    assert_eq!(credential(&world, "lev.headers"), format!("{bearer}\n"));
    assert_eq!(
        credential(&world, "lev.curl"),
        format!("header = \"{bearer}\"\n")
    );
    assert_eq!(credential(&world, "lev.env"), "ACCESS_TOKEN=\"lev-1\"\n");
    let json: serde_json::Value = serde_json::from_str(&credential(&world, "lev.json")).unwrap();
    assert_eq!(json["access_token"], "lev-1");
    assert!(json.get("refresh_token").is_none());
    // Nothing says for which machine, nor by which template.
    assert_eq!(credential(&world, "lev.netrc"), "");
    assert_eq!(credential(&world, "lev.template"), "");

    assert_eq!(
        credential(&world, "own.headers"),
        "Authorization: Bearer own-1\nX-Api-Key: k\n"
    );
    assert_eq!(
        credential(&world, "own.netrc"),
        "machine api.test login oauth2 password own-1\n"
    );
    assert_eq!(credential(&world, "own.template"), "key=own-1");
}

#[test]
fn a_name_with_a_dot_is_a_name_first() {
    let world = World::new([fresh("a", "plain").0, fresh("a.json", "dotted").0]);
    assert_eq!(credential(&world, "a.json"), "dotted");
    assert!(credential(&world, "a.json.headers").contains("dotted"));
}

#[test]
fn the_first_token_is_waited_for() {
    let world = World::new([pending("lev").0]);
    thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let world = &world;
        scope.spawn(move || send.send(credential(world, "lev")).unwrap());
        let early = receive.recv_timeout(Duration::from_millis(300));
        assert!(early.is_err(), "answered before there was a token");
        world.publish(fresh("lev", "lev-1").0);
        let late = receive.recv_timeout(Duration::from_secs(10));
        assert_eq!(late.unwrap(), "lev-1");
    });
}

#[test]
fn nothing_is_sent_where_waiting_is_in_vain() {
    let failed = |name| {
        let error = "the refresh token was refused";
        pending(name).failed(ErrorState::NeedsLogin, Reason::LastError, error)
    };
    let world = World::new([failed("lev").0, fresh("good", "good-1").0]);
    let before = clock::now();
    for id in [
        "lev",
        "none",
        "good.xml",
        "good.template",
        "..",
        "good.",
        "x y",
    ] {
        assert_eq!(credential(&world, id), "", "{id}");
    }
    for address in [
        None,
        Some(&b"unit/reports.service/good"[..]),
        Some(b"1/unit/reports.service"),
        Some(b"1/socket/reports.service/good"),
        Some(b"1/unit/reports.service/good/x"),
        Some(b"1/unit/\xff\xfe/good"),
    ] {
        assert_eq!(read_from(&world, address), "", "{address:?}");
    }
    assert!(clock::now() - before < Duration::from_secs(10));
    assert_eq!(credential(&world, "good"), "good-1");
}

#[test]
fn an_expired_token_is_not_sent() {
    let expired = pending("lev").obtained(1, "old", 60, 61);
    let expired = expired.failed(ErrorState::FixConfig, Reason::LastError, "invalid_client");
    let world = World::new([expired.0]);
    assert_eq!(credential(&world, "lev"), "");
}

/// The file's mode keeps others out; should it not, the kernel's word on the peer does.
#[test]
fn another_user_cannot_play_the_service_manager() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new([fresh("lev", "lev-1").0]);
    let open = |path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(world.directory.path(), 0o755);
    open(&world.credentials, 0o666);
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.bind(b'\\0other/unit/reports.service/lev')\n\
        s.connect(sys.argv[1])\n\
        sys.stdout.write('got ' + s.recv(100).decode())";
    let ask = |uid| {
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(&world.credentials);
        let output = command.uid(uid).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask(0), "got lev-1");
    assert_eq!(ask(65534), "got ");
}
