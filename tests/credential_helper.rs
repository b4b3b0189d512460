//! `bearerd credential-helper`: real git and kubectl against a server that wants the token, and the exchanges
//! that docker and Google's libraries document.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may fail")]

mod socket;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use socket::{World, fresh};

/// Serves a directory to whoever sends this header, on a port of loopback.
fn serve(root: PathBuf, authorization: String, tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if let Some(config) = &tls {
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                let mut stream = StreamOwned::new(connection, stream);
                answer(&mut stream, &root, &authorization);
                stream.conn.send_close_notify();
                _ = stream.flush();
            } else {
                answer(&mut stream, &root, &authorization);
            }
        }
    });
    port
}

/// A certificate that nobody knows.
fn tls() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key);
    Arc::new(config.unwrap())
}

fn answer(stream: &mut (impl Read + Write), root: &Path, authorization: &str) {
    let lines = BufReader::new(&mut *stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let authorized = head.iter().any(|line| {
        let header = line.split_once(": ");
        header.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("authorization") && value == authorization
        })
    });
    let path = head.first().and_then(|line| line.split(' ').nth(1));
    let path = path.and_then(|path| path.split('?').next()).unwrap_or("/");
    let (status, body) = match fs::read(root.join(path.trim_start_matches('/'))) {
        _ if !authorized => ("401 Unauthorized", Vec::new()),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\
         WWW-Authenticate: Bearer realm=\"x\"\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

/// A directory of programs that are bearerd by other names.
fn programs(world: &World) -> String {
    let directory = world.directory.path().join("bin");
    fs::create_dir(&directory).unwrap();
    for name in [
        "bearerd",
        "git-credential-bearerd",
        "docker-credential-bearerd",
    ] {
        let link = directory.join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bearerd"), link).unwrap();
    }
    format!("{}:/usr/bin:/bin", directory.display())
}

fn command(world: &World, path: &str, program: &str) -> Command {
    let mut command = Command::new("env");
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.directory.path())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("BEARERD_SOCKET", &world.socket)
        .arg(program)
        .current_dir(world.directory.path());
    command
}

fn with_input(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read it may be gone already.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn git(world: &World, path: &str, args: &[&str]) -> Output {
    command(world, path, "git").args(args).output().unwrap()
}

#[test]
fn git_clones_from_a_server_that_wants_the_token() {
    let world = World::new([fresh("ci", "canary-1").0]);
    let path = programs(&world);
    let script = "git init -q --bare served/repo.git && git init -q work && cd work \
                  && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first \
                  && git push -q ../served/repo.git HEAD:refs/heads/main \
                  && cd ../served/repo.git && git symbolic-ref HEAD refs/heads/main \
                  && git update-server-info";
    let made = command(&world, &path, "sh").args(["-c", script]).output();
    assert!(made.as_ref().unwrap().status.success(), "{made:?}");
    let basic = BASE64_STANDARD.encode("oauth2:canary-1");
    let served = world.directory.path().join("served");
    let port = serve(served, format!("Basic {basic}"), None);
    let server = format!("http://127.0.0.1:{port}");
    let remote = format!("{server}/repo.git");

    let cloned = git(&world, &path, &["clone", "-q", &remote, "none"]);
    assert!(!cloned.status.success());
    // By argument, for one server.
    let key = format!("credential.{server}.helper=bearerd --token ci");
    let cloned = git(&world, &path, &["-c", &key, "clone", "-q", &remote, "one"]);
    assert!(cloned.status.success(), "{cloned:?}");
    assert!(world.directory.path().join("one/.git/refs").exists());
    // By git's own configuration, and not for another server.
    git(
        &world,
        &path,
        &["config", "--global", "credential.helper", "bearerd"],
    );
    let cloned = git(&world, &path, &["clone", "-q", &remote, "two"]);
    assert!(!cloned.status.success());
    git(
        &world,
        &path,
        &[
            "config",
            "--global",
            "bearerd.https://127.0.0.1.token",
            "ci",
        ],
    );
    let cloned = git(&world, &path, &["clone", "-q", &remote, "two"]);
    assert!(!cloned.status.success());
    let key = format!("bearerd.{server}.token");
    git(&world, &path, &["config", "--global", &key, "ci"]);
    let cloned = git(&world, &path, &["clone", "-q", &remote, "two"]);
    assert!(cloned.status.success(), "{cloned:?}");
}

#[test]
fn gits_protocol() {
    let world = World::new([fresh("ci", "canary-1").0]);
    let path = programs(&world);
    let ask = |operation, input: &str| {
        let mut command = command(&world, &path, "git-credential-bearerd");
        with_input(command.args(["--token", "ci", operation]), input)
    };
    let https = "protocol=https\nhost=git.example.org\n";
    let (code, answer, stderr) = ask("get", https);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let rest = answer.strip_prefix("username=oauth2\npassword=canary-1\npassword_expiry_utc=");
    assert!(rest.unwrap().trim().parse::<u64>().is_ok(), "{answer}");
    let (_, answer, _) = ask("get", &format!("{https}username=me\n"));
    assert!(answer.starts_with("username=me\npassword=canary-1\n"));
    let bearer = format!("capability[]=authtype\n{https}wwwauth[]=Bearer realm=\"x\"\n");
    let (_, answer, _) = ask("get", &bearer);
    let expected = "capability[]=authtype\nauthtype=Bearer\ncredential=canary-1\nephemeral=1\n";
    assert!(answer.starts_with(expected), "{answer}");
    for operation in ["store", "erase", "capability"] {
        assert_eq!(
            ask(operation, https),
            (Some(0), String::new(), String::new())
        );
    }
    let (code, answer, stderr) = ask("get", "protocol=http\nhost=git.example.org\n");
    assert_eq!((code, answer.as_str()), (Some(6), ""), "{stderr}");
    assert!(stderr.contains("without TLS"), "{stderr}");
}

#[test]
fn kubectl_gets_an_answer_from_a_server_that_wants_the_token() {
    let world = World::new([fresh("k8s", "canary-1").0]);
    let path = programs(&world);
    let exec_info =
        r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential"}"#;
    let ask = |info: &str| {
        let mut command = command(&world, &path, "bearerd");
        command.env("KUBERNETES_EXEC_INFO", info);
        let args = ["credential-helper", "kubectl", "--token", "k8s"];
        let (code, answer, _) = with_input(command.args(args), "");
        assert_eq!(code, Some(0));
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let answer = ask("");
    assert_eq!(answer["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(answer["kind"], "ExecCredential");
    assert_eq!(answer["status"]["token"], "canary-1");
    let expires_at = answer["status"]["expirationTimestamp"].as_str().unwrap();
    assert!(expires_at.parse::<jiff::Timestamp>().is_ok() && expires_at.ends_with('Z'));
    let version = "client.authentication.k8s.io/v1beta1";
    assert_eq!(ask(exec_info)["apiVersion"], version);

    if Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output()
        .is_err()
    {
        return;
    }
    let served = world.directory.path().join("served");
    fs::create_dir(&served).unwrap();
    fs::copy("Cargo.toml", served.join("healthz")).unwrap();
    let port = serve(served, "Bearer canary-1".into(), Some(tls()));
    let args = ["credential-helper", "kubectl", "--token", "k8s"];
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        // Without TLS the client sends no token.
        "clusters": [{"name": "x", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true,
        }}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "users": [{"name": "x", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "bearerd", "args": args,
            "interactiveMode": "Never",
        }}}],
    });
    let file = world.directory.path().join("kubeconfig");
    fs::File::create(&file)
        .unwrap()
        .write_all(config.to_string().as_bytes())
        .unwrap();
    let mut kubectl = command(&world, &path, "kubectl");
    kubectl
        .arg("--kubeconfig")
        .arg(&file)
        .args(["get", "--raw", "/healthz"]);
    let output = kubectl.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("[package]"));
}

#[test]
fn dockers_protocol() {
    let world = World::new([fresh("ci", "canary-1").0]);
    let path = programs(&world);
    let docker = world.directory.path().join(".docker");
    fs::create_dir(&docker).unwrap();
    let registries = json!({"registry.example.org": "ci", "acr.example.org": "0000:ci"});
    let config = json!({"plugins": {"bearerd": registries}}).to_string();
    let mut file = fs::File::create(docker.join("config.json")).unwrap();
    file.write_all(config.as_bytes()).unwrap();
    let ask = |args: &[&str], input: &str| {
        with_input(
            command(&world, &path, "docker-credential-bearerd").args(args),
            input,
        )
    };
    for (args, server, user) in [
        (&["get"][..], "registry.example.org", "oauth2accesstoken"),
        (
            &["get"],
            "https://registry.example.org/v1/",
            "oauth2accesstoken",
        ),
        (&["get"], "acr.example.org", "0000"),
        (
            &["--token", "ci", "get"],
            "elsewhere.example.org",
            "oauth2accesstoken",
        ),
    ] {
        let (code, answer, stderr) = ask(args, &format!("{server}\n"));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let expected = json!({"ServerURL": server, "Username": user, "Secret": "canary-1"});
        assert_eq!(answer, expected);
    }
    let none = "credentials not found in native keychain\n";
    assert_eq!(
        ask(&["get"], "elsewhere.example.org"),
        (Some(1), none.into(), String::new())
    );
    let (code, answer, stderr) = ask(&["--token", "absent", "get"], "x");
    let expected = "no token is named absent\n";
    assert_eq!(
        (code, answer.as_str(), stderr.as_str()),
        (Some(1), expected, "")
    );
    let (code, answer, _) = ask(&["list"], "");
    let expected = json!({"registry.example.org": "oauth2accesstoken", "acr.example.org": "0000"});
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), expected);
    assert_eq!(code, Some(0));
    assert_eq!(ask(&["erase"], "x").0, Some(0));
    assert_eq!(ask(&["store"], "{}").0, Some(1));
}

#[test]
fn googles_protocol() {
    let world = World::new([fresh("gcp", "canary-1").0]);
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let ask = |name| {
        let mut command = command(&world, "/usr/bin:/bin", env!("CARGO_BIN_EXE_bearerd"));
        command.env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", id_token);
        let args = ["credential-helper", "gcp", "--token", name];
        let (code, answer, stderr) = with_input(command.args(args), "");
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let answer = ask("gcp");
    assert_eq!(
        (&answer["version"], &answer["success"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(answer["token_type"], id_token);
    assert_eq!(answer["id_token"], "canary-1");
    assert!(answer["expiration_time"].is_u64());
    let answer = ask("absent");
    let expected = json!({
        "version": 1, "success": false, "code": "7", "message": "no token is named absent",
    });
    assert_eq!(answer, expected);
}
