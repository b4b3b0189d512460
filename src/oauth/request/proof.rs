//! The client's proof of who it is, for one request.

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use ::http::header;

use super::grant::GrantRequest;
use crate::config::ClientAuth;
use crate::oauth::credentials::client_auth::Credentials;
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::registration::Registration;
use crate::oauth::transport::EncodingError;
use crate::oauth::transport::headers::sensitive;

/// The client's proof for this one request.
pub(in crate::oauth) enum Proof<'a> {
    /// There is none at all.
    Nothing,
    /// `client_id` only.
    Id,
    /// It is in the `Authorization` header, encoded; nothing is in the body (RFC 6749 section 2.3).
    Basic(&'a SecretString),
    /// `client_id` and `client_secret`.
    Post(&'a SecretString),
    /// `client_assertion`. `client_id` goes with it: Microsoft Entra requires it, NHS England
    /// overwrites it with the assertion's `sub`.
    Assertion(SecretString),
}

impl<'a> Proof<'a> {
    /// The proof that goes with a grant; an assertion is made anew for every request.
    pub(in crate::oauth) async fn of(
        registration: &'a Registration,
        grant: &GrantRequest,
        token_endpoint: &str,
        input_tokens: &InputTokens,
    ) -> Result<Self, ObtainError> {
        match grant.credentials(registration) {
            // Its assertion's issuer says who asks (RFC 7521 section 4.1).
            Credentials::Id
                if grant.is_assertion() && registration.config.auth == ClientAuth::None =>
            {
                Ok(Self::Nothing)
            }
            Credentials::Id => Ok(Self::Id),
            Credentials::Basic { encoded, .. } => Ok(Self::Basic(encoded)),
            Credentials::Post(secret) => Ok(Self::Post(secret)),
            Credentials::Made(assertion) => registration
                .take("client_assertion", assertion, input_tokens)
                .map(Self::Assertion),
            Credentials::Assertion(signer) => {
                let now = registration.server_time();
                let assertion = signer.sign_aside(Some(token_endpoint), now).await?;
                Ok(Self::Assertion(assertion))
            }
        }
    }

    /// Adds what of the proof is in a header.
    pub(in crate::oauth) fn authorize(
        &self,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, EncodingError> {
        match self {
            Self::Basic(encoded) => {
                let value = Zeroizing::new(format!("Basic {}", encoded.expose_secret()));
                Ok(request.header(header::AUTHORIZATION, sensitive(&value)?))
            }
            Self::Nothing | Self::Id | Self::Post(_) | Self::Assertion(_) => Ok(request),
        }
    }
}
