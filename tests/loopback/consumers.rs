//! Every recipe of `docs/consumers.md`, as it stands there, by the real programs: against the real daemon,
//! and a server on loopback that wants the token.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use support::api_server::{self, Answer};
use support::docs::{self, snippet};
use support::tool;
use support::{Daemon, Host, Server, Settings, SigningKey, eventually};

const SOON: Duration = Duration::from_secs(60);
const NOBODY: u32 = 65534;

/// Making one takes a while.
static KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::rsa);

/// A daemon with the page's outputs, and an API for its token.
struct Scene {
    // Dropped in this order: a failing test shows the daemon's log.
    daemon: Daemon,
    server: Server,
    host: Host,
    token: String,
    api: String,
    path: String,
}

impl Scene {
    fn new() -> Self {
        Self::with("")
    }

    /// With more tables.
    fn with(tables: &str) -> Self {
        let key = &*KEY;
        let server = Server::start_tls(Settings::with_key(key).lifetime(Duration::from_secs(3600)));
        let host = Host::new();
        let lev = host.lev(&server);
        let nhs = host.nhs(&server, "test-1", key);
        let (nhs, _) = nhs.split_once("[[token.nhs.file]]").unwrap();
        let outputs = snippet("", "toml", 0).replace("/run/bearerd/", "@/");
        let outputs = outputs.replace("api.example.org", "127.0.0.1");
        let needs_group = |line: &&str| line.starts_with("group") || line.starts_with("mode");
        let outputs: Vec<&str> = outputs.lines().filter(|line| !needs_group(line)).collect();
        let outputs = outputs.join("\n");
        host.configure(&format!("oidc_agent = true\n{lev}{nhs}{outputs}\n{tables}"));
        let daemon = host.start_ready();
        let token = host.token("nhs").unwrap();
        let bearer = format!("Bearer {token}");
        let basic = BASE64_STANDARD.encode(format!("oauth2:{token}"));
        let port = api_server::serve(None, move |request| {
            let shown = request.header("authorization").unwrap_or_default();
            let expected = match request.target.as_str() {
                "/basic" => format!("Basic {basic}"),
                _ => bearer.clone(),
            };
            match shown == expected {
                true => Answer::new(200, "text/plain", "welcome\n"),
                false => Answer::new(401, "text/plain", "who are you\n"),
            }
        });
        let bin = host.path("bin");
        fs::create_dir(&bin).unwrap();
        for name in ["bearerd", "docker-credential-bearerd"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bearerd"), bin.join(name)).unwrap();
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self {
            host,
            server,
            daemon,
            token,
            api: format!("http://127.0.0.1:{port}"),
            path,
        }
    }

    /// A recipe with the paths and the server of this scene.
    fn recipe(&self, heading: &str, language: &str, number: usize) -> String {
        let sockets = format!("{}/", self.host.path("run").display());
        let tokens = format!("{}/", self.host.path("tokens").display());
        snippet(heading, language, number)
            .replace("/run/bearerd/tokens/", &tokens)
            .replace("/run/bearerd/", &sockets)
            .replace("https://api.example.org", &self.api)
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        self.host.write(name, text)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.host.path(""))
            .env("BEARERD_SOCKET", self.host.socket())
            .current_dir(self.host.path(""));
        command
    }

    fn sh(&self, script: &str) -> Output {
        self.command("sh").args(["-ec", script]).output().unwrap()
    }

    fn python(&self) -> Command {
        let python = tool::python();
        self.command(python.get_program().to_str().unwrap())
    }
}

#[track_caller]
fn says(output: &Output, expected: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "{errors}"
    );
}

#[test]
fn every_recipe_is_short() {
    let mut headings = docs::headings().peekable();
    assert!(headings.peek().is_some());
    for heading in headings {
        for (_, block) in docs::blocks(heading) {
            assert!(block.lines().count() <= 10, "{heading}: {block}");
        }
    }
}

/// Of a key it does not know, systemd only warns.
#[test]
fn systemd_finds_no_fault_with_a_services_recipes() {
    if !tool::has("systemd-analyze") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let recipes = docs::blocks("A service").into_iter();
    let units: Vec<_> = recipes.filter(|(kind, _)| *kind == "ini").collect();
    assert!(!units.is_empty());
    for (number, (_, unit)) in units.iter().enumerate() {
        let path = directory.path().join(format!("reports{number}.service"));
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "{unit}\n[Service]\nExecStart=/bin/true").unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["--system", "verify", "--man=no", "--recursive-errors=no"]);
        let output = verify.arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{unit}");
    }
}

#[test]
fn a_services_hook_is_accepted() {
    let scene = Scene::new();
    let check = |hook: &str| {
        let main = fs::read_to_string(scene.host.config_path()).unwrap();
        let path = scene.write("service.toml", &format!("{main}\n{hook}"));
        let mut check = scene.command("bearerd");
        check
            .args(["check", "--config"])
            .arg(path)
            .output()
            .unwrap()
    };
    let hook = scene.recipe("A service", "toml", 0);
    let checked = check(&hook);
    assert!(checked.status.success(), "{checked:?}");
    let misspelt = check(&hook.replace("reload_consumers", "reload_consumer"));
    assert_eq!(misspelt.status.code(), Some(5), "{misspelt:?}");
}

#[test]
fn shell_scripts_and_cron_jobs() {
    let scene = Scene::new();
    let script = scene.recipe("A shell script", "sh", 0);
    assert_eq!(script.lines().count(), 4);
    for line in script.lines() {
        says(&scene.sh(line), "welcome\n");
    }
    // A token that is not the right one does not get through.
    let stranger = script
        .lines()
        .next()
        .unwrap()
        .replace("nhs.headers", "lev.headers");
    scene.write("tokens/lev.headers", "Authorization: Bearer x\n");
    assert!(!scene.sh(&stranger).status.success());

    let report = "#!/bin/sh\nexec curl -fsS -H \"Authorization: Bearer $ACCESS_TOKEN\" $API\n";
    let report = scene.write("bin/run-report", report);
    fs::set_permissions(report, fs::Permissions::from_mode(0o755)).unwrap();
    let line = scene.recipe("A cron job", "sh", 0);
    let (_, command) = line.split_once("root ").unwrap();
    let script = format!("export API={}; {command}", scene.api);
    says(&scene.sh(&script), "welcome\n");
    let absent = scene.sh(&command.replace("nhs", "absent"));
    assert_eq!(absent.status.code(), Some(7));
    // When a mail program asks.
    let mail = scene.recipe("Mail", "", 0);
    let (_, command) = mail.split_once("passwordeval ").unwrap();
    says(&scene.sh(command.trim().trim_matches('"')), &scene.token);
}

#[test]
fn python() {
    if !tool::has("python3") {
        return;
    }
    let scene = Scene::new();
    let script = scene.write("script.py", &scene.recipe("Python", "python", 0));
    says(
        &scene.command("python3").arg(script).output().unwrap(),
        "welcome\n\n",
    );
}

#[test]
fn node() {
    if !tool::has("node") {
        return;
    }
    let scene = Scene::new();
    let script = scene.write("script.mjs", &scene.recipe("Node", "js", 0));
    says(
        &scene.command("node").arg(script).output().unwrap(),
        "welcome\n\n",
    );
}

#[test]
fn go() {
    if !tool::has("go") {
        return;
    }
    let scene = Scene::new();
    let program = format!(
        "package main\nimport (\"io\"; \"log\"; \"net/http\"; \"os\")\nfunc main() {{\n{}\
         if err != nil {{ log.Fatal(err) }}\nio.Copy(os.Stdout, response.Body)\n}}\n",
        scene.recipe("Go", "go", 0)
    );
    let program = scene.write("script.go", &program);
    let mut go = scene.command("go");
    go.arg("run")
        .arg(program)
        .env("GOTOOLCHAIN", "local")
        .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go"))
        .env("GO111MODULE", "off");
    says(&go.output().unwrap(), "welcome\n");
}

/// The recipe for Prometheus, with this as the server to scrape.
fn prometheus_config(scene: &Scene, target: &str) -> std::path::PathBuf {
    let recipe = scene.recipe("Prometheus", "yaml", 0);
    let secure = "    scheme: https\n";
    assert!(recipe.contains(secure), "no server gets it without TLS");
    let recipe = recipe
        .replace(secure, "")
        .replace("api.example.org", target);
    let scrapes_soon = "global: { scrape_interval: 1s }";
    scene.write("prometheus.yml", &format!("{scrapes_soon}\n{recipe}"))
}

#[test]
fn promtool_accepts_the_recipe() {
    if !tool::has("promtool") {
        return;
    }
    let scene = Scene::new();
    let check = || {
        let mut promtool = scene.command("promtool");
        promtool.args(["check", "config"]);
        promtool.arg(prometheus_config(&scene, "127.0.0.1:1"));
        promtool.output().unwrap()
    };
    let checked = check();
    assert!(checked.status.success(), "{checked:?}");
    // It looks for the file.
    fs::remove_file(scene.host.path("tokens/nhs")).unwrap();
    assert!(!check().status.success());
}

#[test]
fn prometheus_scrapes_with_the_token() {
    if !tool::has("prometheus") {
        return;
    }
    let scene = Scene::new();
    let (scraped, scrapes) = mpsc::channel();
    let expected = format!("Bearer {}", scene.token);
    let port = api_server::serve(None, move |request| {
        let right = request.header("authorization") == Some(&expected);
        _ = scraped.send((request.target.clone(), right));
        Answer::new(200, "text/plain; version=0.0.4", "up 1\n")
    });
    let config = prometheus_config(&scene, &format!("127.0.0.1:{port}"));
    let mut prometheus = scene.command("prometheus");
    let storage = format!("--storage.tsdb.path={}", scene.host.path("data").display());
    let config = format!("--config.file={}", config.display());
    prometheus.args([&config, &storage, "--web.listen-address=127.0.0.1:0"]);
    prometheus.stderr(Stdio::null());
    let mut prometheus = prometheus.spawn().unwrap();
    let scrape = scrapes.recv_timeout(SOON);
    prometheus.kill().unwrap();
    prometheus.wait().unwrap();
    assert_eq!(scrape.unwrap(), ("/metrics".to_owned(), true));
}

/// The collector is too large to be run; it would refuse first what does not name its other parts.
#[test]
fn the_collectors_parts_name_one_another() {
    let recipe = snippet("OpenTelemetry collector", "yaml", 0);
    let text = |from: &str, to: char| {
        let (_, rest) = recipe.split_once(from).unwrap();
        rest.split(to).next().unwrap().trim()
    };
    let extension = text("extensions:\n", ':');
    assert_eq!(text("authenticator:", '}'), extension);
    assert_eq!(text("service: { extensions: [", ']'), extension);
    let outputs = snippet("", "toml", 0);
    assert_eq!(Some(text("filename:", '}')), outputs.split('"').nth(1));
    for line in recipe.lines() {
        let count = |what: char| line.matches(what).count();
        assert_eq!(count('{'), count('}'), "{line}");
        assert_eq!(count('['), count(']'), "{line}");
    }
}

#[test]
fn docker_asks_a_registry() {
    if !tool::has("docker") {
        return;
    }
    let scene = Scene::new();
    let login = format!("oauth2accesstoken:{}", scene.token);
    let expected = format!("Basic {}", BASE64_STANDARD.encode(login));
    let (tls, _) = api_server::tls();
    let port = api_server::serve(Some(tls), move |request| {
        if request.header("authorization") != Some(&expected) {
            let mut answer = Answer::new(401, "text/plain", "");
            answer
                .headers
                .push(("WWW-Authenticate".into(), "Basic realm=\"x\"".into()));
            return answer;
        }
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let image = "application/vnd.oci.image.manifest.v1+json";
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": empty, "size": 2});
        let manifest =
            json!({"schemaVersion": 2, "mediaType": image, "config": config, "layers": []});
        match request.target.as_str() {
            "/v2/" => Answer::new(200, "application/json", "{}"),
            target if target.contains("/manifests/") => {
                Answer::new(200, image, manifest.to_string())
            }
            _ => Answer::new(200, "application/octet-stream", "{}"),
        }
    });
    let registry = format!("127.0.0.1:{port}");
    let inspect = |token: &str| {
        fs::create_dir_all(scene.host.path(".docker")).unwrap();
        let config = scene
            .recipe("docker", "json", 0)
            .replace("\"nhs\"", &format!("\"{token}\""));
        scene.write(
            ".docker/config.json",
            &config.replace("registry.example.org", &registry),
        );
        let image = format!("{registry}/reports:latest");
        let mut docker = scene.command("docker");
        docker
            .args(["manifest", "inspect", "--insecure", &image])
            .output()
            .unwrap()
    };
    let shown = inspect("nhs");
    assert!(shown.status.success(), "{shown:?}");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("schemaVersion"));
    let refused = inspect("absent");
    assert!(!refused.status.success(), "{refused:?}");
}

#[test]
fn kubectl_asks_a_cluster() {
    if !tool::has("kubectl") {
        return;
    }
    let scene = Scene::new();
    let expected = format!("Bearer {}", scene.token);
    let (tls, pem) = api_server::tls();
    let port = api_server::serve(Some(tls), move |request| {
        match request.header("authorization") == Some(&expected) {
            true => Answer::new(200, "application/json", "well"),
            false => Answer::new(401, "application/json", "{}"),
        }
    });
    let ca = BASE64_STANDARD.encode(pem);
    let ask = |token: &str| {
        let users = scene
            .recipe("kubectl", "yaml", 0)
            .replace("nhs]", &format!("{token}]"));
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: me}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority-data: {ca}}}}}]\n{users}"
        );
        let config = scene.write("kubeconfig", &config);
        let mut kubectl = scene.command("kubectl");
        kubectl
            .arg("--kubeconfig")
            .arg(config)
            .args(["get", "--raw", "/healthz"]);
        kubectl.output().unwrap()
    };
    says(&ask("nhs"), "well");
    let refused = ask("absent");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no token is named absent"));
}

/// The exchange of `external_account` (RFC 8693), in which Google's STS wants the token as subject.
#[test]
fn googles_library_exchanges_the_token() {
    if !tool::has_python_module("google.auth") || !tool::has_python_module("requests") {
        return;
    }
    let scene = Scene::new();
    let subject = scene.token.clone();
    let port = api_server::serve(None, move |request| {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/POOL/providers/PROVIDER";
        let expected = [
            pair("audience", pool),
            pair(
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ),
            pair(
                "requested_token_type",
                "urn:ietf:params:oauth:token-type:access_token",
            ),
            pair("scope", "https://www.googleapis.com/auth/cloud-platform"),
            pair("subject_token", &subject),
            pair("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        if request.form() != expected {
            return Answer::new(400, "application/json", r#"{"error":"invalid_grant"}"#);
        }
        let answer = json!({"access_token": "google-1", "token_type": "Bearer", "expires_in": 3600,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
        Answer::new(200, "application/json", answer.to_string())
    });
    let script = "import google.auth, google.auth.transport.requests\n\
        keys, _ = google.auth.default(scopes=['https://www.googleapis.com/auth/cloud-platform'])\n\
        keys.refresh(google.auth.transport.requests.Request())\nprint(keys.token)";
    let exchange = |account: &serde_json::Value| {
        let file = scene.write("account.json", &account.to_string());
        let mut python = scene.python();
        python
            .args(["-c", script])
            .env("GOOGLE_APPLICATION_CREDENTIALS", file);
        python
            .env("GOOGLE_CLOUD_PROJECT", "p")
            .env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
        python.output().unwrap()
    };
    let account = scene.recipe("Google Cloud", "json", 0);
    let mut account: serde_json::Value = serde_json::from_str(&account).unwrap();
    account["token_url"] = format!("http://127.0.0.1:{port}/v1/token").into();
    says(&exchange(&account), "google-1\n");
    let executable = scene.recipe("Google Cloud", "json", 1);
    account["credential_source"] = serde_json::from_str(&executable).unwrap();
    says(&exchange(&account), "google-1\n");
    let other = executable.replace("nhs", "absent");
    account["credential_source"] = serde_json::from_str(&other).unwrap();
    let failed = exchange(&account);
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("no token is named absent"));
}

#[test]
fn azures_library_shows_the_token_and_reads_it_again() {
    if !tool::has_python_module("azure.identity") {
        return;
    }
    let scene = Scene::new();
    let (tls, pem) = api_server::tls();
    let (seen, assertions) = mpsc::channel();
    let port = api_server::serve(Some(tls), move |request| {
        let form = request.form();
        let value = |name: &str| {
            let pair = form.iter().find(|(own, _)| own == name);
            pair.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let jwt = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let tenant = "/00000000-0000-0000-0000-000000000001/oauth2/v2.0/token";
        let right = request.target == tenant
            && value("grant_type") == "client_credentials"
            && value("client_id") == "00000000-0000-0000-0000-000000000002"
            && value("client_assertion_type") == jwt;
        if !right {
            return Answer::new(400, "application/json", r#"{"error":"invalid_request"}"#);
        }
        _ = seen.send(value("client_assertion"));
        let answer = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "azure-1"});
        Answer::new(200, "application/json", answer.to_string())
    });
    let ca = scene.write("azure-ca.pem", &pem);
    // The library reads a file again after ten minutes.
    let script = "import sys, time\nfrom azure.identity import WorkloadIdentityCredential\n\
        credential = WorkloadIdentityCredential(disable_instance_discovery=True)\n\
        for resource in sys.stdin:\n \
          print(credential.get_token(resource.strip()).token, flush=True)\n \
          begun = time.time; time.time = lambda: begun() + 601";
    let program = scene.write("script.py", script);
    let python = tool::python();
    let python = python.get_program().to_str().unwrap();
    let exports = scene.recipe("Azure", "sh", 0);
    let script = format!("{exports}exec {python} {}", program.display());
    let mut sh = scene.command("sh");
    sh.args(["-ec", &script]).env("REQUESTS_CA_BUNDLE", ca);
    sh.env("AZURE_AUTHORITY_HOST", format!("https://localhost:{port}"));
    let mut child = sh
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"https://a/.default\n").unwrap();
    assert_eq!(assertions.recv_timeout(SOON).unwrap(), scene.token);
    // The same credential, after the file was replaced.
    let refreshed = scene.daemon.client(&["refresh", "nhs"]);
    assert!(refreshed.status.success(), "{refreshed:?}");
    let replaced = eventually("another token", SOON, || {
        scene
            .host
            .token("nhs")
            .filter(|token| *token != scene.token)
    });
    stdin.write_all(b"https://b/.default\n").unwrap();
    assert_eq!(assertions.recv_timeout(SOON).unwrap(), replaced);
    drop(stdin);
    says(&child.wait_with_output().unwrap(), "azure-1\nazure-1\n");
}

#[test]
fn clients_of_oidc_agent() {
    if !tool::has("oidc-token") {
        return;
    }
    let scene = Scene::new();
    says(
        &scene.sh(&scene.recipe("Clients of oidc-agent", "sh", 0)),
        "welcome\n",
    );
    let socket = scene.host.path("run/oidc-agent.sock");
    let issuer = scene.daemon.client(&["get", "lev"]).stdout;
    let mut client = scene.command("oidc-token");
    let url = scene.server.lev_issuer();
    let output = client.arg(&url).env("OIDC_SOCK", &socket).output().unwrap();
    says(
        &output,
        &format!("{}\n", String::from_utf8(issuer).unwrap()),
    );
    if !tool::has_python_module("liboidcagent") {
        return;
    }
    let script = "import liboidcagent as agent\n\
        print(agent.get_access_token('nhs', 60))\n\
        try: agent.get_access_token('absent')\n\
        except agent.OidcAgentError as error: print(error)";
    let mut python = scene.python();
    let output = python
        .args(["-c", script])
        .env("OIDC_SOCK", &socket)
        .output()
        .unwrap();
    let hint = "hint: `bearerd status` lists the tokens";
    says(
        &output,
        &format!("{}\nno token is named absent\n{hint}\n\n", scene.token),
    );
}

#[test]
fn oidc_agents_socket_is_there_only_when_asked_for() {
    let scene = Scene::new();
    assert!(scene.host.path("run/oidc-agent.sock").exists());
    let host = Host::new();
    host.configure("");
    let daemon = host.start_ready();
    assert!(host.socket().exists());
    assert!(!host.path("run/oidc-agent.sock").exists());
    drop(daemon);
}

/// The discovery is scitokens' own; only what it then does with a token is left out, as ours is no SciToken.
const DISCOVER: &str = "import scitokens\n\
    scitokens.SciToken.deserialize = staticmethod(lambda token, *rest: token)\n\
    print(scitokens.SciToken.discover())";

#[test]
fn wlcg_tools_discover_the_token() {
    if !tool::has_python_module("scitokens") {
        return;
    }
    let uid = rustix::process::geteuid().as_raw();
    let outputs = snippet("WLCG bearer token discovery", "toml", 0);
    let outputs = outputs.replace("/run/user/1000/bt_u1000", &format!("@/tokens/bt_u{uid}"));
    let scene = Scene::with(&outputs);
    let runtime = scene.host.path("tokens");
    let token = format!("{}\n", scene.token);
    let discover = |variables: &[(&str, &Path)]| {
        let mut python = scene.python();
        python
            .args(["-c", DISCOVER])
            .envs(variables.iter().copied());
        python.output().unwrap()
    };
    let file = runtime.join(format!("bt_u{uid}"));
    assert_eq!(support::host::mode(&file), 0o600);
    says(&discover(&[("XDG_RUNTIME_DIR", &runtime)]), &token);
    let other = scene.write("other", "other");
    let both = [
        ("XDG_RUNTIME_DIR", runtime.as_path()),
        ("BEARER_TOKEN_FILE", other.as_path()),
    ];
    says(&discover(&both), "other\n");
    assert!(
        !discover(&[("XDG_RUNTIME_DIR", &scene.host.path("state"))])
            .status
            .success()
    );
    // For one program.
    let python = tool::python();
    let python = python.get_program().to_str().unwrap();
    for hand_over in [
        &["--env", "BEARER_TOKEN"][..],
        &["--fd", "--env", "BEARER_TOKEN_FILE"],
    ] {
        let mut exec = scene.command("bearerd");
        exec.args(["exec", "nhs"])
            .args(hand_over)
            .args(["--", python, "-c", DISCOVER]);
        says(&exec.output().unwrap(), &token);
    }
}

#[test]
fn a_system_daemon_serves_wlcg_tools_of_a_user() {
    if !rustix::process::geteuid().is_root() || !tool::has("python3") {
        return;
    }
    let file =
        format!("[[token.nhs.file]]\npath = \"@/tokens/bt_u{NOBODY}\"\nowner = \"{NOBODY}\"\n");
    let scene = Scene::with(&file);
    for directory in ["", "tokens"] {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scene.host.path(directory), mode).unwrap();
    }
    let exports = scene.recipe("WLCG bearer token discovery", "sh", 0);
    let read = |uid| {
        let mut sh = Command::new("sh");
        sh.args(["-ec", &format!("{exports}cat $BEARER_TOKEN_FILE")])
            .uid(uid);
        sh.output().unwrap()
    };
    says(&read(NOBODY), &scene.token);
    assert!(!read(NOBODY - 1).status.success());
    let mode = support::host::mode(&scene.host.path(&format!("tokens/bt_u{NOBODY}")));
    assert_eq!(mode, 0o600);
}

#[test]
fn environment_files_are_read_by_shells_as_by_systemd() {
    let file = "[[token.nhs.file]]\npath = \"@/tokens/nhs.env\"\nformat = \"env\"\n";
    let scene = Scene::with(file);
    let written = eventually("the file", SOON, || scene.host.token("nhs.env"));
    assert_eq!(written, format!("ACCESS_TOKEN=\"{}\"\n", scene.token));
    let script = format!(
        ". {}; printf %s $ACCESS_TOKEN",
        scene.host.path("tokens/nhs.env").display()
    );
    says(&scene.sh(&script), &scene.token);
}
