//! Obtains a token, by whatever grant it has.

use std::sync::Arc;

use bearerd_core::refresh::Use;

use super::error::ObtainError;
use super::input_tokens::InputTokens;
use super::login;
use super::registration::Registration;
use super::request::grant::GrantRequest;
use super::request::token_request::{TokenRequest, accepted};
use super::request::{command, http_grant};
use crate::config::{Environment, GrantConfig, TokenConfig};
use crate::token::Token;

/// Obtains a token by one token request.
///
/// When the server refuses an assertion and its reply shows that our clock is wrong, the request is
/// sent once more, dated by the server's clock.
///
/// If the reply names no lifetime of the refresh token, `validity.refresh.expires_at` is `None`,
/// also when the refresh token is the one passed in: what was known of its expiry before still
/// holds then.
///
/// # Errors
/// [`ObtainError`], whose [`failure`](ObtainError::failure) says what it means for the schedule.
pub async fn obtain(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    by: Use,
    input_tokens: InputTokens,
) -> Result<Token, ObtainError> {
    if let (Use::Primary, GrantConfig::AuthorizationCode(grant)) = (by, &token.grant)
        && grant.form_login.is_some()
    {
        return login::by_form(&registration, &token, grant, &input_tokens).await;
    }
    let request = TokenRequest {
        registration: &registration,
        token: &token,
        grant: GrantRequest::read(&registration, &token, by, &input_tokens)?,
        input_tokens: &input_tokens,
    };
    request.obtain().await
}

/// Obtains a token by a grant that is no token request: a program's, or an HTTP request of no
/// standard.
///
/// # Errors
/// [`ObtainError`], as with [`obtain`].
pub async fn obtain_alone(
    token: Arc<TokenConfig>,
    environment: Arc<Environment>,
    input_tokens: InputTokens,
) -> Result<Token, ObtainError> {
    let granted = match &token.grant {
        GrantConfig::Command(grant) => command::obtain(&token, grant, &environment).await?,
        GrantConfig::Http(grant) => {
            http_grant::obtain(&token, grant, &environment, input_tokens).await?
        }
        GrantConfig::AuthorizationCode(_)
        | GrantConfig::ClientCredentials
        | GrantConfig::DeviceCode
        | GrantConfig::JwtBearer(_)
        | GrantConfig::Password(_)
        | GrantConfig::RefreshToken(_)
        | GrantConfig::TokenExchange(_) => return Err(ObtainError::NoTokenRequest),
    };
    Ok(accepted(&token, granted))
}
