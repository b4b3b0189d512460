//! A login at an authorization endpoint (RFC 6749 section 4.1).

use std::sync::Arc;
use std::time::Duration;

use bearerd_core::refresh::Delivery;

use super::authorization::{Authorization, Redemption};
use super::patience::{PATIENCE, patiently};
use super::{endpoint, verified};
use crate::config::{AuthorizationCode, Endpoint, RedirectUri, TokenConfig};
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::registration::Registration;
use crate::oauth::request::grant::GrantRequest;
use crate::oauth::request::token_request::TokenRequest;
use crate::token::Token;

/// Makes an authorization request. A loopback redirect URI without a port gets `port`.
///
/// # Errors
/// [`ObtainError`] when the server's metadata cannot be had, or name no authorization endpoint.
pub async fn authorize(
    registration: &Registration,
    token: &TokenConfig,
    grant: &AuthorizationCode,
    port: Option<u16>,
) -> Result<Authorization, ObtainError> {
    let endpoint = endpoint::authorization(registration).await?;
    let issuer = match &registration.config.endpoint {
        Endpoint::TokenEndpoint(_) => None,
        Endpoint::Issuer(issuer) => {
            let named = registration.metadata().await?.authorization_response_iss;
            Some((issuer.text.clone(), named))
        }
    };
    let redirect_uri = match &grant.redirect_uri {
        RedirectUri::Elsewhere(text) => text.clone(),
        RedirectUri::Loopback(url) => {
            let mut url = url.clone();
            if url.port().is_none() && port.is_some() {
                // A URL with a host takes any port.
                let _ = url.set_port(port);
            }
            url.into()
        }
    };
    let at = (&endpoint, &*registration.client_id);
    Ok(Authorization::new(at, issuer, token, grant, redirect_uri)?)
}

/// Turns the code of a person's login into a token, whose ID token is verified before it counts.
///
/// # Errors
/// [`ObtainError`]. The code is spent then, too.
pub async fn redeem(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    redemption: Redemption,
    input_tokens: &InputTokens,
) -> Result<Token, ObtainError> {
    redeem_patiently(&registration, &token, redemption, input_tokens, PATIENCE).await
}

/// Does the same as [`redeem`]; each step is tried again for so long while the server is out.
pub(super) async fn redeem_patiently(
    registration: &Registration,
    token: &TokenConfig,
    redemption: Redemption,
    input_tokens: &InputTokens,
    patience: Duration,
) -> Result<Token, ObtainError> {
    let nonce = redemption.nonce.clone();
    let request = TokenRequest {
        registration,
        token,
        grant: GrantRequest::AuthorizationCode(redemption),
        input_tokens,
    };
    // A code counts once: not when it may have been taken.
    let untaken = |error: &ObtainError| error.failure().delivery != Delivery::Unknown;
    let brought = patiently(patience, untaken, || request.redeem()).await?;
    verified::verified(registration, token, brought, nonce.as_deref(), patience).await
}
