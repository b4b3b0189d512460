//! `bearerd keygen`: what it makes is what OpenSSL, authorization servers and bearerd itself take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use support::{Daemon, Host, Server, Settings, SigningKey};

const ALGS: [&str; 10] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

fn keygen(out: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.env_clear().args(["keygen", "--out"]).arg(out);
    command.args(args).output().unwrap()
}

#[track_caller]
fn made(out: &Path, args: &[&str]) -> Value {
    let output = keygen(out, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    let jwks = fs::read(out.with_extension("jwks.json")).unwrap();
    let jwks: Value = serde_json::from_slice(&jwks).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    jwks["keys"][0].clone()
}

#[track_caller]
fn openssl(args: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(args)
        .arg("-in")
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

fn decoded(jwk: &Value, member: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD
        .decode(jwk[member].as_str().unwrap())
        .unwrap()
}

#[test]
fn openssl_sees_the_same_key_for_every_algorithm() {
    let directory = tempfile::tempdir().unwrap();
    for alg in ALGS {
        let out = directory.path().join(alg);
        let jwk = made(&out, &["--alg", alg, "--bits", "2048"]);
        assert_eq!((&jwk["alg"], &jwk["use"]), (&alg.into(), &"sig".into()));
        assert!(jwk["d"].is_null());
        let key = out.with_extension("key");
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
        openssl(&["pkey", "-check", "-noout"], &key);
        let public = openssl(&["pkey", "-pubout", "-outform", "DER"], &key);
        let value = if jwk["kty"] == "RSA" {
            assert_eq!(decoded(&jwk, "e"), [1, 0, 1]);
            // The exponent ends the DER: 02 03 01 00 01.
            let value = decoded(&jwk, "n");
            assert_eq!(value.len(), 256);
            [value.as_slice(), &[2, 3, 1, 0, 1]].concat()
        } else {
            let y = jwk.get("y").map(|_| decoded(&jwk, "y"));
            [decoded(&jwk, "x"), y.unwrap_or_default()].concat()
        };
        assert!(public.ends_with(&value), "{alg}");
    }
}

#[test]
fn the_daemon_gets_a_token_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("test-1");
    let jwk = made(&out, &["--kid", "test-1"]);
    assert_eq!(
        (&jwk["kid"], &jwk["alg"]),
        (&"test-1".into(), &"RS512".into())
    );
    assert_eq!(decoded(&jwk, "n").len(), 512);
    let key = out.with_extension("key");
    let args = ["rsa", "-RSAPublicKey_out", "-outform", "DER"];
    let key = SigningKey {
        public_der: openssl(&args, &key),
        private_pem: fs::read_to_string(&key).unwrap(),
    };
    let server = Server::start(Settings::with_key(&key));
    let host = Host::new();
    host.configure(&host.nhs(&server, "test-1", &key));
    let status = Daemon::start(&host, &["--once"]).wait_exit(Duration::from_secs(60));
    assert_eq!(status.code(), Some(0));
    assert!(server.check(&host.token("nhs").unwrap()));
}

#[test]
fn certificate_and_request_are_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("lev");
    let args = [
        "--cert",
        "--csr",
        "--subject",
        "CN=lev-reports,O=Registry",
        "--alg",
        "RS256",
    ];
    made(&out, &args);
    let certificate = out.with_extension("crt");
    let text = |args: &[&str], file: &Path| String::from_utf8(openssl(args, file)).unwrap();
    let shown = text(&["x509", "-noout", "-text"], &certificate);
    for expected in [
        "Version: 3 (0x2)",
        "Signature Algorithm: sha256WithRSAEncryption",
        "Subject: CN = lev-reports, O = Registry",
        "Issuer: CN = lev-reports, O = Registry",
        "Public-Key: (4096 bit)",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    // Valid now and for 730 days, to the minute.
    for (seconds, valid) in [(0, true), (730 * 86400 - 60, true), (730 * 86400, false)] {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"]);
        let output = command.arg(&certificate).output().unwrap();
        assert_eq!(output.status.success(), valid, "{seconds}");
    }
    ends_when_asked(directory.path());
    let verified = Command::new("openssl")
        .args(["verify", "-purpose", "sslclient", "-CAfile"])
        .args([&certificate, &certificate])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let request = out.with_extension("csr");
    let shown = text(&["req", "-noout", "-verify", "-subject"], &request);
    assert!(shown.contains("CN = lev-reports, O = Registry"), "{shown}");
    let public = |kind| {
        text(
            &[kind, "-noout", "-pubkey"],
            &out.with_extension(kind_of(kind)),
        )
    };
    let of_key = text(&["pkey", "-pubout"], &out.with_extension("key"));
    assert_eq!(public("x509"), of_key);
    assert_eq!(public("req"), of_key);
    for alg in ["ES256", "ES384", "ES512", "EdDSA"] {
        let out = directory.path().join(alg);
        made(&out, &["--cert", "--subject", "/CN=x", "--alg", alg]);
        openssl(&["x509", "-noout"], &out.with_extension("crt"));
    }
}

/// `--days` and `--bits`.
fn ends_when_asked(directory: &Path) {
    let out = directory.join("brief");
    let args = ["--cert", "--subject", "CN=x", "--alg", "RS256"];
    made(
        &out,
        &[&args[..], &["--days", "30", "--bits", "3072"]].concat(),
    );
    let certificate = out.with_extension("crt");
    let shown = openssl(&["x509", "-noout", "-text"], &certificate);
    assert!(String::from_utf8_lossy(&shown).contains("Public-Key: (3072 bit)"));
    for (seconds, valid) in [(30 * 86400 - 60, true), (30 * 86400, false)] {
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"]);
        let output = command.arg(&certificate).output().unwrap();
        assert_eq!(output.status.success(), valid, "{seconds}");
    }
}

fn kind_of(command: &str) -> &str {
    if command == "req" { "csr" } else { "crt" }
}

#[test]
fn nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("a");
    made(&out, &["--alg", "ES256"]);
    let key = fs::read(out.with_extension("key")).unwrap();
    for missing in ["jwks.json", "crt"] {
        _ = fs::remove_file(out.with_extension(missing));
    }
    let again = keygen(&out, &["--alg", "ES256", "--cert", "--subject", "CN=a"]);
    assert_eq!(again.status.code(), Some(2));
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(
        stderr.contains("a.key is already there\nhint: "),
        "{stderr}"
    );
    assert_eq!(fs::read(out.with_extension("key")).unwrap(), key);
    // Nor is anything else left.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_gets_files_named_after_the_kid() {
    let directory = tempfile::tempdir().unwrap();
    let output = keygen(directory.path(), &["--alg", "EdDSA"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let paths: Vec<_> = stdout.lines().map(Path::new).collect();
    assert_eq!(paths.len(), 2, "{stdout}");
    let jwks: Value = serde_json::from_slice(&fs::read(paths[0]).unwrap()).unwrap();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap();
    assert_eq!(paths[1], directory.path().join(format!("{kid}.key")));
    // The thumbprint again, from RFC 7638's own words.
    let x = jwks["keys"][0]["x"].as_str().unwrap();
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    assert_eq!(kid, BASE64_URL_SAFE_NO_PAD.encode(hash));

    let output = keygen(directory.path(), &["--kid", "../x"]);
    assert_eq!(output.status.code(), Some(2));
    for usage in [
        &["--cert"][..],
        &["--alg", "HS256"],
        &["--bits", "1024"],
        &["--cert", "--subject", "O=x"],
        &["--socket", "/x"],
    ] {
        let output = keygen(directory.path(), usage);
        assert_eq!(output.status.code(), Some(2), "{usage:?}");
    }
}
