//! `bearerd credential-helper aws`, and a raw token file, against an STS as strict as the real one: by hand,
//! and by AWS's own library.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use bearerd_core::refresh::{ErrorState, Reason};
use serde_json::{Value, json};
use support::api_server::{self, Answer, Request};
use support::docs;
use support::tool;

use crate::socket::{World, fresh, pending};

const ROLE: &str = "arn:aws:iam::123456789012:role/reports";

/// `AssumeRoleWithWebIdentity` as AWS documents it. `speaks_json`: other implementations know XML alone.
fn sts(speaks_json: bool) -> String {
    let port = api_server::serve(None, move |request| {
        let json = speaks_json && request.header("accept") == Some("application/json");
        match refusal(request) {
            Some((status, code, message)) => refused(json, status, code, message),
            None => granted(json),
        }
    });
    format!("http://127.0.0.1:{port}/")
}

fn refusal(request: &Request) -> Option<(u16, &'static str, String)> {
    let form = request.form();
    let value = |name: &str| {
        let mut values = form.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} comes twice");
        value
    };
    let known = [
        "Action",
        "DurationSeconds",
        "RoleArn",
        "RoleSessionName",
        "Version",
        "WebIdentityToken",
    ];
    let form_type = "application/x-www-form-urlencoded";
    let content_type = request.header("content-type").unwrap_or_default();
    let whole = request.method == "POST"
        && request.target == "/"
        && request.header("authorization").is_none()
        && content_type.split(';').next() == Some(form_type)
        && form.iter().all(|(name, _)| known.contains(&name.as_str()))
        && value("Action") == Some("AssumeRoleWithWebIdentity")
        && value("Version") == Some("2011-06-15");
    let session = value("RoleSessionName").unwrap_or_default();
    let word = |c: char| c.is_ascii_alphanumeric() || "_=,.@-+".contains(c);
    let named = (2..=64).contains(&session.len()) && session.chars().all(word);
    let seconds = value("DurationSeconds").map(str::parse::<u32>);
    let bounded = seconds.is_none_or(|s| s.is_ok_and(|s| (900..=43_200).contains(&s)));
    let token = value("WebIdentityToken").unwrap_or_default();
    if !whole || !named || !bounded {
        return Some((400, "ValidationError", "1 validation error detected".into()));
    }
    match (value("RoleArn"), token) {
        (_, "throttled") => Some((400, "Throttling", "Rate exceeded".into())),
        (_, "down") => Some((503, "ServiceUnavailable", String::new())),
        (_, token) if token != "canary-1" => {
            Some((400, "InvalidIdentityToken", format!("Cannot read {token}")))
        }
        (Some(ROLE), _) => None,
        _ => {
            let message = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
            Some((403, "AccessDenied", message.into()))
        }
    }
}

fn refused(json: bool, status: u16, code: &str, message: String) -> Answer {
    if json {
        let body = json!({"Error": {"Code": code, "Message": message, "Type": "Sender"}, "RequestId": "1"});
        return Answer::new(status, "application/json", body.to_string());
    }
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    Answer::new(status, "text/xml", body)
}

fn granted(json: bool) -> Answer {
    if json {
        let keys = json!({"AccessKeyId": "ASIAJSON", "SecretAccessKey": "secret/canary",
            "SessionToken": "session+canary==", "Expiration": 4.102_444_8E9});
        let body = json!({"AssumeRoleWithWebIdentityResponse": {
            "AssumeRoleWithWebIdentityResult": {"Credentials": keys, "Provider": "https://sso.test"},
            "ResponseMetadata": {"RequestId": "1"}}});
        return Answer::new(200, "application/json", body.to_string());
    }
    let body = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAXML</AccessKeyId>\
        <SecretAccessKey>secret/canary</SecretAccessKey><SessionToken>session+canary==</SessionToken>\
        <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>";
    Answer::new(200, "text/xml", body)
}

fn helper(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command
        .env_clear()
        .env("BEARERD_SOCKET", &world.socket)
        .args(["credential-helper", "aws"])
        .args(args);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn world() -> World {
    World::new([
        fresh("aws", "canary-1").0,
        fresh("other", "canary-2").0,
        fresh("throttled", "throttled").0,
        fresh("down", "down").0,
        pending("broken")
            .failed(
                ErrorState::NeedsLogin,
                Reason::LastError,
                "the refresh token was refused",
            )
            .0,
    ])
}

#[test]
fn keys_for_a_token() {
    let world = world();
    for (speaks_json, id) in [(true, "ASIAJSON"), (false, "ASIAXML")] {
        let sts = sts(speaks_json);
        let base = ["--token", "aws", "--role-arn", ROLE, "--endpoint", &sts];
        for more in [&[][..], &["--session-name", "me@host", "--duration", "1h"]] {
            let (code, stdout, stderr) = helper(&world, &[&base[..], more].concat());
            assert_eq!((code, stderr.as_str()), (Some(0), ""));
            let answer: Value = serde_json::from_str(&stdout).unwrap();
            let expected = json!({"Version": 1, "AccessKeyId": id, "SecretAccessKey": "secret/canary",
                "SessionToken": "session+canary==", "Expiration": "2100-01-01T00:00:00Z"});
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn failures_have_their_exit_codes_and_tell_no_secret() {
    let world = world();
    for speaks_json in [true, false] {
        let sts = sts(speaks_json);
        let role = ["--role-arn", ROLE, "--endpoint", &sts];
        let mut cases: Vec<(Vec<&str>, i32, &str)> = vec![
            (vec!["--token", "absent"], 7, "no token is named absent"),
            (
                vec!["--token", "broken"],
                4,
                "the refresh token was refused",
            ),
            (vec!["--token", "throttled"], 3, "Throttling: Rate exceeded"),
            (vec!["--token", "down"], 3, "ServiceUnavailable"),
            (
                vec!["--token", "other"],
                6,
                "refuses: InvalidIdentityToken\nhint: ",
            ),
            (
                vec!["--token", "aws", "--session-name", "x"],
                5,
                "ValidationError",
            ),
            (
                vec!["--token", "aws", "--duration", "1m"],
                5,
                "ValidationError",
            ),
            (
                vec!["--token", "aws", "--region", "eu-west-2"],
                2,
                "--region",
            ),
        ];
        for (args, _, _) in &mut cases {
            args.extend(role);
        }
        let other_role = [
            "--token",
            "aws",
            "--role-arn",
            "arn:aws:iam::1:role/x",
            "--endpoint",
            &sts,
        ];
        cases.push((other_role.to_vec(), 6, "AccessDenied: Not authorized"));
        for (args, expected, text) in cases {
            let (code, stdout, stderr) = helper(&world, &args);
            assert_eq!(
                (code, stdout.as_str()),
                (Some(expected), ""),
                "{args:?}: {stderr}"
            );
            assert!(stderr.contains(text), "{args:?}: {stderr}");
            assert!(!stderr.contains("canary"), "{stderr}");
        }
    }
}

#[test]
fn what_is_no_sts_is_named() {
    let world = world();
    let at = |endpoint: &str| {
        let args = ["--token", "aws", "--role-arn", ROLE, "--endpoint", endpoint];
        let (code, stdout, stderr) = helper(&world, &args);
        assert_eq!(stdout, "");
        assert!(!stderr.contains("canary"), "{stderr}");
        (code.unwrap(), stderr)
    };
    let answering = |status, body: Vec<u8>| {
        let port = api_server::serve(None, move |_| {
            let mut answer = Answer::new(status, "text/html", body.clone());
            let elsewhere = "http://127.0.0.1:9/".to_owned();
            answer.headers.push(("Location".into(), elsewhere));
            answer
        });
        at(&format!("http://127.0.0.1:{port}/"))
    };
    assert_eq!(answering(200, b"<html>canary</html>".to_vec()).0, 5);
    assert_eq!(answering(502, b"<html>canary</html>".to_vec()).0, 3);
    // It is not followed, else there would be nobody at its end.
    let (code, stderr) = answering(307, Vec::new());
    assert_eq!(code, 5);
    assert!(stderr.contains("status 307"), "{stderr}");
    assert!(
        answering(200, vec![b'x'; 10_000_000])
            .1
            .contains("above 64 KiB")
    );
    assert_eq!(at("http://127.0.0.1:1/").0, 3);
    for insecure in ["http://sts.amazonaws.com/", "ftp://127.0.0.1/", "127.0.0.1"] {
        assert_eq!(at(insecure).0, 2, "{insecure}");
    }
    // A certificate that nobody knows.
    let (tls, _) = api_server::tls();
    let port = api_server::serve(Some(tls), |_| granted(true));
    let (code, stderr) = at(&format!("https://127.0.0.1:{port}/"));
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("certificate"), "{stderr}");
}

/// What botocore finds by itself, with this configuration and environment, after these lines of a shell.
fn by_botocore(home: &Path, environment: &[(&str, &str)], exports: &str) -> String {
    let script = "import botocore.session\n\
        keys = botocore.session.get_session().get_credentials().get_frozen_credentials()\n\
        print(keys.access_key, keys.secret_key, keys.token)";
    let mut command = Command::new("sh");
    command
        .args(["-ec", &format!("{exports}exec \"$0\" -c \"$1\"")])
        .args([tool::python().get_program(), script.as_ref()])
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", home.join("config"))
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn botocore_runs_it_as_credential_process() {
    if !tool::has_python_module("botocore") {
        return;
    }
    let world = world();
    let home = world.directory.path();
    let sts = sts(true);
    // As docs/consumers.md has it, but for the STS.
    let bearerd = env!("CARGO_BIN_EXE_bearerd");
    let config = docs::snippet("AWS", "ini", 0)
        .replace("= bearerd ", &format!("= {bearerd} "))
        .replace("--region eu-west-2", &format!("--endpoint {sts}"))
        .replace("--token nhs", "--token aws");
    fs::File::create(home.join("config"))
        .unwrap()
        .write_all(config.as_bytes())
        .unwrap();
    let socket = world.socket.to_str().unwrap();
    let keys = by_botocore(home, &[("BEARERD_SOCKET", socket)], "");
    assert_eq!(keys, "ASIAJSON secret/canary session+canary==\n");
}

#[test]
fn botocore_reads_a_raw_file_as_web_identity() {
    if !tool::has_python_module("botocore") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::File::create(&file)
        .unwrap()
        .write_all(b"canary-1")
        .unwrap();
    // As docs/consumers.md has it, but for the file.
    let exports = docs::snippet("AWS", "sh", 0);
    let exports = exports.replace("/run/bearerd/tokens/nhs", file.to_str().unwrap());
    let keys = by_botocore(
        directory.path(),
        &[
            ("AWS_REGION", "eu-west-2"),
            ("AWS_DEFAULT_REGION", "eu-west-2"),
            ("AWS_ENDPOINT_URL_STS", &sts(false)),
        ],
        &exports,
    );
    assert_eq!(keys, "ASIAXML secret/canary session+canary==\n");
}
