//! Logins: at an authorization endpoint (RFC 6749 section 4.1), by a person or, where a mock identity
//! provider lets a program do so, by filling in its form; or on another device (RFC 8628).

mod authorization;
mod cookies;
mod device;
mod error;
mod form;
mod html;
mod secret_text;

use std::sync::Arc;
use std::time::Duration;

pub use authorization::{Authorization, Redemption};
pub use device::DeviceLogin;
pub use error::LoginError;

pub(super) use form::Fields;

use bearerd_core::refresh::Delivery;

use crate::clock;
use crate::config::{AuthorizationCode, Endpoint, RedirectUri, TokenConfig};
use crate::oauth::InputTokens;
use crate::oauth::error::SourceError;
use crate::oauth::registration::Registration;
use crate::oauth::request::parameters::GrantRequest;
use crate::token::Token;

/// Makes an authorization request. A loopback redirect URI without a port gets `port`.
///
/// # Errors
/// [`SourceError`] when the server's metadata cannot be had, or name no authorization endpoint.
pub async fn authorize(
    registration: &Registration,
    token: &TokenConfig,
    grant: &AuthorizationCode,
    port: Option<u16>,
) -> Result<Authorization, SourceError> {
    let endpoint = registration.authorization_endpoint().await?;
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
    Authorization::new(at, issuer, token, grant, redirect_uri)
}

/// Turns the code of a person's login into a token, whose ID token is verified before it counts.
///
/// # Errors
/// [`SourceError`]. The code is spent then, too.
pub async fn redeem(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    redemption: Redemption,
    input_tokens: &InputTokens,
) -> Result<Token, SourceError> {
    redeem_patiently(registration, token, redemption, input_tokens, PATIENCE).await
}

/// The same, each step tried again for so long while the server is out.
async fn redeem_patiently(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    redemption: Redemption,
    input_tokens: &InputTokens,
    patience: Duration,
) -> Result<Token, SourceError> {
    let nonce = redemption.nonce.clone();
    let grant = GrantRequest::AuthorizationCode(redemption);
    // A code counts once: not when it may have been taken.
    let untaken = |error: &SourceError| error.failure().delivery != Delivery::Unknown;
    let try_once = || crate::oauth::redeem(&registration, &token, &grant, input_tokens);
    let brought = patiently(patience, untaken, try_once).await?;
    verified(&registration, &token, brought, nonce.as_deref(), patience).await
}

/// Tries again for so long while the server is out and the failure is such that it may be done. Not when the
/// server asks to wait for longer (`Retry-After`, RFC 9110 section 10.2.3).
async fn patiently<T, F: Future<Output = Result<T, SourceError>>>(
    patience: Duration,
    may_retry: impl Fn(&SourceError) -> bool,
    mut try_once: impl FnMut() -> F,
) -> Result<T, SourceError> {
    let until = clock::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match try_once().await {
            Err(error) if error.is_passing() && may_retry(&error) => error,
            ended => return ended,
        };
        let asked = error.failure().retry_after.unwrap_or_default();
        let wait = pause.max(asked);
        if clock::now() + wait > until {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
}

/// Logs in by filling in the provider's form.
pub(super) async fn by_form(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    grant: &AuthorizationCode,
    input_tokens: &InputTokens,
) -> Result<Token, SourceError> {
    let authorization = authorize(&registration, &token, grant, None).await?;
    let fields = registration.form_fields(grant)?;
    let walk = form::walk(&registration, &authorization, &fields);
    let limit = FORM_TIMEOUTS * registration.config.timeout;
    let walked = tokio::time::timeout(limit, walk).await;
    let redemption = walked.unwrap_or(Err(SourceError::Login(LoginError::TooSlow)))?;
    // It has a schedule, and fills in the form again.
    redeem_patiently(
        registration,
        token,
        redemption,
        input_tokens,
        Duration::ZERO,
    )
    .await
}

/// What a login has brought, once its ID token has been verified. One that nothing can be held against is
/// left out.
async fn verified(
    registration: &Registration,
    token: &TokenConfig,
    mut brought: Token,
    nonce: Option<&str>,
    patience: Duration,
) -> Result<Token, SourceError> {
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
        None if authorization::wants_id_token(token) => {
            return Err(SourceError::Login(LoginError::NoIdToken));
        }
        None => {}
    }
    Ok(brought)
}

/// For how long each of the two steps is tried again that a person's login still needs: nobody likes to log
/// in twice. Whoever waits for them does so for a minute, and each last try takes its time, too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Before the second try; doubled before each other one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How long the login pages may take in all, in timeouts of a request.
const FORM_TIMEOUTS: u32 = 2;
