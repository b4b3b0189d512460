//! Files and hooks as their readers meet them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bearerd::clock;
use bearerd::config::{
    BodyFormat, ClientAuth, ClientConfig, ClientId, Endpoint, Environment, FileConfig, FileFormat,
    GrantConfig, HeaderValue, HookAction, HookConfig, HttpsUrl, OnExpiry, SecretRef, TlsConfig,
    TokenConfig,
};
use bearerd::format::{Content, FormatError, Inputs, render};
use bearerd::sink::{self, Output, Report, Retry, Sinks};
use bearerd::store::{Consumers, Published, Standing, TokenView};
use bearerd::token::Token;
use bearerd_core::credential::{RefreshValidity, TokenName, Validity};
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Health, Limits, RefreshAt, Status};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

fn client() -> ClientConfig {
    let text = "https://sso.example/token".to_owned();
    ClientConfig {
        name: "client".into(),
        login_endpoints: Default::default(),
        endpoint: Endpoint::TokenEndpoint(HttpsUrl {
            url: text.parse().unwrap(),
            text,
        }),
        revocation_endpoint: None,
        client_id: ClientId::Given("id".into()),
        auth: ClientAuth::None,
        refresh_auth: None,
        tls: TlsConfig::default(),
        proxy: None,
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        body: BodyFormat::Form,
        limits: Limits {
            max_in_flight: 1,
            requests_per_minute: None,
        },
        rotation_grace: Duration::ZERO,
    }
}

fn token_config(files: Vec<FileConfig>, hooks: Vec<HookConfig>) -> Arc<TokenConfig> {
    Arc::new(TokenConfig {
        name: TokenName::parse("lev").unwrap(),
        client: Some(Arc::new(client())),
        scope: Vec::new(),
        audience: Vec::new(),
        resource: Vec::new(),
        params: BTreeMap::new(),
        grant: GrantConfig::ClientCredentials,
        refresh_at: RefreshAt::Permille(750),
        assume_lifetime: None,
        required: true,
        files,
        hooks,
        allow: Vec::new(),
        login: Vec::new(),
        follow_source: false,
        revoke_on_removal: false,
        inactivity: None,
        login_notice: Duration::from_secs(900),
        identity: [0; 16],
    })
}

fn file(path: impl Into<PathBuf>, format: FileFormat) -> FileConfig {
    FileConfig::new(path.into(), format)
}

fn shell(script: &str) -> HookConfig {
    HookConfig {
        action: HookAction::Command(["sh", "-c", script].map(String::from).to_vec()),
        timeout: Duration::from_secs(20),
    }
}

fn token(access_token: &str, lifetime: Duration) -> Token {
    let obtained_at = clock::now();
    Token {
        access_token: SecretString::from(access_token),
        token_type: "bearer".into(),
        scope: Some("openid".into()),
        id_token: None,
        refresh_token: Some(SecretString::from("REFRESH-CANARY")),
        validity: Validity {
            obtained_at,
            expires_at: obtained_at + lifetime,
            refresh: Some(RefreshValidity { expires_at: None }),
            id_token_expires_at: None,
        },
    }
}

/// Outputs at work: what the daemon does with them.
struct Scene {
    config: Arc<TokenConfig>,
    view: watch::Sender<TokenView>,
    reports: mpsc::Receiver<Report>,
    sinks: Sinks,
}

const QUICK: Retry = Retry {
    first: Duration::from_millis(5),
    cap: Duration::from_millis(40),
};

const PATIENCE: Duration = Duration::from_secs(60);

impl Scene {
    fn new(config: Arc<TokenConfig>, current: Option<Published>) -> Self {
        Self::with(config, current, Environment::default())
    }

    fn with(config: Arc<TokenConfig>, current: Option<Published>, env: Environment) -> Self {
        Self::retrying(config, current, env, QUICK)
    }

    fn retrying(
        config: Arc<TokenConfig>,
        current: Option<Published>,
        env: Environment,
        retry: Retry,
    ) -> Self {
        let (view, watched) = watch::channel(TokenView {
            config: Arc::clone(&config),
            current,
            standing: Standing {
                status: Status {
                    validity: None,
                    health: Health::Pending,
                    in_flight: false,
                    queued: false,
                    waits_for_parent: false,
                    login_due_at: None,
                    next_attempt_at: None,
                    failures: 0,
                    attempts: 0,
                },
                last_error: None,
                output_errors: Vec::new(),
            },
        });
        let (sender, reports) = mpsc::channel(64);
        let consumers = Consumers::default();
        let sinks = sink::spawn_with(watched, Arc::new(env), sender, consumers, retry);
        Self {
            config,
            view,
            reports,
            sinks,
        }
    }

    fn publish(&self, generation: u64) {
        self.view
            .send_modify(|view| view.current = Some(published(generation)));
    }

    async fn report(&mut self) -> Report {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        report.expect("a report in time").expect("outputs at work")
    }

    /// The first report of an output that says what is wanted.
    async fn wait(&mut self, wanted: impl Fn(&Report) -> bool) -> Report {
        loop {
            let report = self.report().await;
            if wanted(&report) {
                return report;
            }
        }
    }

    async fn delivered(&mut self, generation: u64) {
        let ok = |r: &Report| {
            matches!(r.output, Output::File(_)) && r.generation == generation && r.result.is_ok()
        };
        for _ in 0..self.config.files.len() {
            self.wait(ok).await;
        }
    }

    async fn hooked(&mut self, generation: u64) {
        self.wait(|r| {
            r.output == Output::Hook(0) && r.generation == generation && r.result.is_ok()
        })
        .await;
    }

    async fn stop(self) -> Vec<Report> {
        let Self {
            mut reports, sinks, ..
        } = self;
        sinks.stop().await;
        std::iter::from_fn(|| reports.try_recv().ok()).collect()
    }
}

fn published(generation: u64) -> Published {
    // Not on a second's edge: `expires_in` is whole seconds, and a file's time stamp is coarse.
    let lifetime = Duration::from_millis(3_600_500);
    Published {
        token: Arc::new(token(&format!("token-{generation}"), lifetime)),
        generation,
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn hint(report: &Report) -> &str {
    report.result.as_ref().unwrap_err()
}

// ---------------------------------------------------------------------------------------------- formats

fn rendered(
    file: &FileConfig,
    access_token: &str,
    headers: &[(&str, &str)],
) -> Result<String, FormatError> {
    let mut token = token(access_token, Duration::ZERO);
    token.validity.expires_at = Instant::since_boot(Duration::from_secs(5_300));
    let content = Content {
        name: &TokenName::parse("lev").unwrap(),
        token: &token,
        generation: 7,
        now: Instant::since_boot(Duration::from_secs(5_000)),
        unix_now: Duration::from_secs(1_700_000_000),
    };
    let inputs = Inputs {
        headers: headers
            .iter()
            .map(|(n, v)| ((*n).into(), SecretString::from(*v)))
            .collect(),
        template: match &file.format {
            FileFormat::Template { template } => Some(template.to_str().unwrap().into()),
            _ => None,
        },
    };
    render(file, &content, &inputs).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn env_format() -> FileFormat {
    FileFormat::Env {
        variable: "ACCESS_TOKEN".into(),
    }
}

fn netrc() -> FileFormat {
    FileFormat::Netrc {
        machine: "api.example".into(),
        login: "oauth2".into(),
    }
}

/// The template's text stands where its path would.
#[cfg(feature = "template")]
fn template(text: &str) -> FileFormat {
    FileFormat::Template {
        template: text.into(),
    }
}

#[test]
fn every_format_has_its_exact_shape() {
    let mut with_cert = file("/x", FileFormat::Curl);
    with_cert.cert = Some("/keys/a:b\\c\"d.crt".into());
    with_cert.key = Some("/keys/a:b.key".into());
    let headers = [("X-Auth-Aud", "re\"po\\rts"), ("X-Empty", "")];
    for (config, expected) in [
        (file("/x", FileFormat::Raw), "tok.en"),
        (
            file("/x", FileFormat::Headers),
            "Authorization: Bearer tok.en\nX-Auth-Aud: re\"po\\rts\nX-Empty;\n",
        ),
        (
            with_cert,
            concat!(
                "header = \"Authorization: Bearer tok.en\"\n",
                "header = \"X-Auth-Aud: re\\\"po\\\\rts\"\n",
                "header = \"X-Empty;\"\n",
                "cert = \"/keys/a\\\\:b\\\\\\\\c\\\"d.crt\"\n",
                "key = \"/keys/a:b.key\"\n"
            ),
        ),
        (
            file("/x", FileFormat::Json),
            concat!(
                r#"{"access_token":"tok.en","token_type":"bearer","expires_in":300,"#,
                r#""expires_at":1700000300,"scope":"openid"}"#,
                "\n"
            ),
        ),
        (file("/x", env_format()), "ACCESS_TOKEN=\"tok.en\"\n"),
        (
            file("/x", netrc()),
            "machine api.example login oauth2 password tok.en\n",
        ),
        #[cfg(feature = "template")]
        (
            file(
                "/x",
                template(
                    "{{ name }} {{ generation }} {{ access_token | tojson }} {{ token_type }} {{ expires_at }} {{ expires_in }} {{ scope }}\n",
                ),
            ),
            "lev 7 \"tok.en\" bearer 1700000300 300 openid\n",
        ),
    ] {
        assert_eq!(rendered(&config, "tok.en", &headers).unwrap(), expected);
    }
}

#[test]
fn nothing_hostile_gets_out_of_its_place() {
    let header = |token, headers: &[(&str, &str)]| {
        [FileFormat::Headers, FileFormat::Curl]
            .map(|format| rendered(&file("/x", format), token, headers).unwrap_err())
    };
    for value in ["a\nX-Evil: 1", "a\r\n", "a\0", "a\u{7f}"] {
        for error in header(value, &[])
            .into_iter()
            .chain(header("good", &[("X-A", value)]))
        {
            let text = error.to_string();
            assert!(matches!(error, FormatError::Header { .. }), "{text}");
            assert!(
                text.contains("a line break") && !text.contains("Evil"),
                "{text}"
            );
        }
    }
    for name in ["", "X A", "X:A", "X\nA", "@file"] {
        for error in header("good", &[(name, "v")]) {
            assert!(
                error.to_string().contains("its name is not a token"),
                "{error}"
            );
        }
    }
    for token in ["a\nEVIL=1", "a\rb", "a\0"] {
        assert!(rendered(&file("/x", env_format()), token, &[]).is_err());
    }
    for token in ["a b", "a\nmachine evil", "", "#a", "a\"b", "a\\b", "ä"] {
        assert!(
            rendered(&file("/x", netrc()), token, &[]).is_err(),
            "{token}"
        );
    }
    let json = rendered(&file("/x", FileFormat::Json), "a\"\n\\", &[]).unwrap();
    let back: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(back["access_token"], "a\"\n\\");
    assert!(!json.contains("REFRESH-CANARY"));
}

#[cfg(feature = "template")]
#[test]
fn a_template_error_names_the_line_and_no_value() {
    for (text, line, kind) in [
        ("ok\n{{ nope }}", 2, "undefined value"),
        ("ok\n\n{{ scope }", 3, "syntax error"),
        ("{{ access_token | int }}", 1, "invalid operation"),
        ("{{ access_token | nope }}", 1, "unknown filter"),
        ("{{ scope.nope.nope }}", 1, "undefined value"),
    ] {
        let error = rendered(&file("/x", template(text)), "CANARY", &[]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            error.to_string().ends_with(&format!("line {line}: {kind}")),
            "{error}"
        );
        assert!(!shown.contains("CANARY"), "{shown}");
    }
}

const AWKWARD: &str = "a\"b\\c$d`e'f g#h";

#[test]
fn a_shell_reads_back_the_env_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("env");
    fs::write(
        &path,
        rendered(&file(&path, env_format()), AWKWARD, &[]).unwrap(),
    )
    .unwrap();
    let script = ". \"$1\"; printf %s \"$ACCESS_TOKEN\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), AWKWARD);
}

/// What curl sends, line by line, when called with these arguments.
fn sent_by_curl(arguments: &[&str]) -> Option<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let spawned = Command::new("curl")
        .args(["-q", "-s", "--noproxy", "*"])
        .args(arguments)
        .arg(url)
        .spawn();
    let Ok(mut curl) = spawned else {
        println!("skipped: no curl");
        return None;
    };
    let (mut connection, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    connection
        .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .unwrap();
    drop(connection);
    assert!(curl.wait().unwrap().success());
    let text = String::from_utf8(request).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn curl_sends_what_the_files_say() {
    let scratch = tempfile::tempdir().unwrap();
    let headers = [
        ("X-Awkward", AWKWARD),
        ("X-Empty", ""),
        ("X-Backslash", "\\n\\\\t\\"),
    ];
    for (format, option, prefix) in [
        (FileFormat::Curl, "-K", ""),
        (FileFormat::Headers, "-H", "@"),
    ] {
        let path = scratch.path().join(option);
        fs::write(
            &path,
            rendered(&file(&path, format), "tok.en", &headers).unwrap(),
        )
        .unwrap();
        let argument = format!("{prefix}{}", path.display());
        let Some(sent) = sent_by_curl(&[option, &argument]) else {
            return;
        };
        for expected in [
            "Authorization: Bearer tok.en".to_owned(),
            format!("X-Awkward: {AWKWARD}"),
            "X-Empty:".to_owned(),
            "X-Backslash: \\n\\\\t\\".to_owned(),
        ] {
            assert!(
                sent.contains(&expected),
                "{option}: {expected} not in {sent:?}"
            );
        }
    }
    let path = scratch.path().join("netrc");
    let format = FileFormat::Netrc {
        machine: "127.0.0.1".into(),
        login: "oauth2".into(),
    };
    fs::write(
        &path,
        rendered(&file(&path, format), "tok.en", &[]).unwrap(),
    )
    .unwrap();
    let sent = sent_by_curl(&["--netrc-file", path.to_str().unwrap()]).unwrap();
    let basic = "Authorization: Basic b2F1dGgyOnRvay5lbg==".to_owned();
    assert!(sent.contains(&basic), "{sent:?}");
}

// ------------------------------------------------------------------------------------------------ files

#[tokio::test]
async fn a_file_follows_its_token_and_the_latest_wins() {
    let scratch = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
    let mut configs = vec![file(&one, FileFormat::Raw), file(&two, FileFormat::Json)];
    configs[0].mode = 0o640;
    let mut scene = Scene::new(token_config(configs, vec![]), None);
    scene.publish(1);
    scene.delivered(1).await;
    assert_eq!(fs::read(&one).unwrap(), b"token-1");
    assert_eq!(fs::metadata(&one).unwrap().mode() & 0o7777, 0o640);
    for generation in 2..=100 {
        scene.publish(generation);
    }
    scene.delivered(100).await;
    assert_eq!(fs::read(&one).unwrap(), b"token-100");
    assert!(fs::read_to_string(&two).unwrap().contains("\"token-100\""));
    // The same generation again is no news, and what is published last is delivered before the end.
    let before = inode(&one);
    scene.publish(100);
    scene.publish(101);
    let reports = scene.stop().await;
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(
        reports
            .iter()
            .all(|report| report.generation == 101 && report.result.is_ok())
    );
    assert_ne!(inode(&one), before);
    assert_eq!(fs::read(&one).unwrap(), b"token-101");
}

#[tokio::test]
async fn what_is_in_place_is_neither_rewritten_nor_hooked() {
    let scratch = tempfile::tempdir().unwrap();
    let ran = scratch.path().join("ran");
    let paths = ["raw", "json", "env"].map(|name| scratch.path().join(name));
    let formats = [FileFormat::Raw, FileFormat::Json, env_format()];
    let files: Vec<_> = paths
        .iter()
        .zip(formats)
        .map(|(path, format)| file(path, format))
        .collect();
    let hook = shell(&format!("echo $BEARERD_GENERATION >> {}", ran.display()));
    let config = token_config(files.clone(), vec![hook.clone()]);
    let current = published(5);
    let mut scene = Scene::new(Arc::clone(&config), Some(current.clone()));
    scene.delivered(5).await;
    scene.hooked(5).await;
    scene.stop().await;
    let before = paths.each_ref().map(|path| inode(path));

    let mut again = Scene::new(Arc::clone(&config), Some(current.clone()));
    again.delivered(5).await;
    again.hooked(5).await;
    assert_eq!(paths.each_ref().map(|path| inode(path)), before);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "5\n");
    again.publish(6);
    again.hooked(6).await;
    again.stop().await;
    assert_eq!(fs::read_to_string(&ran).unwrap(), "5\n6\n");

    // Anything else than what would be written is put right, and the hook learns of it.
    let current = published(6);
    fs::set_permissions(&paths[0], fs::Permissions::from_mode(0o644)).unwrap();
    let mut mended = Scene::new(config, Some(current));
    mended.hooked(6).await;
    assert_eq!(fs::metadata(&paths[0]).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&ran).unwrap(), "5\n6\n6\n");
}

#[tokio::test]
async fn at_expiry_a_file_stays_or_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let [keep, remove] = ["keep", "remove"].map(|name| scratch.path().join(name));
    let mut configs = vec![file(&keep, FileFormat::Raw), file(&remove, FileFormat::Raw)];
    configs[1].on_expiry = OnExpiry::Remove;
    let config = token_config(configs, vec![]);
    let mut scene = Scene::new(Arc::clone(&config), None);
    // At start, without a token.
    assert_eq!(scene.report().await.output, Output::File(remove.clone()));
    scene.publish(1);
    scene.delivered(1).await;
    scene.view.send_modify(|view| view.current = None);
    let report = scene.report().await;
    assert_eq!(
        (report.output, report.generation),
        (Output::File(remove.clone()), 0)
    );
    assert!(keep.exists() && !remove.exists());
    scene.publish(2);
    scene.delivered(2).await;
    assert_eq!(fs::read(&remove).unwrap(), b"token-2");
    scene.stop().await;

    // A token that has expired by the clock counts as none, withdrawn or not.
    let expired = Published {
        token: Arc::new(token("expired", Duration::ZERO)),
        generation: 3,
    };
    let mut scene = Scene::new(Arc::clone(&config), Some(expired));
    scene
        .wait(|report| report.output == Output::File(remove.clone()))
        .await;
    assert!(!remove.exists());
    assert_eq!(fs::read(&keep).unwrap(), b"token-2");
    scene.stop().await;
    sink::remove_files(&config).unwrap();
    assert!(!keep.exists());
    sink::remove_files(&config).unwrap();
}

struct Unmount(TempDir);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file_and_is_got_over() {
    let disk = tempfile::tempdir().unwrap();
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"])
        .arg(disk.path())
        .output()
        .unwrap();
    if !output.status.success() {
        println!(
            "skipped: mount: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let disk = Unmount(disk);
    let path = disk.0.path().join("token");
    let config = token_config(vec![file(&path, FileFormat::Raw)], vec![]);
    let mut scene = Scene::new(config, Some(published(1)));
    scene.delivered(1).await;
    let filler = disk.0.path().join("filler");
    let _ = fs::write(&filler, vec![0; 80 << 10]);
    scene.publish(2);
    for _ in 0..4 {
        let report = scene.report().await;
        assert!(
            hint(&report).ends_with("hint: make room; the old file stays until then"),
            "{report:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"token-1");
    }
    // When there is room, the newest is written, not the one that failed.
    scene.publish(3);
    scene
        .wait(|report| report.generation == 3 && report.result.is_err())
        .await;
    fs::remove_file(&filler).unwrap();
    scene.delivered(3).await;
    assert_eq!(fs::read(&path).unwrap(), b"token-3");
    assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn secrets_in_headers_are_read_at_every_write() {
    let scratch = tempfile::tempdir().unwrap();
    let [path, secret] = ["headers", "secret"].map(|name| scratch.path().join(name));
    let mut config = file(&path, FileFormat::Headers);
    let reference = SecretRef::File(secret.clone());
    config.headers.insert(
        "Ocp-Apim-Subscription-Key".into(),
        HeaderValue::Secret(reference),
    );
    config
        .headers
        .insert("X-Plain".into(), HeaderValue::Plain("plain".into()));
    let mut scene = Scene::new(token_config(vec![config], vec![]), Some(published(1)));
    let text = hint(&scene.report().await).to_owned();
    assert!(
        text.starts_with("header Ocp-Apim-Subscription-Key: cannot read"),
        "{text}"
    );
    let put = |text: &str| {
        let new = scratch.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &secret).unwrap();
    };
    for (generation, text) in [(1, "one\n"), (2, "two\n"), (3, "three")] {
        put(text);
        scene.publish(generation);
        scene.delivered(generation).await;
        let content = fs::read_to_string(&path).unwrap();
        let line = format!(
            "Ocp-Apim-Subscription-Key: {}\nX-Plain: plain\n",
            text.trim()
        );
        assert!(content.ends_with(&line), "{content}");
    }
    put("a\nX-Evil: 1");
    scene.publish(4);
    let text = hint(&scene.report().await).to_owned();
    assert!(
        text.contains("line break") && !text.contains("Evil"),
        "{text}"
    );
    assert!(fs::read_to_string(&path).unwrap().contains("three"));
}

#[tokio::test]
async fn what_killed_writers_left_is_swept() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join(".bearerd-tmp-1"), "a token").unwrap();
    let config = token_config(
        vec![file(scratch.path().join("token"), FileFormat::Raw)],
        vec![],
    );
    sink::sweep([&*config]);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

// ------------------------------------------------------------------------------------------------ hooks

#[tokio::test]
async fn a_hook_waits_for_all_files_and_knows_no_secret() {
    let scratch = tempfile::tempdir().unwrap();
    let told = scratch.path().join("told");
    let late = scratch.path().join("directory");
    let files = vec![
        file(scratch.path().join("one"), FileFormat::Raw),
        file(late.join("two"), FileFormat::Raw),
    ];
    let script = format!(
        "echo run >> {0}; env | sort >> {0}; cat {1}/directory/two >> {0}",
        told.display(),
        scratch.path().display()
    );
    let environment = Environment::from([
        ("PATH", "/usr/bin:/bin"),
        ("CREDENTIALS_DIRECTORY", "/run/credentials"),
        ("CLIENT_SECRET", "CANARY"),
        ("HOME", "/nowhere"),
    ]);
    let config = token_config(files, vec![shell(&script)]);
    let current = published(1);
    let expires_at = clock::unix_now() + (current.token.validity.expires_at - clock::now());
    let mut scene = Scene::with(config, Some(current), environment);
    let mut refused = 0;
    while refused < 12 {
        let report = scene.report().await;
        assert_ne!(
            report.output,
            Output::Hook(0),
            "before its file: {report:?}"
        );
        refused += u32::from(report.result.is_err());
    }
    fs::create_dir(&late).unwrap();
    scene.hooked(1).await;
    let told = fs::read_to_string(&told).unwrap();
    let mut names = told
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0));
    let of_shells = ["OLDPWD", "PWD", "SHLVL", "_"];
    let passed_on = |name: &str| name.starts_with("BEARERD_") || ["HOME", "PATH"].contains(&name);
    let expected = |name: &str| passed_on(name) || of_shells.contains(&name);
    assert!(names.all(expected), "{told}");
    assert!(told.contains("BEARERD_TOKEN_NAME=lev\n") && told.contains("BEARERD_GENERATION=1\n"));
    assert!(
        told.ends_with("token-1") && !told.contains("CANARY"),
        "{told}"
    );
    let said = told
        .lines()
        .find_map(|line| line.strip_prefix("BEARERD_EXPIRES_AT="))
        .unwrap();
    assert!(expires_at.as_secs().abs_diff(said.parse().unwrap()) <= 1);
}

/// A pipe by name: whoever opens it for reading waits for a writer, and then for the writer's end.
fn fifo(scratch: &TempDir, name: &str) -> PathBuf {
    let path = scratch.path().join(name);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
    path
}

async fn read(path: &Path) -> String {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || fs::read_to_string(path).unwrap());
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("an end in time")
        .unwrap()
}

async fn write(path: &Path) {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || fs::write(path, "go").unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slow_hook_delays_no_file_and_runs_once_for_all_it_missed() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("token");
    let (started, go_on) = (fifo(&scratch, "started"), fifo(&scratch, "go-on"));
    let script = format!(
        "echo $BEARERD_GENERATION > {}; cat {} > /dev/null",
        started.display(),
        go_on.display()
    );
    let config = token_config(vec![file(&path, FileFormat::Raw)], vec![shell(&script)]);
    let mut scene = Scene::new(config, Some(published(1)));
    assert_eq!(read(&started).await, "1\n");
    for generation in 2..=20 {
        scene.publish(generation);
        scene.delivered(generation).await;
    }
    assert_eq!(fs::read(&path).unwrap(), b"token-20");
    write(&go_on).await;
    scene.hooked(1).await;
    assert_eq!(read(&started).await, "20\n");
    write(&go_on).await;
    scene.hooked(20).await;
    assert!(scene.stop().await.is_empty());
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_killed_with_all_it_started() {
    let scratch = tempfile::tempdir().unwrap();
    let alive = fifo(&scratch, "alive");
    // Both ignore SIGTERM; the pipe ends when the last of them has.
    let script = format!(
        "trap '' TERM; exec 3> {}; echo up >&3; sleep 1000 & wait; wait",
        alive.display()
    );
    let hook = HookConfig {
        timeout: Duration::from_millis(300),
        ..shell(&script)
    };
    let config = token_config(vec![], vec![hook]);
    // No second run: it could open the pipe before the reader has seen its end.
    let once = Retry {
        first: PATIENCE,
        cap: PATIENCE,
    };
    let environment = Environment::default();
    let mut scene = Scene::retrying(config, Some(published(1)), environment, once);
    assert_eq!(read(&alive).await, "up\n");
    let report = scene.report().await;
    assert_eq!(
        hint(&report),
        "hook 0: sh: killed, it had not ended after 300ms"
    );
}

#[tokio::test]
async fn dropped_outputs_leave_no_process_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let (alive, up) = (fifo(&scratch, "alive"), fifo(&scratch, "up"));
    let script = format!(
        "trap '' TERM; exec 3> {}; echo up > {}; sleep 1000 & wait; wait",
        alive.display(),
        up.display()
    );
    let config = token_config(vec![], vec![shell(&script)]);
    let scene = Scene::new(config, Some(published(1)));
    let ended = tokio::spawn({
        let alive = alive.clone();
        async move { read(&alive).await }
    });
    assert_eq!(read(&up).await, "up\n");
    drop(scene);
    assert_eq!(ended.await.unwrap(), "");
}

#[tokio::test]
async fn a_failing_hook_is_tried_again_with_pauses() {
    let scratch = tempfile::tempdir().unwrap();
    let [path, tries] = ["token", "tries"].map(|name| scratch.path().join(name));
    let script = format!(
        "echo $BEARERD_GENERATION >> {0}; echo no luck >&2; test $(wc -l < {0}) -ge 5",
        tries.display()
    );
    let config = token_config(vec![file(&path, FileFormat::Raw)], vec![shell(&script)]);
    let slow = Retry {
        first: Duration::from_millis(200),
        cap: Duration::from_millis(800),
    };
    let mut scene = Scene::retrying(config, Some(published(1)), Environment::default(), slow);
    let started = clock::now();
    for _ in 0..4 {
        let report = scene.wait(|report| report.output == Output::Hook(0)).await;
        assert_eq!(hint(&report), "hook 0: sh: exit status: 1");
    }
    scene.hooked(1).await;
    // At the least half of 200, 400, 800 and 800 ms.
    assert!(clock::now() - started >= Duration::from_millis(1100));
    assert_eq!(fs::read_to_string(&tries).unwrap(), "1\n1\n1\n1\n1\n");
    assert!(scene.stop().await.is_empty());

    let missing = HookConfig {
        action: HookAction::Command(vec!["/no/such/program".into()]),
        timeout: PATIENCE,
    };
    let mut scene = Scene::new(token_config(vec![], vec![missing]), Some(published(1)));
    let text = hint(&scene.report().await).to_owned();
    assert!(
        text.starts_with("hook 0: cannot run /no/such/program: No such file"),
        "{text}"
    );
}

#[tokio::test]
async fn a_noisy_hook_neither_waits_nor_fills_the_memory() {
    let hook = shell("head -c 3000000 /dev/zero >&2; (sleep 5 2>&2 &) ; exit 0");
    let mut scene = Scene::new(token_config(vec![], vec![hook]), Some(published(1)));
    scene.hooked(1).await;
}

#[tokio::test]
async fn a_hook_without_files_follows_the_token() {
    let scratch = tempfile::tempdir().unwrap();
    let ran = scratch.path().join("ran");
    let hook = shell(&format!("echo $BEARERD_GENERATION >> {}", ran.display()));
    let mut scene = Scene::new(token_config(vec![], vec![hook]), None);
    scene.publish(4);
    scene.hooked(4).await;
    scene.view.send_modify(|view| view.current = None);
    scene.publish(5);
    scene.hooked(5).await;
    assert!(scene.stop().await.is_empty());
    assert_eq!(fs::read_to_string(&ran).unwrap(), "4\n5\n");
}
