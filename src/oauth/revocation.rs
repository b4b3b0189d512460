//! Revokes tokens (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, header};
use hyper::body::Bytes;
use secrecy::SecretString;
use tokio::time::timeout;

use super::client::Client;
use super::error::ObtainError;
use super::input_tokens::InputTokens;
use super::registration::Registration;
use super::request::grant::GrantRequest;
use super::request::parameters::Parameters;
use super::request::proof::Proof;
use crate::config::{BodyFormat, HttpsUrl};
use crate::token::Token;

/// Why tokens were not revoked. Holds no secret, and of a reply nothing but its status.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// All requests together took too long.
    #[error("the tokens were not revoked in time")]
    Late,
    /// There is nowhere to revoke them.
    #[error("the authorization server names no revocation endpoint")]
    NoEndpoint,
    /// Any status but 2xx.
    #[error("the revocation endpoint answered {}", .0.as_u16())]
    Refused(StatusCode),
    /// The request could not be made, or was not answered.
    #[error(transparent)]
    Obtain(#[from] ObtainError),
}

impl RevocationError {
    /// Whether the server has said that it will not, or cannot: trying again is no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Late | Self::Obtain(_) => false,
            Self::NoEndpoint => true,
            // The client's own credentials can be mended, and a server too busy may have time.
            Self::Refused(status) => {
                status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 429)
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEndpoint => Some("set revocation_endpoint if it has one"),
            Self::Obtain(error) => error.hint(),
            Self::Late | Self::Refused(_) => None,
        }
    }
}

/// Has a server revoke a token: first what brings new ones, then the access token. The client
/// proves who it is as it does for a refresh, if need be with another token of ours
/// (`input_tokens`).
///
/// # Errors
/// [`RevocationError`]. An access token that the server does not revoke is none where it had a
/// refresh token: many cannot, as their APIs do not ask them (section 3).
pub async fn revoke(
    client: Client,
    token: Arc<Token>,
    input_tokens: Arc<InputTokens>,
) -> Result<(), RevocationError> {
    let both = async {
        let registration = client.registration().await?;
        let endpoint = endpoint(&registration).await?;
        if let Some(refresh_token) = &token.refresh_token {
            let refresh_token = (refresh_token, "refresh_token");
            one(&registration, &endpoint, refresh_token, &input_tokens).await?;
        }
        let access_token = (&token.access_token, "access_token");
        match one(&registration, &endpoint, access_token, &input_tokens).await {
            // Not every server revokes access tokens (RFC 7009 section 2.2.1), and with the grant
            // they end.
            Err(RevocationError::Refused(StatusCode::BAD_REQUEST))
                if token.refresh_token.is_some() =>
            {
                Ok(())
            }
            other => other,
        }
    };
    let ended = timeout(LIMIT, both).await;
    ended.unwrap_or(Err(RevocationError::Late))
}

/// As configured, else as the metadata say.
async fn endpoint(registration: &Registration) -> Result<HttpsUrl, RevocationError> {
    if let Some(configured) = &registration.config.revocation_endpoint {
        return Ok(configured.clone());
    }
    match registration.metadata().await {
        Ok(metadata) => {
            let named = metadata.revocation_endpoint.clone();
            named.ok_or(RevocationError::NoEndpoint)
        }
        Err(ObtainError::NoIssuer) => Err(RevocationError::NoEndpoint),
        Err(error) => Err(error.into()),
    }
}

async fn one(
    registration: &Registration,
    endpoint: &HttpsUrl,
    (token, hint): (&SecretString, &'static str),
    input_tokens: &InputTokens,
) -> Result<(), RevocationError> {
    let like = GrantRequest::RefreshToken(token.clone());
    let token_endpoint = registration.token_endpoint().await?;
    let proof = Proof::of(registration, &like, &token_endpoint.text, input_tokens).await?;
    let client_id = &registration.client_id;
    let body = Parameters::revocation(token, hint, (client_id, &proof)).encode(BodyFormat::Form);
    let body = body.map_err(ObtainError::from)?;
    let request = registration
        .http
        .pooled
        .post(endpoint.url.clone())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from_owner(body));
    let request = proof.authorize(request).map_err(ObtainError::from)?;
    let answer = registration.exchange(request, endpoint).await;
    let answer = answer.map_err(ObtainError::from)?;
    if answer.status.is_success() {
        Ok(())
    } else {
        Err(RevocationError::Refused(answer.status))
    }
}

const LIMIT: Duration = Duration::from_secs(30);
