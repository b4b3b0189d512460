//! The ID token of a login.

use std::time::Duration;

use super::authorization::wants_id_token;
use super::error::LoginError;
use super::patience::patiently;
use crate::config::{Endpoint, TokenConfig};
use crate::oauth::error::ObtainError;
use crate::oauth::registration::Registration;
use crate::token::Token;

/// What a login has brought, once its ID token has been verified. One that nothing can be held
/// against is left out.
pub(super) async fn verified(
    registration: &Registration,
    token: &TokenConfig,
    mut brought: Token,
    nonce: Option<&str>,
    patience: Duration,
) -> Result<Token, ObtainError> {
    if matches!(registration.config.endpoint, Endpoint::TokenEndpoint(_)) {
        brought.id_token = None;
        brought.validity.id_token_expires_at = None;
        return Ok(brought);
    }
    match &brought.id_token {
        Some(id_token) => {
            let access_token = &brought.access_token;
            // The keys may not be to be had at the moment.
            let try_once = || registration.verify_id_token(id_token, access_token, nonce);
            patiently(patience, |_| true, try_once).await?;
        }
        None if wants_id_token(token) => {
            return Err(ObtainError::Login(LoginError::NoIdToken));
        }
        None => {}
    }
    Ok(brought)
}
