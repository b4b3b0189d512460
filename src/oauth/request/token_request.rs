//! One token request to an authorization server.

use ::http::header;
use bearerd_core::refresh::FailureKind;
use hyper::body::Bytes;
use secrecy::ExposeSecret;

use super::grant::GrantRequest;
use super::parameters::Parameters;
use super::proof::Proof;
use super::secrets::secrets;
use crate::clock;
use crate::config::{BodyFormat, Endpoint, HttpsUrl, TokenConfig};
use crate::error_chain::explain;
use crate::oauth::credentials::client_auth::Credentials;
use crate::oauth::error::ObtainError;
use crate::oauth::id_token::Claims;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::registration::Registration;
use crate::oauth::response::lifetime::FALLBACK;
use crate::oauth::response::{Granted, Reply, Request, ResponseError, parse};
use crate::oauth::transport::exchange::Answer;
use crate::token::Token;

/// A token request that is about to be made.
pub(in crate::oauth) struct TokenRequest<'a> {
    pub(in crate::oauth) registration: &'a Registration,
    pub(in crate::oauth) token: &'a TokenConfig,
    pub(in crate::oauth) grant: GrantRequest,
    pub(in crate::oauth) input_tokens: &'a InputTokens,
}

impl TokenRequest<'_> {
    /// Obtains a token without an ID token that cannot be verified: the refresh token beside it may
    /// be the only way on. An ID token that speaks of another person than the one held before is
    /// refused, and all with it (OpenID Connect Core section 12.2).
    pub(in crate::oauth) async fn obtain(&self) -> Result<Token, ObtainError> {
        let mut brought = self.redeem().await?;
        let Some(id_token) = &brought.id_token else {
            return Ok(brought);
        };
        let has_issuer = matches!(self.registration.config.endpoint, Endpoint::Issuer(_));
        if !has_issuer && !self.token.is_login() {
            // It comes from the token endpoint itself over TLS (section 3.1.3.7), and no login
            // rests on it.
            return Ok(brought);
        }
        let access_token = &brought.access_token;
        let claims = self
            .registration
            .verify_id_token(id_token, access_token, None);
        let before = self.input_tokens.id_token.as_ref();
        let before = before.map(|before| Claims::of_verified(before.expose_secret()));
        match (claims.await, before) {
            (Ok(claims), Some(Ok(before))) => {
                claims.continues(&before).map_err(ObtainError::IdToken)?;
            }
            (Ok(_), Some(Err(_)) | None) => {}
            (Err(error), _) => {
                let error = explain(&error, error.hint());
                tracing::warn!(token = %self.token.name, error, "an ID token is left out");
                brought.id_token = None;
                brought.validity.id_token_expires_at = None;
            }
        }
        Ok(brought)
    }

    /// Sends the request, and once more where the server's clock, or the scope of a refresh, is what
    /// it was refused for.
    pub(in crate::oauth) async fn redeem(&self) -> Result<Token, ObtainError> {
        let skew = self.registration.clock_skew();
        let scope = self.scope();
        let outcome = self.send(&scope).await;
        let Err(ObtainError::Response(ResponseError::Refused(refusal))) = &outcome else {
            return outcome;
        };
        // Without a scope the server repeats what was granted (RFC 6749 section 6).
        let refreshes = self.grant.refresh_token().is_some();
        if refreshes && !scope.is_empty() && refusal.error.as_deref() == Some("invalid_scope") {
            return self.send("").await;
        }
        let credentials = self.grant.credentials(self.registration);
        let proof_signed = matches!(credentials, Credentials::Assertion(_));
        let grant_signed = matches!(self.grant, GrantRequest::ToSign(_));
        let blamed = match refusal.failure().kind {
            FailureKind::Misconfigured | FailureKind::Unrecognized => proof_signed || grant_signed,
            FailureKind::GrantRefused => grant_signed,
            FailureKind::Denied | FailureKind::RateLimited | FailureKind::Unavailable => false,
        };
        if blamed && self.registration.clock_skew() != skew {
            return self.send(&scope).await;
        }
        outcome
    }

    /// The scope to ask for: on a refresh what was granted, else what is configured.
    fn scope(&self) -> String {
        let granted = &self.input_tokens.granted_scope;
        let granted = granted
            .clone()
            .filter(|_| self.grant.refresh_token().is_some());
        granted.unwrap_or_else(|| self.token.scope.join(" "))
    }

    /// Sends the request once.
    async fn send(&self, scope: &str) -> Result<Token, ObtainError> {
        let registration = self.registration;
        let endpoint = registration.token_endpoint().await?;
        let at = &endpoint.text;
        let proof = Proof::of(registration, &self.grant, at, self.input_tokens).await?;
        let signed = self.grant.signed(registration, at).await?;
        let grant = signed.as_ref().unwrap_or(&self.grant);
        let client = (&*registration.client_id, &proof);
        let parameters = Parameters::new(self.token, grant, client, scope);
        let body = parameters.encode(registration.config.body)?;
        // Wiped once reqwest has let go of it.
        let body = Bytes::from_owner(body);
        let sent_at = clock::now();
        let answer = self.post(&proof, &endpoint, body).await?;
        let request = Request {
            sent_at,
            unix_now: registration.server_time(),
            assume_lifetime: self.token.assume_lifetime,
            refresh_token: grant.refresh_token(),
            secrets: &secrets(registration, grant, &proof),
        };
        let reply = Reply {
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        };
        Ok(accepted(self.token, parse(reply, &request)?))
    }

    async fn post(
        &self,
        proof: &Proof<'_>,
        endpoint: &HttpsUrl,
        body: Bytes,
    ) -> Result<Answer, ObtainError> {
        let client = if self.grant.counts_once() {
            self.registration.http.unpooled()?
        } else {
            &self.registration.http.pooled
        };
        // Without charset: NHS England compares the whole value.
        let content_type = match self.registration.config.body {
            BodyFormat::Form => "application/x-www-form-urlencoded",
            BodyFormat::Json => "application/json",
        };
        let request = client
            .post(endpoint.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type)
            .body(body);
        let request = proof.authorize(request)?;
        Ok(self.registration.exchange(request, endpoint).await?)
    }
}

/// The token of an answer; a guess of its lifetime is said to be one.
pub(in crate::oauth) fn accepted(token: &TokenConfig, granted: Granted) -> Token {
    if granted.lifetime_guessed {
        tracing::warn!(
            token = %token.name,
            seconds = FALLBACK.as_secs(),
            "nothing names a lifetime and assume_lifetime is not set; assuming the shortest"
        );
    }
    granted.token
}
