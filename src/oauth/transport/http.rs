//! The HTTP clients of a registration: TLS, time limits, no redirects, no repeats.

use std::path::Path;
use std::sync::OnceLock;

use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy, redirect, retry};
use secrecy::ExposeSecret;
use url::Url;
use zeroize::Zeroizing;

use super::address::is_loopback;
use super::error::{HttpClientProblem, TransportError};
use crate::config::{Environment, TlsIdentity, Transport};
use crate::oauth::credentials::{CredentialsError, certificate, private_key, secret};

/// The HTTP clients of one registration. New ones are built when a certificate changes: with the
/// old ones, TLS session resumption would go on authenticating with the old certificate.
pub(in crate::oauth) struct Http {
    /// This one keeps connections, for requests that may be repeated without harm.
    pub(in crate::oauth) pooled: Client,
    /// Built when first used: most registrations never need it, and each client holds its own
    /// roots.
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

impl Http {
    /// Prepares requests to `url`; `kept` is how many connections are held for the next ones.
    /// Blocks on files.
    pub(in crate::oauth) fn load(
        transport: Transport,
        url: &Url,
        kept: u32,
        environment: &Environment,
    ) -> Result<Self, TransportError> {
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

    /// The client that opens a connection for each request: on a kept one that the server is just
    /// closing, nobody can tell whether a rotating refresh token was spent.
    pub(in crate::oauth) fn unpooled(&self) -> Result<&Client, TransportError> {
        if let Some(client) = self.unpooled.get() {
            return Ok(client);
        }
        let client = self.settings.client(0)?;
        Ok(self.unpooled.get_or_init(|| client))
    }
}

impl Settings {
    fn client(&self, max_idle: usize) -> Result<Client, TransportError> {
        let mut builder = self.base()?.pool_max_idle_per_host(max_idle);
        if let Some(roots) = &self.roots {
            builder = builder.tls_certs_only(roots.clone());
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(identity.clone());
        }
        builder.build().map_err(|_| match &self.transport.tls.ca {
            Some(path) => TransportError::CaBundle(path.clone()),
            None => TransportError::HttpClient(HttpClientProblem::NoRoots),
        })
    }

    fn base(&self) -> Result<ClientBuilder, TransportError> {
        let builder = Client::builder()
            .user_agent(concat!("bearerd/", env!("CARGO_PKG_VERSION")))
            // As curl and Go read them: a header that nobody can read costs that header.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
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
                    return Err(TransportError::HttpClient(HttpClientProblem::Proxy));
                };
                Ok(builder.proxy(proxy))
            }
            // No proxy leads back to this host's own loopback interface.
            None if self.loopback => Ok(builder.no_proxy()),
            None => Ok(builder),
        }
    }
}

fn roots(ca: Option<&Path>) -> Result<Option<Vec<Certificate>>, TransportError> {
    let Some(path) = ca else {
        return Ok(None);
    };
    let pem = certificate::bytes(path)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(Some(roots)),
        _ => Err(TransportError::CaBundle(path.into())),
    }
}

fn identity(config: &TlsIdentity, environment: &Environment) -> Result<Identity, TransportError> {
    let unusable = |problem| TransportError::TlsIdentity {
        certificate: config.certificate.clone(),
        problem,
    };
    let leaf = certificate::read(&config.certificate)?;
    let key = secret::read("tls.key", &config.key, environment)?;
    let der = private_key::read(&key).map_err(|cause| CredentialsError::Key {
        what: "tls.key",
        cause,
    })?;
    if certificate::is_version_1(&leaf) {
        return Err(unusable(
            "the certificate is X.509 version 1; have it issued as version 3",
        ));
    }
    if !certificate::matches(&leaf, &der) {
        return Err(unusable("the certificate is for another key"));
    }
    let chain = certificate::bytes(&config.certificate)?;
    let key = key.expose_secret().as_bytes();
    let mut pem = Zeroizing::new(Vec::with_capacity(chain.len() + key.len() + 1));
    pem.extend_from_slice(&chain);
    pem.push(b'\n');
    pem.extend_from_slice(key);
    Identity::from_pem(&pem).map_err(|_| unusable("they are not usable as a PEM chain and key"))
}
