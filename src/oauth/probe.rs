//! Facts about one registration, as found by asking its server: for `bearerd check --online`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::refresh::Use;

use super::credentials::certificate;
use super::error::ObtainError;
use super::input_tokens::InputTokens;
use super::obtain::obtain;
use super::registration::Registration;
use super::response::dates;
use super::server_clock;
use super::transport::exchange::exchange;
use crate::clock;
use crate::config::{ClientAuth, TokenConfig};
use crate::token::Token;

/// What was found. That certificates fit their keys was seen when the [`Registration`] was loaded.
#[derive(Debug)]
pub struct Probe {
    /// The token endpoint in use; with an `issuer`, discovery found it and the issuer is equal.
    pub token_endpoint: Result<String, ObtainError>,
    /// Whether the token endpoint's server answers, TLS handshake included; `None` without an
    /// endpoint.
    pub connection: Option<Result<(), ObtainError>>,
    /// Seconds that the server's clock is ahead of this host's, by its `Date` header if it sent
    /// one.
    pub clock_skew: Option<i64>,
    /// The client's own certificates.
    pub certificates: Vec<CertificateExpiry>,
    /// A trial token; `None` when none was asked for or a request would spend the seed refresh
    /// token.
    pub trial: Option<Result<Token, ObtainError>>,
}

/// When a configured certificate expires.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateExpiry {
    /// The file that holds it.
    pub path: PathBuf,
    /// Its `notAfter`, since the epoch; `None` when the file holds no readable certificate.
    pub not_after: Option<Duration>,
}

impl CertificateExpiry {
    /// Reads the leaf certificate of a PEM file. Blocks.
    #[must_use]
    pub fn of(path: PathBuf) -> Self {
        let leaf = certificate::read(&path).ok();
        Self {
            not_after: leaf.and_then(|der| certificate::not_after(&der)),
            path,
        }
    }
}

/// Asks the server of `registration`, and requests `token` as a trial where that does no harm.
pub async fn probe(registration: Arc<Registration>, token: Option<Arc<TokenConfig>>) -> Probe {
    let certificates = certificates(&registration);
    let endpoint = match registration.token_endpoint().await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return Probe {
                token_endpoint: Err(error),
                connection: None,
                clock_skew: None,
                certificates,
                trial: None,
            };
        }
    };
    // Any answer will do; a token endpoint refuses HEAD without counting it as an attempt to log
    // in.
    let sent = clock::unix_now();
    let request = registration.http.pooled.head(endpoint.url.clone());
    let answer = exchange(request, &endpoint.url).await;
    let clock_skew = answer
        .as_ref()
        .ok()
        .and_then(|answer| dates::date(&answer.headers))
        .map(|date| server_clock::skew(date, sent, clock::unix_now()));
    let harmless = |token: &Arc<TokenConfig>| {
        !token.policy().grant.needs_person() && token.parents().is_empty()
    };
    let trial = match token.filter(harmless) {
        Some(token) => {
            Some(obtain(registration, token, Use::Primary, InputTokens::default()).await)
        }
        None => None,
    };
    Probe {
        token_endpoint: Ok(endpoint.text),
        connection: Some(answer.map(|_| ()).map_err(ObtainError::from)),
        clock_skew,
        certificates,
        trial,
    }
}

fn certificates(registration: &Registration) -> Vec<CertificateExpiry> {
    let config = &registration.config;
    let mut paths: Vec<PathBuf> = Vec::new();
    paths.extend(
        config
            .tls
            .identity
            .iter()
            .map(|tls| tls.certificate.clone()),
    );
    for auth in [Some(&config.auth), config.refresh_auth.as_ref()]
        .into_iter()
        .flatten()
    {
        if let ClientAuth::PrivateKeyJwt { assertion, .. } = auth {
            paths.extend(assertion.certificate.clone());
        }
    }
    paths.dedup();
    paths.into_iter().map(CertificateExpiry::of).collect()
}
