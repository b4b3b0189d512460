//! `bearerd check --online` against loopback servers: each kind of finding, the summary, the exit code.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::{Duration, UNIX_EPOCH};

use bearerd::clock;
use support::{Fault, Host, Server, Settings, SigningKey, System};

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn check(host: &Host, arguments: &[&str]) -> Outcome {
    let mut command = support::daemon::command(host);
    command.args(["check", "--config"]).arg(host.config_path());
    let output = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// One thing went wrong, and it reads so.
#[track_caller]
fn fails(host: &Host, code: i32, finding: &str) {
    let got = check(host, &["--online"]);
    let failed: Vec<_> = got
        .stdout
        .lines()
        .filter(|l| l.contains("FAILED"))
        .collect();
    let [failed] = failed.as_slice() else {
        panic!("{}{}", got.stdout, got.stderr);
    };
    assert!(failed.contains(finding), "{failed}");
    assert_eq!(
        (got.code, got.stderr.as_str()),
        (
            Some(code),
            "bearerd: 1 of the questions to the servers went wrong\n"
        )
    );
    assert!(!got.stdout.contains(": ok, "), "{}", got.stdout);
}

/// A self-signed certificate that expires at this time since the epoch, and its key: `secrets/NAME.crt`, `.key`.
fn certificate(host: &Host, name: &str, end: Duration) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut certificate = rcgen::CertificateParams::default();
    certificate.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
    let certificate = certificate.self_signed(&key).unwrap();
    host.secret(&format!("{name}.crt"), &certificate.pem());
    host.secret(&format!("{name}.key"), &key.serialize_pem());
}

#[test]
fn all_well_is_0() {
    let key = SigningKey::rsa();
    let server = Server::start_tls(Settings::with_key(&key));
    let host = Host::new();
    let tables = host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", &key);
    let path = host.configure(&tables);
    let summary = format!("{}: ok, 3 clients, 3 tokens\n", path.display());

    let got = check(&host, &[]);
    assert_eq!((got.code, got.stderr.as_str()), (Some(0), ""));
    assert_eq!(got.stdout, summary);
    assert_eq!(server.log(|log| log.requests.len()), 0);

    let got = check(&host, &["--online"]);
    assert_eq!((got.code, got.stderr.as_str()), (Some(0), ""));
    assert!(got.stdout.ends_with(&summary), "{}", got.stdout);
    for client in ["lev", "ardengem", "nhs"] {
        for what in [
            "token endpoint https://",
            "connection",
            "the server's clock agrees with this host's",
            "trial token, valid for ",
        ] {
            let line = format!("client {client}: ok {what}");
            assert!(got.stdout.contains(&line), "{line}\n{}", got.stdout);
        }
    }
    for system in System::ALL {
        assert_eq!(server.issued(system), 1, "one trial token");
    }
}

/// Root checks for the user that the service runs as; that user's rights are the kernel's to judge.
#[test]
fn root_checks_as_the_service_s_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let nobody = Some(65534);
    let server = Server::start(Settings::default());
    let host = Host::new();
    let path = host.configure(&host.lev(&server));
    let summary = format!("{}: ok, 1 clients, 1 tokens\n", path.display());
    let own = |name: &str, owner| chown(host.path(name), owner, owner).unwrap();
    for (name, mode) in [
        ("", 0o755),
        ("secrets", 0o750),
        ("bearerd.toml", 0o644),
        ("conf.d", 0o755),
    ] {
        fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(host.path("secrets"), None, nobody).unwrap();
    own("secrets/lev-password", nobody);
    own("secrets/lev-client-secret", nobody);

    // The state is root's, and so is the service.
    let got = check(&host, &[]);
    assert_eq!(got.code, Some(5), "{}", got.stderr);
    assert!(
        got.stderr
            .contains("lev-password is owned by somebody else")
    );

    own("state", nobody);
    let got = check(&host, &[]);
    let note = format!("who owns {}\n", host.path("state").display());
    assert!(
        got.stderr.starts_with("bearerd: checking as "),
        "{}",
        got.stderr
    );
    assert!(got.stderr.ends_with(&note), "{}", got.stderr);
    assert_eq!((got.code, got.stdout), (Some(0), summary));

    own("secrets/lev-password", Some(0));
    let got = check(&host, &[]);
    assert_eq!(got.code, Some(5), "{}", got.stderr);
    assert!(
        got.stderr.contains("lev-password: Permission denied"),
        "{}",
        got.stderr
    );
}

#[test]
fn a_wrong_issuer_is_5() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let issuer = server.lev_issuer();
    let tables = host
        .lev(&server)
        .replace(&issuer, &issuer.replace("/lev", "/vel"));
    host.configure(&tables);
    fails(&host, 5, "token endpoint: metadata of http://127.0.0.1:");
}

#[test]
fn an_unknown_ca_is_5() {
    let server = Server::start_tls(Settings::default());
    let host = Host::new();
    let tables = host.lev(&server);
    host.configure(&tables.replace("tls = { ca = \"@/ca.pem\" }\n", ""));
    fails(
        &host,
        5,
        "the server's certificate is signed by an unknown issuer; hint: ",
    );
}

#[test]
fn a_wrong_secret_is_5() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    host.secret("ardengem", "another-canary");
    fails(
        &host,
        5,
        "client ardengem: FAILED trial token: the token endpoint answered 401 invalid_client",
    );
    let got = check(&host, &["--online"]);
    assert!(!(got.stdout + &got.stderr).contains("canary"));
}

#[test]
fn a_server_that_is_out_is_3() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    server.outage(true);
    fails(&host, 3, "connection refused");
    server.outage(false);
    server.fault_of(System::Lev, Some(&Fault::Status(503)));
    fails(&host, 3, "the server answered 503");
}

#[test]
fn certificates_that_expire_soon_are_5() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    let with = |name: &str| {
        let identity = format!(
            "\n[client.ardengem.tls]\ncertificate = \"@/secrets/{name}.crt\"\nkey = {{ file = \"@/secrets/{name}.key\" }}\n"
        );
        host.configure(&(tables.clone() + &identity));
    };
    let (now, day) = (clock::unix_now(), Duration::from_secs(86400));
    certificate(&host, "later", now + 30 * day + day / 2);
    certificate(&host, "soon", now + 4 * day);
    certificate(&host, "gone", now - day);
    with("later");
    let got = check(&host, &["--online"]);
    assert_eq!(got.code, Some(0), "{}{}", got.stdout, got.stderr);
    let line = "later.crt expires in 30d ";
    assert!(got.stdout.contains(line), "{}", got.stdout);
    with("soon");
    fails(&host, 5, "soon.crt expires in ");
    with("gone");
    fails(&host, 5, "gone.crt has expired");

    // What a file hands to curl is looked at too: for bearerd's own requests it means nothing.
    let curl = |name: &str| {
        let file = format!(
            "\n[[token.ardengem.file]]\npath = \"@/tokens/curl\"\nformat = \"curl\"\ncert = \"@/secrets/{name}.crt\"\n"
        );
        host.configure(&(tables.clone() + &file));
    };
    curl("gone");
    fails(&host, 5, "token ardengem: FAILED certificate ");
    curl("absent");
    fails(&host, 5, "absent.crt cannot be read");
}

#[test]
fn another_key_is_5_without_asking() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let end = clock::unix_now() + Duration::from_secs(30 * 86400);
    certificate(&host, "one", end);
    certificate(&host, "other", end);
    host.configure(
        &(host.ardengem(&server)
            + "\n[client.ardengem.tls]\ncertificate = \"@/secrets/one.crt\"\nkey = { file = \"@/secrets/other.key\" }\n"),
    );
    let got = check(&host, &["--online"]);
    assert_eq!((got.code, got.stdout.as_str()), (Some(5), ""));
    assert!(
        got.stderr.contains("client ardengem: ")
            && got.stderr.contains("the certificate is for another key"),
        "{}",
        got.stderr
    );
    assert_eq!(server.log(|log| log.requests.len()), 0);
}

/// Answers every request with a token, and says that it is `ahead` seconds later than it is.
fn server_of_another_time(ahead: i64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), ahead);
        }
    });
    url
}

fn serve(stream: TcpStream, ahead: i64) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length, mut head) = (String::new(), 0, false);
    while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
        head |= line.starts_with("HEAD ");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let now = clock::unix_now();
    let by = Duration::from_secs(ahead.unsigned_abs());
    let now = if ahead < 0 { now - by } else { now + by };
    let date = httpdate::fmt_http_date(UNIX_EPOCH + now);
    let token = r#"{"access_token":"x","expires_in":60}"#;
    let (length, token) = (token.len(), if head { "" } else { token });
    let answer = format!(
        "HTTP/1.1 200 OK\r\ndate: {date}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{token}"
    );
    let _ = stream.get_mut().write_all(answer.as_bytes());
}

#[test]
fn clocks_that_differ_are_5() {
    let host = Host::new();
    host.secret("x", "x");
    for (ahead, words) in [
        (3600, " s ahead of this host's"),
        (-3600, " s behind this host's"),
    ] {
        let url = server_of_another_time(ahead);
        host.configure(&format!(
            r#"
[client.x]
token_endpoint = "{url}"
client_id = "x"
[client.x.auth.client_secret_post]
client_secret = {{ file = "@/secrets/x" }}
[token.x]
client = "x"
[token.x.grant.client_credentials]
"#
        ));
        fails(&host, 5, words);
    }
}

/// A seed is spent by its first use; another token of the same client serves for the trial.
#[test]
fn the_trial_takes_no_seed_where_there_is_another_token() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.secret("seed", "canary-seed");
    let seeded = r#"
[token.a]
client = "ardengem"
[token.a.grant.refresh_token]
refresh_token = { file = "@/secrets/seed" }
"#;
    host.configure(&(host.ardengem(&server) + seeded));
    let got = check(&host, &["--online"]);
    assert_eq!(got.code, Some(0), "{}{}", got.stdout, got.stderr);
    assert!(got.stdout.contains("ok trial token"), "{}", got.stdout);
    assert_eq!(server.requests(System::Entra), 1);
}

#[test]
fn explain_says_who_may_read_and_why() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let allow = "[token.lev.socket]\nallow = [\"user:4711\", \"unit:reports@*.service\"]\n";
    host.configure(&(host.lev(&server) + allow + &host.ardengem(&server)));
    let explain = |who, token| {
        let got = check(&host, &["--explain", who, token]);
        (got.code.unwrap(), got.stdout + &got.stderr)
    };
    assert_eq!(
        explain("4711", "lev"),
        (
            0,
            "user 4711 (uid 4711, groups []) may read token lev: `allow` has user:4711\n".into()
        )
    );
    let (code, text) = explain("reports@7.service", "lev");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("unit:reports@*.service"), "{text}");
    host.configure(
        &(host.lev(&server)
            + "[token.me]\nclient = \"lev\"\n[token.me.grant.device_code]\n\
               [token.me.socket]\nlogin = [\"user:4711\"]\nallow = [\"user:4712\"]\n"
            + &host.ardengem(&server)),
    );
    let (code, text) = explain("4711", "me");
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("may log in for token me: `login` has user:4711\n"));
    assert!(text.contains("may not read token me: nothing in its `allow` names it"));
    let (code, text) = explain("4712", "me");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("may not log in for token me: nothing in its `login` names it\n"));
    host.configure(&(host.lev(&server) + allow + &host.ardengem(&server)));
    let (code, text) = explain("root", "ardengem");
    assert!(code == 0 && text.ends_with(": it is root\n"), "{text}");
    for (who, token, code, why) in [
        ("4712", "lev", 6, "nothing in its `allow` names it"),
        ("other.service", "lev", 6, "nothing in its `allow` names it"),
        ("4711", "ardengem", 6, "no `[token.NAME.socket]`"),
        ("4711", "none", 7, "no token is named none"),
        ("no-such-user", "lev", 2, "there is no user no-such-user"),
    ] {
        let (got, text) = explain(who, token);
        assert_eq!(got, code, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

/// What is no token request has no client to ask about: its trial is all there is to ask.
#[test]
fn grants_without_a_client_have_their_trial() {
    let host = Host::new();
    host.configure(
        "[token.p]\n[token.p.grant.command]\ncommand = [\"echo\", \"tok\"]\n\
         [token.q]\n[token.q.grant.command]\ncommand = [\"false\"]\n",
    );
    let got = check(&host, &["--online"]);
    let good = "token p: ok trial token, valid for 5m";
    assert!(got.stdout.contains(good), "{}", got.stdout);
    fails(
        &host,
        5,
        "token q: FAILED trial token: false: exit status: 1",
    );
}

#[test]
fn an_assertion_that_is_not_there_is_missed() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    let (before, after) = tables
        .split_once("[client.ardengem.auth.client_secret_post]\n")
        .unwrap();
    let after = after.split_once('\n').unwrap().1;
    host.configure(&format!(
        "{before}[client.ardengem.auth.client_assertion]\n\
         client_assertion = {{ file = \"@/secrets/projected\" }}\n{after}"
    ));
    let got = check(&host, &[]);
    let missing = "client ardengem: client_assertion: cannot read ";
    assert!(got.stderr.contains(missing), "{}", got.stderr);
    assert_eq!(got.code, Some(5));
    host.secret("projected", "x");
    assert_eq!(check(&host, &[]).code, Some(0));
}
