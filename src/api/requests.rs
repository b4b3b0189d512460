//! What the API asks of the daemon, and how the daemon answers.

use std::sync::Arc;

use bearerd_core::credential::TokenName;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::problem::Problem;

/// Asks for another token: the daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshRequest {
    /// Whose.
    pub name: TokenName,
    /// The generation that is not good enough: a newer one that readers do not see yet is what is asked for.
    /// `None`: whatever there is.
    pub instead_of: Option<u64>,
}

/// What somebody wants of the daemon.
#[derive(Debug)]
pub enum LoginRequest {
    /// To begin a login, or to go on with the one that has begun.
    Begin {
        /// Whose.
        name: TokenName,
        /// Where the browser finds who asks, on loopback.
        port: Option<u16>,
        /// How to go on.
        reply: oneshot::Sender<Result<Begun, Problem>>,
    },
    /// To complete it.
    Complete {
        /// Whose.
        name: TokenName,
        /// The address that the browser ended at; none for a login on another device.
        response: Option<SecretString>,
        /// Whether there is a new token now.
        reply: oneshot::Sender<Result<(), Problem>>,
    },
}

/// A login that has begun.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Begun {
    /// In a browser (RFC 6749 section 4.1).
    AuthorizationCode {
        /// Where it is to go.
        url: String,
        /// How its end comes back.
        redirect: Redirect,
        /// Where it ends.
        redirect_uri: String,
        /// Seconds until it is over.
        expires_in: u64,
    },
    /// On another device (RFC 8628).
    DeviceCode {
        /// Where it is to go.
        verification_uri: String,
        /// The same, with the code in it.
        verification_uri_complete: Option<String>,
        /// What is to be typed in there.
        user_code: String,
        /// Seconds until it is over.
        expires_in: u64,
    },
}

/// How the end of a login in a browser comes back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// The browser finds a listener on this host (RFC 8252 section 7.3); pasting works as well.
    Loopback,
    /// The person pastes the address.
    Paste,
}

/// A request to log out, for the daemon.
#[derive(Debug)]
pub struct Logout {
    /// Of which token.
    pub name: TokenName,
    /// How it ended.
    pub answer: oneshot::Sender<Result<LoggedOut, LogoutError>>,
}

/// What a logout has come to. In each case nothing is held any more, on disk neither.
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
    /// Its grant needs no person, and obtains the next token at once.
    NoLogin,
    /// It is not configured any more.
    NoSuchToken,
    /// Revoked, but the state file stays, for this reason.
    NotForgotten(Arc<str>),
    /// Not revoked, for this reason, and kept.
    NotRevoked(Arc<str>),
}
