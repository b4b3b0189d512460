//! One client's registration at one authorization server, ready to send requests.

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::client_auth::{self, Credentials};
use super::credentials::values::Values;
use super::credentials::{CredentialsError, secret};
use super::error::ObtainError;
use super::id_token::{self, Claims, Expected, IdTokenError};
use super::input_tokens::InputTokens;
use super::provider::key_cache::Want;
use super::provider::{KeySetProblem, Metadata, ProviderError, discovery, key_cache};
use super::server_clock::ServerClock;
use super::transport::NoAnswer;
use super::transport::address::server;
use super::transport::exchange::{Answer, exchange};
use super::transport::http::Http;
use crate::clock;
use crate::config::{ClientConfig, Endpoint, Environment, HttpsUrl, SecretRef, TokenRef};

/// One client's registration at one authorization server: secrets read, keys parsed, TLS set up.
///
/// What it was built from does not change in it; when a file does, a new one is built and takes its
/// place.
pub struct Registration {
    pub(super) config: Arc<ClientConfig>,
    /// `client_id`, wherever it stands.
    pub(super) client_id: String,
    pub(super) http: Http,
    environment: Environment,
    credentials: Credentials,
    refresh_credentials: Option<Credentials>,
    metadata: discovery::Cache,
    keys: key_cache::Cache,
    clock: ServerClock,
}

impl Registration {
    /// Reads the secrets and certificates of a client; `values` are what documents said. Blocks on
    /// files.
    pub(super) fn load(
        config: Arc<ClientConfig>,
        environment: Environment,
        values: &Values,
    ) -> Result<Self, ObtainError> {
        let url = config.endpoint.url();
        let client_id = client_auth::client_id(&config.client_id, values)?;
        let load = |auth| Credentials::load(auth, &client_id, &environment, values);
        Ok(Self {
            http: Http::load(
                config.transport(),
                &url.url,
                config.limits.max_in_flight,
                &environment,
            )?,
            credentials: load(&config.auth)?,
            refresh_credentials: config.refresh_auth.as_ref().map(load).transpose()?,
            metadata: discovery::Cache::default(),
            keys: key_cache::Cache::default(),
            clock: ServerClock::default(),
            client_id,
            config,
            environment,
        })
    }

    /// Seconds that the server's clock is ahead of this host's (negative: behind), by the `Date` of
    /// its last reply; 0 when they agree to within a few seconds. Assertions are dated by the
    /// server's clock.
    #[must_use]
    pub fn clock_skew(&self) -> i64 {
        self.clock.skew()
    }

    /// The metadata of the client's issuer, at most an hour old while the server answers.
    ///
    /// # Errors
    /// [`ObtainError::NoIssuer`] when the client has only a token endpoint; else why there is no
    /// metadata.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, ObtainError> {
        match &self.config.endpoint {
            Endpoint::TokenEndpoint(_) => Err(ObtainError::NoIssuer),
            Endpoint::Issuer(issuer) => {
                let certificate = self.config.tls.identity.is_some();
                let metadata = &self.metadata;
                let found = metadata.metadata(&self.http.pooled, issuer, certificate);
                Ok(found.await?)
            }
        }
    }

    /// Verifies an ID token that a token request has just brought, with the access token beside it
    /// and the nonce of the authentication request, if there was one.
    ///
    /// # Errors
    /// [`ObtainError::IdToken`] when it is refused; else why it cannot be judged. Either way, the
    /// token request itself was answered.
    pub async fn verify_id_token(
        &self,
        id_token: &SecretString,
        access_token: &SecretString,
        nonce: Option<&str>,
    ) -> Result<Claims, ObtainError> {
        let Endpoint::Issuer(issuer) = &self.config.endpoint else {
            return Err(ObtainError::NoIssuer);
        };
        let metadata = self.metadata().await?;
        let jwks_uri = metadata.jwks_uri.as_ref().ok_or(ProviderError::KeySet {
            server: server(&issuer.url),
            problem: KeySetProblem::NoAddress,
        })?;
        let expected = Expected {
            issuer: &issuer.text,
            client_id: &self.client_id,
            nonce,
            access_token: Some(access_token),
            algorithms: match metadata.id_token_signing_algs.as_slice() {
                [] => id_token::ALGORITHMS,
                named => named,
            },
            now: self.server_time(),
            leeway: id_token::LEEWAY,
            max_age: Some(id_token::MAX_AGE),
        };
        let id_token = id_token.expose_secret();
        let client = &self.http.pooled;
        let keys = self.keys.keys(client, jwks_uri, Want::Keys).await?;
        let mut verified = id_token::verify(id_token, &keys, &expected);
        if let Err(IdTokenError::NoKey { .. }) = verified {
            let keys = self.keys.keys(client, jwks_uri, Want::NewKeys).await?;
            verified = id_token::verify(id_token, &keys, &expected);
        }
        verified.map_err(ObtainError::IdToken)
    }

    /// Where tokens are requested.
    pub(super) async fn token_endpoint(&self) -> Result<HttpsUrl, ObtainError> {
        match &self.config.endpoint {
            Endpoint::TokenEndpoint(url) => Ok(url.clone()),
            Endpoint::Issuer(_) => Ok(self.metadata().await?.token_endpoint.clone()),
        }
    }

    /// How the client proves who it is.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// How the client proves who it is where it uses a refresh token.
    pub(super) fn refresh_credentials(&self) -> &Credentials {
        let own = self.refresh_credentials.as_ref();
        own.unwrap_or(&self.credentials)
    }

    /// Reads a secret of a token; `what` is the configuration key that an error names.
    pub(super) fn read(
        &self,
        what: &'static str,
        secret: &SecretRef,
    ) -> Result<SecretString, CredentialsError> {
        secret::read(what, secret, &self.environment)
    }

    /// A token that a request carries, from wherever it stands.
    pub(super) fn take(
        &self,
        what: &'static str,
        token: &TokenRef,
        input_tokens: &InputTokens,
    ) -> Result<SecretString, ObtainError> {
        match token {
            TokenRef::Secret(secret) => Ok(self.read(what, secret)?),
            TokenRef::Token { name, part } => Ok(input_tokens.of_parent(name, *part)?),
        }
    }

    /// Time since the epoch, by the server's clock as far as it is known.
    pub(super) fn server_time(&self) -> Duration {
        self.clock.now()
    }

    /// Sends a request to the server, and notes what its answer shows of its clock.
    pub(super) async fn exchange(
        &self,
        request: RequestBuilder,
        endpoint: &HttpsUrl,
    ) -> Result<Answer, NoAnswer> {
        let sent = clock::unix_now();
        let answer = exchange(request, &endpoint.url).await?;
        self.clock.note(&self.config.name, &answer.headers, sent);
        Ok(answer)
    }
}
