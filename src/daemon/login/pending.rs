//! How a login begins, what is kept of it, and what its failure means to who asked.

use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{ErrorState, FailureKind};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::warn;
use zeroize::Zeroizing;

use crate::api::code::Code;
use crate::api::problem::Problem;
use crate::api::requests::{Begun, Redirect};
use crate::clock;
use crate::config::{GrantConfig, RedirectUri, TokenConfig};
use crate::error_chain::error_chain;
use crate::oauth::login::{self, Authorization, DeviceLogin};
use crate::oauth::{Client, InputTokens, ObtainError};
use crate::store::LoginFiles;

/// A login that has begun.
#[derive(Deserialize, Serialize)]
pub(in crate::daemon) struct Pending {
    pub(super) way: Way,
    /// Until when it can be completed, in seconds since the epoch.
    pub(super) until: u64,
    /// The identity of the configuration that it began under.
    pub(super) identity: [u8; 16],
}

/// How a login is completed.
#[derive(Deserialize, Serialize)]
pub(super) enum Way {
    /// By the code that a browser brings (RFC 6749 section 4.1).
    Code(Box<Authorization>),
    /// On another device, which is polled for (RFC 8628).
    Device(Box<DeviceLogin>),
}

/// Begins a login at the authorization server.
pub(super) async fn begin(
    client: &Client,
    token: &TokenConfig,
    inputs: &InputTokens,
    port: Option<u16>,
) -> Result<Pending, ObtainError> {
    let registration = &client.renewed().await?;
    let (way, expires_in) = match &token.grant {
        GrantConfig::AuthorizationCode(grant) => {
            let authorization = login::authorize(registration, token, grant, port).await?;
            (Way::Code(Box::new(authorization)), CODE_LIFETIME)
        }
        GrantConfig::DeviceCode => {
            let device = DeviceLogin::begin(registration, token, inputs).await?;
            let expires_in = device.expires_in;
            (Way::Device(Box::new(device)), expires_in)
        }
        GrantConfig::ClientCredentials
        | GrantConfig::Command(_)
        | GrantConfig::Http(_)
        | GrantConfig::JwtBearer(_)
        | GrantConfig::Password { .. }
        | GrantConfig::RefreshToken { .. }
        | GrantConfig::TokenExchange(_) => return Err(ObtainError::NoLogin),
    };
    Ok(Pending {
        way,
        until: clock::unix_now().as_secs() + expires_in,
        identity: token.identity,
    })
}

/// Writes the file of a login that has begun. Without the file, the login ends with the daemon:
/// that is no reason to refuse it.
pub(super) async fn save(files: Arc<LoginFiles>, name: &TokenName, pending: &Pending) {
    let Ok(record) = serde_json::to_vec(pending).map(Zeroizing::new) else {
        return;
    };
    let of = name.clone();
    let written = spawn_blocking(move || files.write(&of, record)).await;
    if let Ok(Err(error)) = written {
        warn!(token = %name, error = error_chain(&error), "a restart would end this login");
    }
}

/// What whoever asked for a login is told of it.
pub(super) fn begun(pending: &Pending, token: &TokenConfig) -> Begun {
    let expires_in = pending.until.saturating_sub(clock::unix_now().as_secs());
    match &pending.way {
        Way::Code(authorization) => {
            let loopback = matches!(
                &token.grant,
                GrantConfig::AuthorizationCode(grant)
                    if matches!(grant.redirect_uri, RedirectUri::Loopback(_))
            );
            Begun::AuthorizationCode {
                url: authorization.url.clone(),
                redirect: if loopback {
                    Redirect::Loopback
                } else {
                    Redirect::Paste
                },
                redirect_uri: authorization.redirect_uri.clone(),
                expires_in,
            }
        }
        Way::Device(device) => Begun::DeviceCode {
            verification_uri: device.verification_uri.clone(),
            verification_uri_complete: device.verification_uri_complete.clone(),
            user_code: device.user_code.clone(),
            expires_in,
        },
    }
}

/// What whoever asked for a login is told of its failure.
pub(super) fn problem(error: &ObtainError) -> Problem {
    let code = match error.failure().kind {
        FailureKind::Denied => Code::State(ErrorState::Denied),
        FailureKind::GrantRefused => Code::State(ErrorState::NeedsLogin),
        FailureKind::Misconfigured => Code::State(ErrorState::FixConfig),
        FailureKind::RateLimited | FailureKind::Unavailable | FailureKind::Unrecognized => {
            Code::State(ErrorState::Transient)
        }
    };
    Problem::new(code, error_chain(error)).hinting(error.hint().map(Into::into))
}

/// A login in a browser may take this many seconds from its beginning.
const CODE_LIFETIME: u64 = 600;
