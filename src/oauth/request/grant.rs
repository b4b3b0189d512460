//! The grant of one token request, with the secret that it needs.

use std::sync::Arc;

use bearerd_core::refresh::Use;
use secrecy::SecretString;

use crate::config::{GrantConfig, JwtBearer, SignedAssertion, TokenConfig, TypedToken};
use crate::oauth::credentials::assertion::{Party, Signer};
use crate::oauth::credentials::client_auth::Credentials;
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::login::Redemption;
use crate::oauth::registration::Registration;

/// The grant, with the secret it needs.
pub(in crate::oauth) enum GrantRequest {
    /// RFC 6749 section 4.1.3.
    AuthorizationCode(Redemption),
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// It asks not for a token, but for a login on another device (RFC 8628 section 3.1).
    DeviceAuthorization,
    /// RFC 8628 section 3.4.
    DeviceCode(SecretString),
    /// RFC 7523 section 2.1.
    JwtBearer(SecretString),
    /// The same, with an assertion that is signed for each request.
    ToSign(Arc<Signer>),
    /// RFC 6749 section 4.3.
    Password {
        username: String,
        password: SecretString,
    },
    /// RFC 6749 section 6.
    RefreshToken(SecretString),
    /// RFC 8693.
    TokenExchange {
        subject_token: SecretString,
        actor_token: Option<SecretString>,
    },
}

impl GrantRequest {
    /// The grant to send. Passwords and seeds are read at each attempt: they may have changed.
    pub(in crate::oauth) fn read(
        registration: &Registration,
        token: &TokenConfig,
        by: Use,
        input_tokens: &InputTokens,
    ) -> Result<Self, ObtainError> {
        match by {
            Use::RefreshToken => {
                let refresh_token = input_tokens.refresh_token.clone();
                refresh_token
                    .map(Self::RefreshToken)
                    .ok_or(ObtainError::NoRefreshToken)
            }
            Use::Primary => Self::read_primary(registration, token, input_tokens),
        }
    }

    fn read_primary(
        registration: &Registration,
        token: &TokenConfig,
        input_tokens: &InputTokens,
    ) -> Result<Self, ObtainError> {
        let take = |what, token: &TypedToken| registration.take(what, &token.token, input_tokens);
        match &token.grant {
            GrantConfig::AuthorizationCode(_) | GrantConfig::DeviceCode => {
                Err(ObtainError::LoginRequired)
            }
            GrantConfig::ClientCredentials => Ok(Self::ClientCredentials),
            GrantConfig::Command(_) | GrantConfig::Http(_) => Err(ObtainError::NoTokenRequest),
            GrantConfig::JwtBearer(grant) => match &**grant {
                JwtBearer::Made(assertion) => registration
                    .take("grant.jwt_bearer.assertion", assertion, input_tokens)
                    .map(Self::JwtBearer),
                JwtBearer::Signed(signed) => {
                    let signer = signer(registration, signed)?;
                    Ok(Self::ToSign(Arc::new(signer)))
                }
            },
            GrantConfig::Password(grant) => Ok(Self::Password {
                username: grant.username.clone(),
                password: registration.read("grant.password.password", &grant.password)?,
            }),
            GrantConfig::RefreshToken(grant) => {
                let what = "grant.refresh_token.refresh_token";
                let refresh_token = registration.read(what, &grant.refresh_token)?;
                Ok(Self::RefreshToken(refresh_token))
            }
            GrantConfig::TokenExchange(exchange) => {
                let actor = exchange.actor.as_ref();
                let actor = actor.map(|actor| take("grant.token_exchange.actor_token", actor));
                Ok(Self::TokenExchange {
                    subject_token: take("grant.token_exchange.subject_token", &exchange.subject)?,
                    actor_token: actor.transpose()?,
                })
            }
        }
    }

    /// Whether it is an assertion (RFC 7521 section 4.1), which names its issuer.
    pub(super) fn is_assertion(&self) -> bool {
        matches!(self, Self::JwtBearer(_) | Self::ToSign(_))
    }

    /// Whether its secret is good for one use only.
    pub(super) fn counts_once(&self) -> bool {
        match self {
            Self::AuthorizationCode(_) | Self::DeviceCode(_) | Self::RefreshToken(_) => true,
            Self::ClientCredentials
            | Self::DeviceAuthorization
            | Self::JwtBearer(_)
            | Self::ToSign(_)
            | Self::Password { .. }
            | Self::TokenExchange { .. } => false,
        }
    }

    /// The refresh token that it uses.
    pub(super) fn refresh_token(&self) -> Option<&SecretString> {
        match self {
            Self::RefreshToken(refresh_token) => Some(refresh_token),
            Self::AuthorizationCode(_)
            | Self::ClientCredentials
            | Self::DeviceAuthorization
            | Self::DeviceCode(_)
            | Self::JwtBearer(_)
            | Self::ToSign(_)
            | Self::Password { .. }
            | Self::TokenExchange { .. } => None,
        }
    }

    /// How the client proves who it is when it sends this grant.
    pub(super) fn credentials<'a>(&self, registration: &'a Registration) -> &'a Credentials {
        match self.refresh_token() {
            Some(_) => registration.refresh_credentials(),
            None => registration.credentials(),
        }
    }

    /// The grant with its assertion signed for this one request, if it is one that bearerd signs.
    pub(super) async fn signed(
        &self,
        registration: &Registration,
        token_endpoint: &str,
    ) -> Result<Option<Self>, ObtainError> {
        let Self::ToSign(signer) = self else {
            return Ok(None);
        };
        let assertion = signer.sign_aside(Some(token_endpoint), registration.server_time());
        Ok(Some(Self::JwtBearer(assertion.await?)))
    }
}

fn signer(registration: &Registration, signed: &SignedAssertion) -> Result<Signer, ObtainError> {
    let party = Party {
        issuer: signed.issuer.as_deref().unwrap_or(&registration.client_id),
        subject: signed.subject.as_deref(),
        what: "grant.jwt_bearer.key",
    };
    let key = registration.read(party.what, &signed.key)?;
    let assertion = &signed.assertion;
    Ok(Signer::with_private_key(
        &key, signed.alg, &party, assertion,
    )?)
}
