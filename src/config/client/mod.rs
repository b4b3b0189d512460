//! `[client.NAME]`: one registration at one authorization server.

mod assertion;
mod auth;
mod endpoint;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::refresh::Limits;
use url::Url;

use super::document::{ClientId, ClientSecret, DocumentConfig, DocumentRef, Documents, client_id};
use super::environment::Environment;
use super::keys::{Field, Keys, closest};
use super::references::TokenRef;
use super::secret_ref::SecretRef;
use super::transport::{TlsConfig, Transport};
use super::units::{HttpsUrl, count, duration, https_url, one_of};

use auth::METHODS_HINT;

pub(super) use assertion::{ALG_HINT, KEY_HINT};
pub use assertion::{AssertionConfig, HmacAlg, SIGNATURE_ALGS, SignatureAlg};
pub use auth::ClientAuth;
pub use endpoint::{Endpoint, LoginEndpoints};

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
    /// A proxy for this client's requests. Without it, the environment's is used (`HTTPS_PROXY`,
    /// `NO_PROXY`).
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

impl ClientConfig {
    /// How requests get to its server.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport {
            tls: self.tls.clone(),
            proxy: self.proxy.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }
    }

    /// The assertions that somebody else makes and that a file or the like holds. They are read at
    /// each request.
    pub fn assertions(&self) -> impl Iterator<Item = &SecretRef> {
        let made = self.auths().filter_map(ClientAuth::client_assertion);
        made.filter_map(TokenRef::secret)
    }

    /// The secrets that the client has in common with the server.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let secrets = self.auths().filter_map(ClientAuth::client_secret);
        secrets.filter_map(|secret| match secret {
            ClientSecret::Document(_) => None,
            ClientSecret::Secret(secret) => Some(secret),
        })
    }

    /// The files whose change may change this client's requests.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for auth in self.auths() {
            let assertion = auth.assertion();
            paths.extend(auth.secret().and_then(|secret| secret.path(environment)));
            paths.extend(assertion.and_then(|assertion| assertion.certificate.clone()));
        }
        for document in self.documents() {
            paths.extend(document.inputs(environment));
        }
        paths.extend(self.tls.inputs(environment));
        paths.sort();
        paths.dedup();
        paths
    }

    /// The documents that it refers to, each once.
    #[must_use]
    pub fn documents(&self) -> Vec<&Arc<DocumentConfig>> {
        let places = self.document_places();
        let mut documents: Vec<_> = places.map(|place| &place.document).collect();
        documents.sort_by_key(|document| &document.name);
        documents.dedup();
        documents
    }

    /// The places in documents where values of the client stand.
    pub fn document_places(&self) -> impl Iterator<Item = &DocumentRef> {
        let client_id = match &self.client_id {
            ClientId::Document(place) => Some(place),
            ClientId::Given(_) => None,
        };
        let secrets = self.auths().filter_map(ClientAuth::client_secret);
        let places = secrets.filter_map(|secret| match secret {
            ClientSecret::Document(place) => Some(place),
            ClientSecret::Secret(_) => None,
        });
        client_id.into_iter().chain(places)
    }

    fn auths(&self) -> impl Iterator<Item = &ClientAuth> {
        [Some(&self.auth), self.refresh_auth.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// How the body of a request is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded` (RFC 6749).
    Form,
    /// `application/json`, which a few servers want.
    Json,
}

/// The clients by name. `None` means that the client is configured, but wrongly.
pub(super) type Clients = BTreeMap<String, Option<Arc<ClientConfig>>>;

/// Reads `[client.NAME]`.
pub(super) fn client(field: Field<'_>, documents: &Documents) -> Option<ClientConfig> {
    let mut keys = field.keys()?;
    let endpoint = Endpoint::read(&mut keys);
    let authorization = keys.optional("authorization_endpoint", https_url);
    let device_authorization = keys.optional("device_authorization_endpoint", https_url);
    let revocation_endpoint = keys.optional("revocation_endpoint", https_url);
    let hint = "the name that the server knows it by";
    let client_id = keys.required("client_id", hint, |id| client_id(id, documents));
    let hint = format!("add `[{}.auth.METHOD]`, {METHODS_HINT}", keys.name);
    let auth = keys.required("auth", &hint, |auth| ClientAuth::read(auth, documents));
    let refresh_auth = keys.optional("refresh_auth", |auth| ClientAuth::read(auth, documents));
    let Transport {
        tls,
        proxy,
        connect_timeout,
        timeout,
    } = Transport::read(&mut keys);
    let body = keys.optional("body", |body| one_of(body, &BODIES));
    let limits = keys.optional("limits", limits);
    let rotation_grace = keys.optional("rotation_grace", duration);
    for (key, auth) in [("auth", &auth), ("refresh_auth", &refresh_auth)] {
        check_tls_client_auth(&keys, key, auth.as_ref(), &tls);
    }
    keys.finish();
    Some(ClientConfig {
        name: field.key.to_owned(),
        endpoint: endpoint?,
        login_endpoints: LoginEndpoints {
            authorization,
            device_authorization,
        },
        revocation_endpoint,
        client_id: client_id?,
        auth: auth?,
        refresh_auth,
        tls,
        proxy,
        connect_timeout,
        timeout,
        body: body.unwrap_or(BodyFormat::Form),
        limits: limits.unwrap_or(DEFAULT_LIMITS),
        rotation_grace: rotation_grace.unwrap_or_default(),
    })
}

/// Reads the name of a client and finds the client.
pub(super) fn named(field: Field<'_>, clients: &Clients) -> Option<Arc<ClientConfig>> {
    let name = field.str("the name of a client", "")?;
    if let Some(client) = clients.get(name) {
        return client.clone();
    }
    if field.origin.reading.broken.get() {
        return None;
    }
    let names: Vec<&str> = clients.keys().take(SUGGESTED).map(String::as_str).collect();
    let hint = match closest(name, &names) {
        Some(close) => format!("did you mean \"{close}\"?"),
        None => format!("add `[client.{name}]`"),
    };
    field.refuse(format!("there is no client `{name}`"), &hint)
}

fn limits(field: Field<'_>) -> Option<Limits> {
    let mut keys: Keys<'_> = field.keys()?;
    let max_in_flight = keys.optional("max_in_flight", count);
    let requests_per_minute = keys.optional("requests_per_minute", count);
    keys.finish();
    Some(Limits {
        max_in_flight: max_in_flight.unwrap_or(DEFAULT_LIMITS.max_in_flight),
        requests_per_minute,
    })
}

/// `tls_client_auth` needs a certificate to show.
fn check_tls_client_auth(keys: &Keys<'_>, key: &str, auth: Option<&ClientAuth>, tls: &TlsConfig) {
    let unread = keys.field("tls").is_some_and(|tls| match tls.value() {
        toml::de::DeValue::Table(tls) => tls.contains_key("certificate") || tls.contains_key("key"),
        _ => true,
    });
    if auth == Some(&ClientAuth::TlsClientAuth) && tls.identity.is_none() && !unread {
        let message = format!("`{}.{key}` needs a client certificate", keys.name);
        let hint = format!("add `[{}.tls]` with `certificate` and `key`", keys.name);
        keys.refuse(key, message, &hint);
    }
}

const BODIES: [(&str, BodyFormat); 2] = [("form", BodyFormat::Form), ("json", BodyFormat::Json)];

pub(super) const DEFAULT_LIMITS: Limits = Limits {
    max_in_flight: 32,
    requests_per_minute: None,
};

/// Among how many clients the one that was meant is looked for.
const SUGGESTED: usize = 1000;
