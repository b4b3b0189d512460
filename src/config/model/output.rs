//! Where a token goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::secret_ref::SecretRef;

/// `[[token.NAME.file]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileConfig {
    /// Absolute.
    pub path: PathBuf,
    /// What is written.
    pub format: FileFormat,
    /// Further headers, for `headers` and `curl`.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Client certificate and key that the API wants, for `curl`.
    pub cert: Option<PathBuf>,
    /// See `cert`.
    pub key: Option<PathBuf>,
    /// Numeric owner, resolved from a name or id.
    pub owner: Option<u32>,
    /// Numeric group, resolved from a name or id.
    pub group: Option<u32>,
    /// Permission bits, default 0600.
    pub mode: u32,
    /// What becomes of the file when the token expires without a replacement.
    pub on_expiry: OnExpiry,
}

impl FileConfig {
    /// A file with everything else at its default.
    #[must_use]
    pub fn new(path: PathBuf, format: FileFormat) -> Self {
        Self {
            path,
            format,
            headers: BTreeMap::new(),
            cert: None,
            key: None,
            owner: None,
            group: None,
            mode: 0o600,
            on_expiry: OnExpiry::Keep,
        }
    }
}

/// A header's value: plain, or a secret by reference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderValue {
    /// As written.
    Plain(String),
    /// Read at every write of the file.
    Secret(SecretRef),
}

/// What a token file contains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileFormat {
    /// A `curl -K` file: Authorization, further headers, client certificate.
    Curl,
    /// A systemd `EnvironmentFile` with this variable.
    Env {
        /// Default `ACCESS_TOKEN`.
        variable: String,
    },
    /// A `curl -H @file` file.
    Headers,
    /// RFC 6749 section 5.1 without the refresh token, plus `expires_at` (epoch seconds).
    Json,
    /// A netrc entry.
    Netrc {
        /// `machine`.
        machine: String,
        /// `login`, default [`NETRC_LOGIN`].
        login: String,
    },
    /// The token's bytes, no newline.
    Raw,
    /// A minijinja template.
    Template {
        /// The template's file.
        template: PathBuf,
    },
}

/// The `login` of a netrc entry where none is given.
pub const NETRC_LOGIN: &str = "oauth2";

/// What becomes of a file when its token expires without a replacement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnExpiry {
    /// It stays.
    Keep,
    /// It is removed.
    Remove,
}

/// `[[token.NAME.hook]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookConfig {
    /// What it does.
    pub action: HookAction,
    /// After this long it is killed.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HookAction {
    /// Runs argv; no shell.
    Command(Vec<String>),
    /// Has the units that got the token as a credential reloaded or restarted, so that they get the new one.
    ReloadConsumers,
}
