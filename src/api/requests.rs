//! What the API asks of the daemon, and how the daemon answers.

use std::sync::Arc;

use bearerd_core::credential::TokenName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::problem::Problem;

/// A request to replace a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshRequest {
    /// The name of the token to replace.
    pub name: TokenName,
    /// The generation that is not good enough. A newer one that readers do not see yet fulfils the
    /// request. `None` means that the current token is not good enough, whichever it is.
    pub instead_of: Option<u64>,
}

/// A request to begin or to complete a login.
#[derive(Debug)]
pub enum LoginRequest {
    /// Begins a login, or goes on with the one that has begun.
    Begin {
        /// The name of the token to log in for.
        name: TokenName,
        /// The port on loopback where the browser finds the one who asks.
        port: Option<u16>,
        /// Takes the answer, which says how the login goes on.
        reply: oneshot::Sender<Result<Begun, Problem>>,
    },
    /// Completes the login that has begun.
    Complete {
        /// The name of the token to log in for.
        name: TokenName,
        /// The address that the browser ended at. A login on another device has none.
        response: Option<SecretString>,
        /// Takes the answer, which says whether there is a new token now.
        reply: oneshot::Sender<Result<(), Problem>>,
    },
}

/// A login that has begun, and what the person has to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Begun {
    /// The person logs in with a browser on this or another host (RFC 6749 section 4.1).
    AuthorizationCode {
        /// The address that the browser is to open.
        url: String,
        /// How the browser's last address comes back.
        redirect: Redirect,
        /// The address that the browser ends at, without its query.
        redirect_uri: String,
        /// How many seconds the login may still take.
        expires_in: u64,
    },
    /// The person logs in on another device (RFC 8628).
    DeviceCode {
        /// The address that the person is to open.
        verification_uri: String,
        /// The same address with the code in it.
        verification_uri_complete: Option<String>,
        /// The code that the person is to type in there.
        user_code: String,
        /// How many seconds the login may still take.
        expires_in: u64,
    },
}

/// How the last address of a login in a browser comes back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// The browser finds a listener on this host (RFC 8252 section 7.3). Pasting the address works
    /// as well.
    Loopback,
    /// The person pastes the address.
    Paste,
}

/// A request to log out.
#[derive(Debug)]
pub struct Logout {
    /// The name of the token to log out of.
    pub name: TokenName,
    /// Takes the answer, which says how the logout has ended.
    pub answer: oneshot::Sender<Result<LoggedOut, LogoutError>>,
}

/// How a logout has ended. In each case nothing is held any more, on disk neither.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LoggedOut {
    /// Nobody was logged in.
    Nothing,
    /// The server has revoked what was held.
    Revoked,
    /// The server does not revoke it, for this reason.
    Unrevoked(Arc<str>),
}

/// Why somebody is still logged in, or may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LogoutError {
    /// A request for the token is under way.
    Busy,
    /// The token's grant needs no person, and obtains the next token at once.
    NoLogin,
    /// The token is not configured any more.
    NoSuchToken,
    /// What was held is revoked, but the state file stays, for this reason.
    NotForgotten(Arc<str>),
    /// What is held was not revoked, for this reason, and is kept.
    NotRevoked(Arc<str>),
}
