//! `[token.NAME]`: a token, and what follows from its configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Parent, Policy, RefreshAt, ServerId};

use super::client::{ClientAuth, ClientConfig, Clients, DEFAULT_LIMITS, Endpoint, named};
use super::environment::Environment;
use super::file::{FileConfig, file};
use super::grant::{self, GrantConfig, LoginAt};
use super::hook::{HookConfig, hook};
use super::keys::{Field, Keys};
use super::references::header_secrets;
use super::refresh::refresh;
use super::secret_ref::SecretRef;
use super::socket::{Allow, socket};
use super::units::{all, boolean, duration, resource, scope, text_or_texts};

/// `[token.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenConfig {
    /// The table's name.
    pub name: TokenName,
    /// The client that the token is for. Grants that are no token request have none: `command`,
    /// `http`, `github_app`.
    pub client: Option<Arc<ClientConfig>>,
    /// `scope`, joined by spaces when sent (RFC 6749 section 3.3).
    pub scope: Vec<String>,
    /// `audience`, repeated when there are several.
    pub audience: Vec<String>,
    /// `resource` (RFC 8707), repeated when there are several.
    pub resource: Vec<String>,
    /// Further parameters of the token request.
    pub params: BTreeMap<String, String>,
    /// How the token is obtained.
    pub grant: GrantConfig,
    /// When the token is replaced.
    pub refresh_at: RefreshAt,
    /// Whether it is obtained anew when a token that it is made from was replaced.
    pub follow_source: bool,
    /// After how long without use the server drops its refresh token, where the server does not
    /// say.
    pub inactivity: Option<Duration>,
    /// How long before a person has to log in this is announced.
    pub login_notice: Duration,
    /// Its lifetime where the server names none and the token is no JWT.
    pub assume_lifetime: Option<Duration>,
    /// Whether it is revoked and forgotten when it is no longer configured.
    pub revoke_on_removal: bool,
    /// Whether readiness waits for it.
    pub required: bool,
    /// The files that the token is written to.
    pub files: Vec<FileConfig>,
    /// What runs when the token was replaced.
    pub hooks: Vec<HookConfig>,
    /// Who may read it through the socket, beside root and the daemon's own user.
    pub allow: Vec<Allow>,
    /// Who may log in for it through the socket, beside root and the daemon's own user.
    pub login: Vec<Allow>,
    /// A name of everything that decides what is obtained; see
    /// [`bearerd_core::refresh::Policy::identity`].
    pub identity: [u8; 16],
}

impl TokenConfig {
    /// Whether the token comes from a login.
    #[must_use]
    pub fn is_login(&self) -> bool {
        self.grant.profile().login.is_some()
    }

    /// What the core has to know of this token.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let client = self.client.as_deref();
        Policy {
            server: ServerId(self.server().into()),
            limits: client.map_or(DEFAULT_LIMITS, |client| client.limits),
            grant: self.grant.profile().core,
            parents: self.parents(),
            follows_parents: self.follow_source,
            inactivity: self.inactivity,
            login_notice: self.login_notice,
            rotation_grace: client.map_or(Duration::ZERO, |client| client.rotation_grace),
            refresh_at: self.refresh_at,
            deadline: self.longest() + SLACK,
            identity: self.identity,
        }
    }

    /// The tokens that its requests carry.
    #[must_use]
    pub fn parents(&self) -> Vec<Parent> {
        let mut parents: Vec<_> = self.grant.profile().parents().collect();
        let Some(client) = &self.client else {
            return parents;
        };
        let ClientConfig {
            auth, refresh_auth, ..
        } = &**client;
        let proofs = [
            (Some(auth), refresh_auth.is_none()),
            (refresh_auth.as_ref(), true),
        ];
        for (auth, on_refresh) in proofs {
            let assertion = auth.and_then(ClientAuth::client_assertion);
            parents.extend(assertion.and_then(|assertion| assertion.parent(on_refresh)));
        }
        parents
    }

    /// The files whose change may change this token's requests: its own and its client's.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let grant = self.grant.profile();
        let client = self.client.iter();
        let mut paths: Vec<_> = client
            .flat_map(|client| client.inputs(environment))
            .collect();
        let secrets = grant.all_secrets();
        paths.extend(secrets.filter_map(|(_, secret)| secret.path(environment)));
        paths.extend(grant.certificate.cloned());
        paths.extend(grant.tls.iter().flat_map(|tls| tls.inputs(environment)));
        paths.sort();
        paths.dedup();
        paths
    }

    /// The files whose change may change what this token's files contain: templates, secrets in
    /// headers.
    #[must_use]
    pub fn output_inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let headers = self
            .header_secrets()
            .filter_map(|(_, secret)| secret.path(environment));
        let templates = self.files.iter().filter_map(|file| file.format.template());
        headers.chain(templates.map(Into::into)).collect()
    }

    /// The token's own secrets, each with the key or the header that refers to it.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        let grant: Vec<_> = self.grant.profile().all_secrets().collect();
        grant.into_iter().chain(self.header_secrets())
    }

    fn header_secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        let files = self.files.iter();
        files.flat_map(|file| header_secrets(&file.headers))
    }

    /// How long an attempt may take when everything is as slow as it may be. It has ended by itself
    /// then.
    fn longest(&self) -> Duration {
        let documents = self.client.iter().flat_map(|client| client.documents());
        let fetches: Duration = documents.map(|document| document.transport.timeout).sum();
        if fetches == Duration::ZERO {
            return self.longest_request();
        }
        // The documents are fetched before the request; and again, with another request, when what
        // they said is refused.
        2 * (fetches + self.longest_request())
    }

    fn longest_request(&self) -> Duration {
        let grant = self.grant.profile();
        let Some(client) = &self.client else {
            return grant.longest;
        };
        // Two places of metadata, and the token request, again where the clock was wrong. A rotated
        // refresh token in the last answer must not be given up before. The keys that an ID token
        // is verified with take two more, and a login's pages as many.
        let requests = match (grant.login, &client.endpoint) {
            (Some(_), _) => 8,
            (None, Endpoint::Issuer(_)) => 6,
            (None, Endpoint::TokenEndpoint(_)) => 4,
        };
        requests * client.timeout
    }

    /// The issuer; else the origin of where the request goes. A program shares its server with no
    /// other token.
    fn server(&self) -> String {
        match self.client.as_ref().map(|client| &client.endpoint) {
            Some(Endpoint::Issuer(issuer)) => issuer.text.clone(),
            Some(Endpoint::TokenEndpoint(url)) => url.url.origin().ascii_serialization(),
            None => {
                let origin = self.grant.profile().origin;
                origin.unwrap_or_else(|| format!("command {}", self.name))
            }
        }
    }
}

/// Reads `[token.NAME]`.
pub(super) fn token(field: Field<'_>, name: TokenName, clients: &Clients) -> Option<TokenConfig> {
    let mut keys = field.keys()?;
    let alone = grant::stands_alone(&keys);
    let client = match alone {
        Some(_) => keys.optional("client", |_| None),
        None => keys.required(
            "client",
            "name one of the `[client.NAME]` tables",
            |client| named(client, clients),
        ),
    };
    for key in REQUEST_KEYS.into_iter().filter(|key| keys.has(key)) {
        if let Some(kind) = alone {
            let message = format!("`{key}` means nothing to the grant `{kind}`");
            keys.refuse(key, message, "leave it out: no token request is sent");
        }
    }
    let scope = keys.optional("scope", scope);
    let audience = keys.optional("audience", text_or_texts);
    let resource = keys.optional("resource", resource);
    let params = keys.optional("params", grant::params);
    let hint = format!("add `[{}.grant.KIND]`, {}", keys.name, grant::kinds());
    let grant = keys.required("grant", &hint, GrantConfig::read);
    check_login(&keys, client.as_deref(), scope.as_deref(), grant.as_ref());
    let refresh = keys.optional("refresh", refresh).unwrap_or_default();
    let assume_lifetime = keys.optional("assume_lifetime", duration);
    let revoke_on_removal = keys.optional("revoke_on_removal", boolean);
    let required = keys.optional("required", boolean);
    let files = keys.optional("file", |files| tables(files, file));
    let hooks = keys.optional("hook", |hooks| tables(hooks, hook));
    let socket = keys.optional("socket", socket).unwrap_or_default();
    keys.finish();
    if alone.is_none() && client.is_none() {
        return None;
    }
    Some(TokenConfig {
        name,
        client,
        scope: scope.unwrap_or_default(),
        audience: audience.unwrap_or_default(),
        resource: resource.unwrap_or_default(),
        params: params.unwrap_or_default(),
        grant: grant?,
        refresh_at: refresh.at.unwrap_or(RefreshAt::Permille(750)),
        follow_source: refresh.follow_source.unwrap_or(false),
        inactivity: refresh.inactivity,
        login_notice: refresh.login_notice.unwrap_or(LOGIN_NOTICE),
        assume_lifetime,
        revoke_on_removal: revoke_on_removal.unwrap_or(false),
        required: required.unwrap_or(true),
        files: files.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        allow: socket.allow,
        login: socket.login,
        // Follows when all tokens are known.
        identity: [0; 16],
    })
}

/// A login needs a place for it, and scope `openid` the keys that its ID token is verified with.
fn check_login(
    keys: &Keys<'_>,
    client: Option<&ClientConfig>,
    scope: Option<&[String]>,
    grant: Option<&GrantConfig>,
) {
    let Some((Endpoint::TokenEndpoint(_), client)) = client.map(|c| (&c.endpoint, c)) else {
        return;
    };
    let endpoints = &client.login_endpoints;
    let (key, endpoint) = match grant.and_then(|grant| grant.profile().login) {
        Some(LoginAt::Authorization) => ("authorization_endpoint", &endpoints.authorization),
        Some(LoginAt::DeviceAuthorization) => (
            "device_authorization_endpoint",
            &endpoints.device_authorization,
        ),
        None => return,
    };
    let name = &client.name;
    if endpoint.is_none() {
        let message = format!("`{}` has nowhere to log in", keys.name);
        let hint = format!("set `issuer` or `{key}` in `[client.{name}]`");
        keys.refuse("grant", message, &hint);
    }
    if scope.is_some_and(|scope| scope.iter().any(|scope| scope == "openid")) {
        let message = "with `openid` comes an ID token, which only an issuer's keys can verify";
        let hint = format!("set `issuer` in `[client.{name}]`, or leave `openid` out");
        keys.refuse("scope", message, &hint);
    }
}

/// Reads an array of tables.
fn tables<T>(field: Field<'_>, read: impl FnMut(Field<'_>) -> Option<T>) -> Option<Vec<T>> {
    let header = format!(
        "write `[[{}.{}]]`, in two pairs of brackets",
        field.table, field.key
    );
    all(field.elements("an array of tables", &header)?, read)
}

/// The keys that only a token request has.
const REQUEST_KEYS: [&str; 5] = ["client", "scope", "audience", "resource", "params"];

/// Without `login_notice`.
const LOGIN_NOTICE: Duration = Duration::from_secs(15 * 60);

/// For what happens between the requests.
const SLACK: Duration = Duration::from_secs(5);
