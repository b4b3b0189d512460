//! `bearerd credential-helper`: the exchanges that git, docker, Kubernetes and Google document, and their failures.
//! The real programs are in `git.rs` and `consumers.rs`, AWS is in `aws.rs`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bearerd_core::refresh::{ErrorState, Reason};
use serde_json::{Value, json};

use crate::socket::{World, fresh, pending};

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
    // What stays on this host needs no TLS.
    let (code, answer, _) = ask("get", "protocol=http\nhost=127.0.0.1:8080\n");
    assert_eq!(code, Some(0));
    assert!(answer.contains("canary-1"));
    let (code, answer, stderr) = ask("get", "protocol=http\nhost=git.example.org\n");
    assert_eq!((code, answer.as_str()), (Some(6), ""), "{stderr}");
    assert!(stderr.contains("without TLS"), "{stderr}");
}

#[test]
fn kubernetes_protocol() {
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

/// The exit codes are the README's; docker and Google's libraries know their own alone.
#[test]
fn failures_have_their_exit_codes() {
    let refused = pending("broken").failed(
        ErrorState::NeedsLogin,
        Reason::LastError,
        "the refresh token was refused",
    );
    let denied = pending("denied").failed(ErrorState::Denied, Reason::LastError, "access_denied");
    let world = World::new([refused.0, denied.0]);
    let nowhere = world.directory.path().join("nowhere.sock");
    let https = "protocol=https\nhost=git.example.org\n";
    for (program, args, input) in [
        ("git", &["get"][..], https),
        ("kubectl", &[], ""),
        ("docker", &["get"], "registry.example.org\n"),
        ("gcp", &[], ""),
    ] {
        let ask = |token: &str, socket: &Path| {
            let mut command = command(&world, "/usr/bin:/bin", env!("CARGO_BIN_EXE_bearerd"));
            command.env("BEARERD_SOCKET", socket);
            command.args(["credential-helper", program, "--token", token]);
            with_input(command.args(args), input)
        };
        for (token, socket, code, text) in [
            ("absent", &world.socket, 7, "no token is named absent"),
            ("broken", &world.socket, 4, "the refresh token was refused"),
            ("denied", &world.socket, 6, "access_denied"),
            ("broken", &nowhere, 8, "cannot reach the daemon"),
            ("no/name", &world.socket, 2, "invalid value"),
        ] {
            let (got, stdout, stderr) = ask(token, socket);
            let said = format!("{stdout}{stderr}");
            assert!(said.contains(text), "{program} {token}: {said}");
            let expected = match program {
                "docker" if code != 2 => 1,
                "gcp" if code != 2 => 0,
                _ => code,
            };
            assert_eq!(got, Some(expected), "{program} {token}: {said}");
            match (program, code) {
                ("gcp", 4..) => {
                    let answer: Value = serde_json::from_str(&stdout).unwrap();
                    assert_eq!(
                        (&answer["success"], &answer["code"]),
                        (&json!(false), &json!(code.to_string()))
                    );
                }
                ("docker", 4..) => assert_eq!(stderr, ""),
                _ => assert_eq!(stdout, "", "{program}"),
            }
        }
    }
}
