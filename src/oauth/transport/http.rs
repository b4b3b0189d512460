//! HTTP towards servers: TLS, time limits, bounded answers, no redirects, no repeats.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use bearerd_core::refresh::Delivery;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{
    Certificate, Client, ClientBuilder, Identity, Proxy, RequestBuilder, redirect, retry,
};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};
use zeroize::Zeroizing;

use super::trouble::{self, Trouble};
use crate::config::{self, Environment, TlsIdentity, Transport};
use crate::failpoint;
use crate::oauth::credentials::{assertion, certificate, client_auth};
use crate::oauth::error::{HttpClientProblem, SourceError};

/// The HTTP clients of one registration. New ones are built when a certificate changes: with the old ones,
/// TLS session resumption would go on authenticating with the old certificate.
pub(in crate::oauth) struct Http {
    /// Keeps connections: for requests that may be repeated without harm.
    pub(in crate::oauth) pooled: Client,
    /// Built when first used: most registrations never need it, and each client holds its own roots.
    unpooled: OnceLock<Client>,
    settings: Settings,
}

/// What files said when the registration was loaded.
struct Settings {
    transport: Transport,
    https_only: bool,
    loopback: bool,
    roots: Option<Vec<Certificate>>,
    identity: Option<Identity>,
}

/// An answer, read to its end.
pub(in crate::oauth) struct Answer {
    pub(in crate::oauth) status: StatusCode,
    pub(in crate::oauth) headers: HeaderMap,
    pub(in crate::oauth) body: Zeroizing<Vec<u8>>,
}

impl Http {
    /// For requests to `url`; `kept` is how many connections are held for the next ones. Blocks on files.
    pub(in crate::oauth) fn load(
        transport: Transport,
        url: &Url,
        kept: u32,
        environment: &Environment,
    ) -> Result<Self, SourceError> {
        let tls = transport.tls.identity.as_ref();
        let settings = Settings {
            https_only: url.scheme() == "https",
            loopback: is_loopback(url),
            roots: roots(transport.tls.ca.as_deref())?,
            identity: tls.map(|tls| identity(tls, environment)).transpose()?,
            transport,
        };
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        Ok(Self {
            pooled: settings.client(kept)?,
            unpooled: OnceLock::new(),
            settings,
        })
    }

    /// A connection for each request: on a kept one that the server is just closing, nobody can tell
    /// whether a rotating refresh token was spent.
    pub(in crate::oauth) fn unpooled(&self) -> Result<&Client, SourceError> {
        if let Some(client) = self.unpooled.get() {
            return Ok(client);
        }
        let client = self.settings.client(0)?;
        Ok(self.unpooled.get_or_init(|| client))
    }
}

impl Settings {
    fn client(&self, max_idle: usize) -> Result<Client, SourceError> {
        let mut builder = self.base()?.pool_max_idle_per_host(max_idle);
        if let Some(roots) = &self.roots {
            builder = builder.tls_certs_only(roots.clone());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder.build().map_err(|_| match &self.transport.tls.ca {
            Some(path) => SourceError::CaBundle(path.clone()),
            None => SourceError::HttpClient(HttpClientProblem::NoRoots),
        })
    }

    fn base(&self) -> Result<ClientBuilder, SourceError> {
        let builder = Client::builder()
            .user_agent(concat!("bearerd/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .https_only(self.https_only)
            .connect_timeout(self.transport.connect_timeout)
            .timeout(self.transport.timeout);
        match &self.transport.proxy {
            Some(url) => {
                // reqwest passes over a kind it does not know, and would connect directly.
                let supported = matches!(url.scheme(), "http" | "https");
                let proxy = supported.then(|| Proxy::all(url.clone()));
                let Some(Ok(proxy)) = proxy else {
                    return Err(SourceError::HttpClient(HttpClientProblem::Proxy));
                };
                Ok(builder.proxy(proxy))
            }
            // No proxy leads back to this host's own loopback interface.
            None if self.loopback => Ok(builder.no_proxy()),
            None => Ok(builder),
        }
    }
}

/// The headers of a request for JSON, with those of the configuration; and the secrets among them. `what`
/// is the configuration key that an error names. Blocks on files.
pub(in crate::oauth) fn headers(
    what: &'static str,
    configured: &BTreeMap<String, config::HeaderValue>,
    environment: &Environment,
) -> Result<(HeaderMap, Vec<SecretString>), SourceError> {
    let mut secrets = Vec::new();
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in configured {
        let value = match value {
            config::HeaderValue::Plain(value) => HeaderValue::from_str(value),
            config::HeaderValue::Secret(secret) => {
                let secret = client_auth::read(what, secret, environment)?;
                let value = HeaderValue::from_str(secret.expose_secret());
                secrets.push(secret);
                value
            }
        };
        let mut value = value.map_err(|_| SourceError::RequestEncoding)?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes());
        headers.insert(name.map_err(|_| SourceError::RequestEncoding)?, value);
    }
    Ok((headers, secrets))
}

/// Sends a request and reads its answer, up to [`MAX_BODY`].
pub(in crate::oauth) async fn exchange(
    request: RequestBuilder,
    url: &Url,
) -> Result<Answer, SourceError> {
    let failed = |error: reqwest::Error| trouble::name(&error, server(url));
    failpoint::pass("request");
    let mut response = request.send().await.map_err(failed)?;
    failpoint::pass("reply-begun");
    let status = response.status();
    let headers = response.headers().clone();
    let expected = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(MAX_BODY);
    // Large enough from the start, lest growing leave copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(expected.clamp(USUAL_BODY, MAX_BODY)));
    loop {
        let problem = match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => {
                body.extend_from_slice(&chunk);
                continue;
            }
            Ok(Some(_)) => SourceError::Transport {
                server: server(url),
                trouble: Trouble::TooLarge,
                delivery: Delivery::Unknown,
            },
            Err(error) => failed(error),
        };
        if status.is_success() {
            return Err(problem);
        }
        // The status says enough: no token was issued.
        body.clear();
        break;
    }
    failpoint::pass("reply-read");
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Host and port: all of a URL that errors show.
pub(in crate::oauth) fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Whether credentials may be sent there: https, or http that stays on this host.
#[must_use]
pub fn is_confidential(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && is_loopback(url)
}

/// Whether it names this host's own loopback interface.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn roots(ca: Option<&Path>) -> Result<Option<Vec<Certificate>>, SourceError> {
    let Some(path) = ca else {
        return Ok(None);
    };
    let pem = fs::read(path).map_err(|cause| SourceError::Unreadable {
        path: path.into(),
        cause,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(Some(roots)),
        _ => Err(SourceError::CaBundle(path.into())),
    }
}

fn identity(config: &TlsIdentity, environment: &Environment) -> Result<Identity, SourceError> {
    let unusable = |problem| SourceError::TlsIdentity {
        certificate: config.certificate.clone(),
        problem,
    };
    let leaf = certificate::read(&config.certificate)?;
    let key = client_auth::read("tls.key", &config.key, environment)?;
    let der = assertion::private_key(&key).map_err(|cause| SourceError::Key {
        what: "tls.key",
        cause,
    })?;
    if !certificate::matches(&leaf, &der) {
        return Err(unusable("the certificate is for another key"));
    }
    let chain = fs::read(&config.certificate).map_err(|cause| SourceError::Unreadable {
        path: config.certificate.clone(),
        cause,
    })?;
    let key = key.expose_secret().as_bytes();
    let mut pem = Zeroizing::new(Vec::with_capacity(chain.len() + key.len() + 1));
    pem.extend_from_slice(&chain);
    pem.push(b'\n');
    pem.extend_from_slice(key);
    Identity::from_pem(&pem).map_err(|_| unusable("they are not usable as a PEM chain and key"))
}

/// Few token responses are longer.
const USUAL_BODY: usize = 16 * 1024;

/// More is no token response.
const MAX_BODY: usize = 1024 * 1024;
