//! Directories, secrets and configuration of one daemon: what stays when the process does not.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::daemon::Daemon;
use super::keys::SigningKey;
use super::server::Server;

/// A temporary directory laid out as a host: `bearerd.toml`, `conf.d`, `secrets`, `state`, `run`,
/// `tokens`, `credentials`.
pub struct Host {
    dir: TempDir,
    /// What is run: the program and its first arguments.
    pub program: Vec<OsString>,
    /// Its environment; nothing is inherited but `PATH`.
    pub environment: Vec<(OsString, OsString)>,
}

impl Host {
    /// For the real binary, which cargo has built for this test.
    #[must_use]
    pub fn new() -> Self {
        Self::running(vec![bearerd().into()])
    }

    /// For another program.
    #[must_use]
    pub fn running(program: Vec<OsString>) -> Self {
        let dir = TempDir::with_prefix("bearerd-").expect("a temporary directory");
        for name in ["conf.d", "secrets", "state", "run", "tokens", "credentials"] {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a directory");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        }
        Self {
            dir,
            program,
            environment: Vec::new(),
        }
    }

    /// Something inside.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// The main configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path("bearerd.toml")
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("run/bearerd.sock")
    }

    /// Writes a file of mode 0600 and renames it into place, as careful people do.
    pub fn write(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.path(relative);
        let name = path.file_name().expect("a file's name").to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.new"));
        fs::write(&temporary, content).expect("a writable directory");
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).expect("its mode");
        fs::rename(&temporary, &path).expect("a rename");
        path
    }

    /// Writes a secret; refer to it as `{ file = "@/secrets/NAME" }`.
    pub fn secret(&self, name: &str, value: &str) -> PathBuf {
        self.write(&format!("secrets/{name}"), value)
    }

    /// Writes the main file: `[daemon]` and then this, in which `@/` stands for the host's directory.
    pub fn configure(&self, tables: &str) -> PathBuf {
        let daemon =
            "[daemon]\nstate_dir = \"@/state\"\nruntime_dir = \"@/run\"\nlog = \"debug\"\n";
        self.write("bearerd.toml", &self.expand(&format!("{daemon}{tables}")))
    }

    /// Writes `conf.d/NAME`.
    pub fn drop_in(&self, name: &str, tables: &str) -> PathBuf {
        self.write(&format!("conf.d/{name}"), &self.expand(tables))
    }

    fn expand(&self, tables: &str) -> String {
        let dir = self.dir.path().to_str().expect("a path of text");
        tables.replace("\"@/", &format!("\"{dir}/"))
    }

    /// With a systemd credential.
    pub fn credential(&mut self, name: &str, value: &str) {
        self.write(&format!("credentials/{name}"), value);
        let directory = self.path("credentials").into_os_string();
        self.variable("CREDENTIALS_DIRECTORY", directory);
    }

    /// With an environment variable.
    pub fn variable(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.retain(|(own, _)| own != name);
        self.environment.push((name.into(), value.into()));
    }

    /// Starts the daemon.
    #[must_use]
    pub fn start(&self) -> Daemon {
        Daemon::start(self, &[])
    }

    /// Starts it and waits until it is ready.
    #[must_use]
    pub fn start_ready(&self) -> Daemon {
        let daemon = self.start();
        daemon.wait_ready(Duration::from_secs(20));
        daemon
    }

    /// A published file's text, if it is there.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("tokens").join(name)).ok()
    }

    /// Configures LEV as the real one is: discovery and the password grant. Publishes `tokens/lev`.
    #[must_use]
    pub fn lev(&self, server: &Server) -> String {
        let lev = server.with(|state| state.settings.lev.clone());
        self.secret("lev-client-secret", &lev.client_secret);
        self.secret("lev-password", &lev.password);
        format!(
            r#"
[client.lev]
issuer = "{issuer}"
client_id = "{client_id}"
{common}[client.lev.auth.client_secret_post]
client_secret = {{ file = "@/secrets/lev-client-secret" }}
[token.lev]
client = "lev"
scope = ["openid"]
[token.lev.grant.password]
username = "{username}"
password = {{ file = "@/secrets/lev-password" }}
[[token.lev.file]]
path = "@/tokens/lev"
"#,
            issuer = server.lev_issuer(),
            client_id = lev.client_id,
            username = lev.username,
            common = self.common(server),
        )
    }

    /// Configures Arden & GEM. Publishes `tokens/ardengem.headers` for `curl -H @file`.
    #[must_use]
    pub fn ardengem(&self, server: &Server) -> String {
        let entra = server.with(|state| state.settings.entra.clone());
        self.secret("ardengem", &entra.client_secret);
        self.secret("ardengem-subscription", "subscription-key-0123456789");
        format!(
            r#"
[client.ardengem]
token_endpoint = "{url}"
client_id = "{client_id}"
{common}[client.ardengem.auth.client_secret_post]
client_secret = {{ file = "@/secrets/ardengem" }}
[token.ardengem]
client = "ardengem"
scope = ["{scope}"]
[token.ardengem.grant.client_credentials]
[[token.ardengem.file]]
path = "@/tokens/ardengem.headers"
format = "headers"
headers = {{ Ocp-Apim-Subscription-Key = {{ file = "@/secrets/ardengem-subscription" }} }}
"#,
            url = server.entra_url(),
            client_id = entra.client_id,
            scope = super::entra::SCOPE,
            common = self.common(server),
        )
    }

    /// Configures NHS England with the key as `secrets/nhs.pem`. Publishes `tokens/nhs`.
    #[must_use]
    pub fn nhs(&self, server: &Server, kid: &str, key: &SigningKey) -> String {
        self.secret("nhs.pem", &key.private_pem);
        format!(
            r#"
[client.nhs]
token_endpoint = "{url}"
client_id = "{api_key}"
{common}[client.nhs.auth.private_key_jwt]
key = {{ file = "@/secrets/nhs.pem" }}
kid = "{kid}"
alg = "RS512"
[token.nhs]
client = "nhs"
[token.nhs.grant.client_credentials]
[[token.nhs.file]]
path = "@/tokens/nhs"
"#,
            url = server.nhs_url(),
            api_key = server.with(|state| state.settings.nhs.api_key.clone()),
            common = self.common(server),
        )
    }

    /// Configures a refresh token as the only way to a token, with a seed of its own. Publishes
    /// `tokens/nhs_user`.
    #[must_use]
    pub fn nhs_user(&self, server: &Server) -> String {
        let nhs = server.with(|state| state.settings.nhs.clone());
        self.secret("nhs-secret", &nhs.api_secret);
        self.secret("seed", &server.seed_refresh_token());
        format!(
            r#"
[client.nhs]
token_endpoint = "{url}"
client_id = "{id}"
{common}[client.nhs.auth.client_secret_post]
client_secret = {{ file = "@/secrets/nhs-secret" }}
[token.nhs_user]
client = "nhs"
[token.nhs_user.grant.refresh_token]
refresh_token = {{ file = "@/secrets/seed" }}
[[token.nhs_user.file]]
path = "@/tokens/nhs_user"
"#,
            url = server.nhs_url(),
            id = nhs.api_key,
            common = self.common(server),
        )
    }

    /// Configures a rotating refresh token at LEV as the only way to a token, with a seed of its own.
    /// Publishes `tokens/user`.
    #[must_use]
    pub fn lev_user(&self, server: &Server) -> String {
        let lev = server.with(|state| state.settings.lev.clone());
        self.secret("lev-client-secret", &lev.client_secret);
        self.secret("seed", &server.seed_lev());
        format!(
            r#"
[client.lev]
token_endpoint = "{issuer}/protocol/openid-connect/token"
client_id = "{client_id}"
{common}[client.lev.auth.client_secret_post]
client_secret = {{ file = "@/secrets/lev-client-secret" }}
[token.user]
client = "lev"
[token.user.grant.refresh_token]
refresh_token = {{ file = "@/secrets/seed" }}
[[token.user.file]]
path = "@/tokens/user"
"#,
            issuer = server.lev_issuer(),
            client_id = lev.client_id,
            common = self.common(server),
        )
    }

    /// Keys for every client. Short deadlines: what hangs is to be over soon.
    #[must_use]
    pub fn common(&self, server: &Server) -> String {
        let mut keys = "connect_timeout = \"1s\"\ntimeout = \"2s\"\n".to_owned();
        if let Some(pem) = &server.ca_pem {
            self.write("ca.pem", pem);
            keys += "tls = { ca = \"@/ca.pem\" }\n";
        }
        keys
    }
}

/// The mode of a file or directory.
#[must_use]
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// The binary that cargo has built for the tests: it stands beside the directory of their programs.
fn bearerd() -> PathBuf {
    let program = std::env::current_exe().expect("a test's own program");
    let built = program.ancestors().nth(2).expect("cargo's directory");
    built.join("bearerd")
}
