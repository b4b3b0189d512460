//! One client's registration at one authorization server, ready to send requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ::http::HeaderMap;
use bearerd_core::refresh::Use;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::assertion::{Party, Signer};
use super::credentials::client_auth::{self, Credentials};
use super::error::SourceError;
use super::id_token::{self, Claims, Expected, IdTokenError};
use super::input_tokens::InputTokens;
use super::login::{Fields, LoginError};
use super::provider::discovery::{self, Metadata};
use super::provider::document::Values;
use super::provider::key_cache::{self, Want};
use super::provider::key_set::KeySetProblem;
use super::request::parameters::{GrantRequest, Proof};
use super::response::token_response;
use super::transport::http::{self, Http};
use crate::clock;
use crate::config::{
    AuthorizationCode, ClientAuth, ClientConfig, Endpoint, Environment, FormValue, GrantConfig,
    HttpsUrl, JwtBearer, TokenConfig, TokenRef, TypedToken,
};

/// One client's registration at one authorization server: secrets read, keys parsed, TLS set up.
///
/// What it was built from does not change in it; when a file does, a new one is built and takes its place.
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
    /// Seconds that the server's clock is ahead of ours, as of its last `Date`; 0 when they agree.
    clock_skew: AtomicI64,
}

impl Registration {
    /// Reads the secrets and certificates of a client; `values` are what documents said. Blocks on files.
    pub(super) fn load(
        config: Arc<ClientConfig>,
        environment: Environment,
        values: &Values,
    ) -> Result<Self, SourceError> {
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
            clock_skew: AtomicI64::new(0),
            client_id,
            config,
            environment,
        })
    }

    /// Seconds that the server's clock is ahead of this host's (negative: behind), by the `Date` of its last
    /// reply; 0 when they agree to within a few seconds. Assertions are dated by the server's clock.
    #[must_use]
    pub fn clock_skew(&self) -> i64 {
        self.clock_skew.load(Ordering::Relaxed)
    }

    /// The metadata of the client's issuer, at most an hour old while the server answers.
    ///
    /// # Errors
    /// [`SourceError::NoIssuer`] when the client has only a token endpoint; else why there is no metadata.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, SourceError> {
        match &self.config.endpoint {
            Endpoint::TokenEndpoint(_) => Err(SourceError::NoIssuer),
            Endpoint::Issuer(issuer) => {
                let certificate = self.config.tls.identity.is_some();
                let metadata = &self.metadata;
                metadata
                    .metadata(&self.http.pooled, issuer, certificate)
                    .await
            }
        }
    }

    /// Verifies an ID token that a token request has just brought, with the access token beside it and the
    /// nonce of the authentication request, if there was one.
    ///
    /// # Errors
    /// [`SourceError::IdToken`] when it is refused; else why it cannot be judged. Either way, the token
    /// request itself was answered.
    pub async fn verify_id_token(
        &self,
        id_token: &SecretString,
        access_token: &SecretString,
        nonce: Option<&str>,
    ) -> Result<Claims, SourceError> {
        let Endpoint::Issuer(issuer) = &self.config.endpoint else {
            return Err(SourceError::NoIssuer);
        };
        let metadata = self.metadata().await?;
        let jwks_uri = metadata.jwks_uri.as_ref().ok_or(SourceError::KeySet {
            server: http::server(&issuer.url),
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
        verified.map_err(SourceError::IdToken)
    }

    /// Where tokens are requested.
    pub(super) async fn token_endpoint(&self) -> Result<HttpsUrl, SourceError> {
        match &self.config.endpoint {
            Endpoint::TokenEndpoint(url) => Ok(url.clone()),
            Endpoint::Issuer(_) => Ok(self.metadata().await?.token_endpoint.clone()),
        }
    }

    /// Where a user logs in: as configured, else as the metadata say.
    pub(super) async fn authorization_endpoint(&self) -> Result<HttpsUrl, SourceError> {
        let configured = self.config.login_endpoints.authorization.clone();
        self.endpoint(configured, "authorization_endpoint", |metadata| {
            metadata.authorization_endpoint.clone()
        })
        .await
    }

    /// Where a login on another device begins: as configured, else as the metadata say.
    pub(super) async fn device_authorization_endpoint(&self) -> Result<HttpsUrl, SourceError> {
        let configured = self.config.login_endpoints.device_authorization.clone();
        self.endpoint(configured, "device_authorization_endpoint", |metadata| {
            metadata.device_authorization_endpoint.clone()
        })
        .await
    }

    async fn endpoint(
        &self,
        configured: Option<HttpsUrl>,
        name: &'static str,
        named: impl FnOnce(&Metadata) -> Option<HttpsUrl>,
    ) -> Result<HttpsUrl, SourceError> {
        match configured {
            Some(url) => Ok(url),
            None => match self.metadata().await {
                Ok(metadata) => named(&metadata).ok_or(LoginError::NoEndpoint(name).into()),
                Err(SourceError::NoIssuer) => Err(LoginError::NoEndpoint(name).into()),
                Err(error) => Err(error),
            },
        }
    }

    /// What a login form is filled in with. Passwords are read at each login.
    pub(super) fn form_fields(&self, grant: &AuthorizationCode) -> Result<Fields, SourceError> {
        let fields = grant.form_login.iter().flatten();
        fields
            .map(|(name, value)| {
                let what = "grant.authorization_code.form_login";
                let value = match value {
                    FormValue::Plain(value) => value.as_str().into(),
                    FormValue::Secret(secret) => {
                        client_auth::read(what, secret, &self.environment)?
                    }
                };
                Ok((name.clone(), value))
            })
            .collect()
    }

    /// The grant to send. Passwords and seeds are read at each attempt: they may have changed.
    pub(super) fn grant(
        &self,
        token: &TokenConfig,
        by: Use,
        input_tokens: &InputTokens,
    ) -> Result<GrantRequest, SourceError> {
        let read = |what, secret| client_auth::read(what, secret, &self.environment);
        let take = |what, token: &TypedToken| self.take(what, &token.token, input_tokens);
        match (by, &token.grant) {
            (Use::RefreshToken, _) => {
                let refresh_token = input_tokens.refresh_token.clone();
                refresh_token
                    .map(GrantRequest::RefreshToken)
                    .ok_or(SourceError::NoRefreshToken)
            }
            (Use::Primary, GrantConfig::AuthorizationCode(_) | GrantConfig::DeviceCode) => {
                Err(SourceError::LoginRequired)
            }
            (Use::Primary, GrantConfig::ClientCredentials) => Ok(GrantRequest::ClientCredentials),
            (Use::Primary, GrantConfig::Command(_) | GrantConfig::Http(_)) => {
                Err(SourceError::NoTokenRequest)
            }
            (Use::Primary, GrantConfig::JwtBearer(grant)) => match &**grant {
                JwtBearer::Made(assertion) => self
                    .take("grant.jwt_bearer.assertion", assertion, input_tokens)
                    .map(GrantRequest::JwtBearer),
                JwtBearer::Signed(signed) => {
                    let party = Party {
                        issuer: signed.issuer.as_deref().unwrap_or(&self.client_id),
                        subject: signed.subject.as_deref(),
                        what: "grant.jwt_bearer.key",
                    };
                    let key = read(party.what, &signed.key)?;
                    let signer =
                        Signer::with_private_key(&key, signed.alg, &party, &signed.assertion)?;
                    Ok(GrantRequest::ToSign(Arc::new(signer)))
                }
            },
            (Use::Primary, GrantConfig::Password(grant)) => Ok(GrantRequest::Password {
                username: grant.username.clone(),
                password: read("grant.password.password", &grant.password)?,
            }),
            (Use::Primary, GrantConfig::RefreshToken(grant)) => Ok(GrantRequest::RefreshToken(
                read("grant.refresh_token.refresh_token", &grant.refresh_token)?,
            )),
            (Use::Primary, GrantConfig::TokenExchange(exchange)) => {
                let actor = exchange.actor.as_ref();
                let actor = actor.map(|actor| take("grant.token_exchange.actor_token", actor));
                Ok(GrantRequest::TokenExchange {
                    subject_token: take("grant.token_exchange.subject_token", &exchange.subject)?,
                    actor_token: actor.transpose()?,
                })
            }
        }
    }

    pub(super) fn credentials(&self, grant: &GrantRequest) -> &Credentials {
        match grant {
            GrantRequest::RefreshToken(_) => self
                .refresh_credentials
                .as_ref()
                .unwrap_or(&self.credentials),
            _ => &self.credentials,
        }
    }

    /// The client's proof; an assertion is made anew for every request.
    pub(super) async fn proof(
        &self,
        grant: &GrantRequest,
        token_endpoint: &str,
        input_tokens: &InputTokens,
    ) -> Result<Proof<'_>, SourceError> {
        match self.credentials(grant) {
            // Its assertion's issuer says who asks (RFC 7521 section 4.1).
            Credentials::Id if grant.is_assertion() && self.config.auth == ClientAuth::None => {
                Ok(Proof::Nothing)
            }
            Credentials::Id => Ok(Proof::Id),
            Credentials::Basic { encoded, .. } => Ok(Proof::Basic(encoded)),
            Credentials::Post(secret) => Ok(Proof::Post(secret)),
            Credentials::Made(assertion) => self
                .take("client_assertion", assertion, input_tokens)
                .map(Proof::Assertion),
            Credentials::Assertion(signer) => signer
                .sign_aside(Some(token_endpoint), self.server_time())
                .await
                .map(Proof::Assertion),
        }
    }

    /// The grant with its assertion signed for this one request, if it is one that we sign.
    pub(super) async fn signed(
        &self,
        grant: &GrantRequest,
        token_endpoint: &str,
    ) -> Result<Option<GrantRequest>, SourceError> {
        let GrantRequest::ToSign(signer) = grant else {
            return Ok(None);
        };
        let assertion = signer.sign_aside(Some(token_endpoint), self.server_time());
        assertion.await.map(GrantRequest::JwtBearer).map(Some)
    }

    fn take(
        &self,
        what: &'static str,
        token: &TokenRef,
        input_tokens: &InputTokens,
    ) -> Result<SecretString, SourceError> {
        match token {
            TokenRef::Secret(secret) => client_auth::read(what, secret, &self.environment),
            TokenRef::Token { name, part } => input_tokens.of_parent(name, *part),
        }
    }

    /// Time since the epoch, by the server's clock as far as it is known.
    pub(super) fn server_time(&self) -> Duration {
        let skew = self.clock_skew();
        let by = Duration::from_secs(skew.unsigned_abs());
        if skew < 0 {
            clock::unix_now().saturating_sub(by)
        } else {
            clock::unix_now().saturating_add(by)
        }
    }

    /// Compares the reply's `Date` with our clock, which read `sent` before the request.
    pub(super) fn note_date(&self, headers: &HeaderMap, sent: Duration) {
        let Some(date) = token_response::date(headers) else {
            return;
        };
        let seen = skew(date, sent, clock::unix_now());
        let seen = if seen.abs() > TOLERATED { seen } else { 0 };
        if (seen - self.clock_skew()).abs() > TOLERATED {
            self.clock_skew.store(seen, Ordering::Relaxed);
            tracing::warn!(
                client = self.config.name,
                seconds = seen,
                "server's clock differs"
            );
        }
    }
}

/// How many seconds `date` is outside the time from `sent` to `received`: a slow reply is no skew.
pub(super) fn skew(date: Duration, sent: Duration, received: Duration) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let (date, sent, received) = (seconds(date), seconds(sent), seconds(received));
    if date < sent {
        date - sent
    } else if date > received {
        date - received
    } else {
        0
    }
}

/// Seconds of difference that are ignored.
pub(super) const TOLERATED: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_what_lies_outside_the_exchange() {
        for (date, sent, received, expected) in [
            (100, 100, 100, 0),
            (110, 100, 130, 0),
            (90, 100, 130, -10),
            (3730, 100, 130, 3600),
        ] {
            let at = Duration::from_secs;
            assert_eq!(skew(at(date), at(sent), at(received)), expected);
        }
    }
}
