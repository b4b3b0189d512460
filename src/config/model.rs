//! The checked configuration. Nothing in here can hold nonsense: parsing and validation are over.

mod grant;
mod output;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Limits, RefreshAt};
use url::Url;

pub use grant::*;
pub use output::*;

use super::secret_ref::SecretRef;

/// Everything the daemon is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[daemon]`.
    pub daemon: DaemonConfig,
    /// `[client.*]` by name.
    pub clients: BTreeMap<String, Arc<ClientConfig>>,
    /// `[token.*]` by name.
    pub tokens: BTreeMap<TokenName, Arc<TokenConfig>>,
    /// Every file and directory that was read or looked for: the main file, `conf.d`, its drop-ins.
    pub read_from: Vec<PathBuf>,
}

/// `[daemon]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DaemonConfig {
    /// Durable state; mode 0700.
    pub state_dir: PathBuf,
    /// The sockets.
    pub runtime_dir: PathBuf,
    /// What is run when somebody has to log in.
    pub notify: Option<NotifyConfig>,
    /// Whether oidc-agent's clients are served, at `oidc-agent.sock` in `runtime_dir`.
    pub oidc_agent: bool,
    /// The log filter, such as `info` or `bearerd::oauth=debug,info`.
    pub log: String,
}

/// `[daemon.notify]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotifyConfig {
    /// argv; no shell.
    pub command: Vec<String>,
    /// After this long it is killed.
    pub timeout: Duration,
}

/// `[client.NAME]`: one registration at one authorization server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientConfig {
    /// The table's name.
    pub name: String,
    /// Where tokens are requested.
    pub endpoint: Endpoint,
    /// Where people log in, if not where the metadata say.
    pub login_endpoints: LoginEndpoints,
    /// Where tokens are revoked (RFC 7009), if not where the metadata say.
    pub revocation_endpoint: Option<HttpsUrl>,
    /// `client_id` (RFC 6749 section 2.2).
    pub client_id: ClientId,
    /// How the client proves who it is.
    pub auth: ClientAuth,
    /// How it does so with the refresh token grant, where that differs.
    pub refresh_auth: Option<ClientAuth>,
    /// TLS towards the server.
    pub tls: TlsConfig,
    /// A proxy for this client's requests; else the environment's (`HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<Url>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub timeout: Duration,
    /// How the request body is encoded.
    pub body: BodyFormat,
    /// How much the server may be asked.
    pub limits: Limits,
    /// How long after its first use the server still takes a refresh token that it has rotated.
    pub rotation_grace: Duration,
}

/// `client_id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientId {
    /// It stands in a document.
    Document(DocumentRef),
    /// As configured.
    Given(String),
}

/// A place in a JSON document at a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentRef {
    /// The document.
    pub document: Arc<DocumentConfig>,
    /// Where in it, as a JSON pointer (RFC 6901).
    pub pointer: String,
}

/// `[http.NAME]`: a JSON document at a server, which values of clients may stand in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentConfig {
    /// The table's name.
    pub name: String,
    /// Where it is.
    pub url: HttpsUrl,
    /// What the request carries.
    pub headers: BTreeMap<String, HeaderValue>,
    /// How it gets there.
    pub transport: Transport,
}

/// Where tokens are requested.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// Discovered from the issuer (RFC 8414, OpenID Connect Discovery). Kept as written: the issuer in the
    /// metadata must equal it byte for byte.
    Issuer(HttpsUrl),
    /// Used byte for byte as configured: trailing slashes matter to some servers.
    TokenEndpoint(HttpsUrl),
}

impl Endpoint {
    /// The URL, whichever it is.
    #[must_use]
    pub const fn url(&self) -> &HttpsUrl {
        let (Self::Issuer(url) | Self::TokenEndpoint(url)) = self;
        url
    }
}

/// Where people log in, if not where the metadata say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LoginEndpoints {
    /// `authorization_endpoint` (RFC 8414 section 2).
    pub authorization: Option<HttpsUrl>,
    /// `device_authorization_endpoint` (RFC 8628 section 4).
    pub device_authorization: Option<HttpsUrl>,
}

/// An absolute `https` URL, or `http` to a loopback address; the text as configured is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpsUrl {
    /// As configured.
    pub text: String,
    /// Parsed.
    pub url: Url,
}

/// Form (RFC 6749) or, for the few servers that want it, JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

/// How requests get to a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transport {
    /// TLS towards it.
    pub tls: TlsConfig,
    /// A proxy; else the environment's.
    pub proxy: Option<Url>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub timeout: Duration,
}

/// `[client.NAME.tls]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsConfig {
    /// PEM bundle that replaces the system's roots for this client.
    pub ca: Option<PathBuf>,
    /// Client certificate chain, PEM, and its private key.
    pub identity: Option<TlsIdentity>,
}

/// A client certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsIdentity {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: SecretRef,
}

/// `[client.NAME.auth.*]`, by its registered name (RFC 7591, RFC 8705).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    /// A public client: `client_id` only.
    None,
    /// HTTP Basic with id and secret form-encoded first (RFC 6749 section 2.3.1).
    ClientSecretBasic {
        /// The secret.
        client_secret: SecretRef,
    },
    /// HTTP Basic without that encoding, for servers that do not decode.
    ClientSecretBasicRaw {
        /// The secret.
        client_secret: SecretRef,
    },
    /// An assertion that somebody else has made (RFC 7521 section 4.2): read at every request.
    ClientAssertion {
        /// Where it is.
        client_assertion: TokenRef,
    },
    /// An HMAC-signed assertion (OpenID Connect Core section 9).
    ClientSecretJwt {
        /// The HMAC key.
        client_secret: SecretRef,
        /// HS256, HS384 or HS512.
        alg: HmacAlg,
        /// What the assertion says.
        assertion: AssertionConfig,
    },
    /// `client_id` and `client_secret` in the body.
    ClientSecretPost {
        /// The secret.
        client_secret: SecretRef,
    },
    /// An assertion signed with a private key (RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// PEM, PKCS#1, PKCS#8 or SEC1.
        key: SecretRef,
        /// The signature algorithm.
        alg: SignatureAlg,
        /// What the assertion says.
        assertion: AssertionConfig,
    },
    /// The TLS client certificate of [`TlsConfig::identity`] (RFC 8705 section 2), CA-issued or self-signed.
    TlsClientAuth,
}

/// JWS MAC algorithms (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum HmacAlg {
    HS256,
    HS384,
    HS512,
}

/// JWS signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum SignatureAlg {
    ES256,
    ES384,
    ES512,
    EdDSA,
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
}

/// The parts of an assertion that can be set (RFC 7523 section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssertionConfig {
    /// `kid`.
    pub kid: Option<String>,
    /// `typ`; default `JWT`.
    pub typ: String,
    /// `aud`; default the token endpoint as used.
    pub audience: Option<String>,
    /// From `iat` to `exp`; whole seconds.
    pub lifetime: Duration,
    /// The certificate that `x5t` and `x5t#S256` are made from.
    pub certificate: Option<PathBuf>,
    /// Adds `x5t` (SHA-1).
    pub x5t: bool,
    /// Adds `x5t#S256` (SHA-256).
    pub x5t_s256: bool,
    /// Further claims. The registered ones (`iss sub aud exp iat jti`) cannot be set here.
    pub claims: BTreeMap<String, serde_json::Value>,
}

/// `[token.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenConfig {
    /// The table's name.
    pub name: TokenName,
    /// Whose token it is; `None` for grants that are no token request: `command`, `http`, `github_app`.
    pub client: Option<Arc<ClientConfig>>,
    /// `scope`, joined by spaces when sent (RFC 6749 section 3.3).
    pub scope: Vec<String>,
    /// `audience`, repeated when several.
    pub audience: Vec<String>,
    /// `resource` (RFC 8707), repeated when several.
    pub resource: Vec<String>,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
    /// How it is obtained.
    pub grant: GrantConfig,
    /// When it is replaced.
    pub refresh_at: RefreshAt,
    /// Whether it is obtained anew when a token that it is made from was replaced.
    pub follow_source: bool,
    /// After how long without use the server drops its refresh token, where the server does not say.
    pub inactivity: Option<Duration>,
    /// How long before a person has to log in this is announced.
    pub login_notice: Duration,
    /// Its lifetime where the server names none and the token is no JWT.
    pub assume_lifetime: Option<Duration>,
    /// Whether it is revoked and forgotten when it is no longer configured.
    pub revoke_on_removal: bool,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Where it is written.
    pub files: Vec<FileConfig>,
    /// What runs when it was replaced.
    pub hooks: Vec<HookConfig>,
    /// Who may read it through the socket, beside root and the daemon's own user.
    pub allow: Vec<Allow>,
    /// Who may log in for it through the socket, beside root and the daemon's own user.
    pub login: Vec<Allow>,
    /// Names everything that decides what is obtained; see [`bearerd_core::refresh::Policy::identity`].
    pub identity: [u8; 16],
}

/// One entry of `allow` in `[token.NAME.socket]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Allow {
    /// As configured.
    pub written: String,
    /// Whom it means.
    pub who: Who,
}

/// Whom an entry of `allow` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// Processes that have this group, be it as their first or as a further one.
    Group(u32),
    /// Processes in systemd units whose name is such as this glob.
    Unit(String),
    /// Processes of this user.
    User(u32),
}
