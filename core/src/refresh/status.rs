//! How a token stands, as the core sees it.

use super::event::ErrorState;
use crate::credential::Validity;
use crate::instant::Instant;

/// How a token stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// The times of the token held; it may have expired.
    pub validity: Option<Validity>,
    /// Whether the token is as it should be.
    pub health: Health,
    /// Whether a request is under way.
    pub in_flight: bool,
    /// Whether a request is due and waits for its turn at the authorization server.
    pub queued: bool,
    /// Whether the token waits for another one that its request carries.
    pub waits_for_parent: bool,
    /// When a person has to log in, as far as that is known.
    pub login_due_at: Option<Instant>,
    /// When the next request is due; `None` while one is under way or when only a change helps.
    pub next_attempt_at: Option<Instant>,
    /// Consecutive failures.
    pub failures: u32,
    /// Finished attempts since start, failed ones included: a waiter sees that its attempt is over.
    pub attempts: u64,
}

/// Whether a token is as it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// The last attempt failed; a token still held stays current until it expires.
    Failing {
        /// The error state.
        state: ErrorState,
        /// Why the token is failing.
        reason: Reason,
    },
    /// The last attempt succeeded, or a valid token was restored.
    Fresh,
    /// Nothing obtained yet, nothing failed.
    Pending,
}

impl Health {
    /// Why a person has to log in, while the token fails for want of that.
    pub(super) fn login_reason(self) -> Option<Reason> {
        match self {
            Self::Failing {
                state: ErrorState::NeedsLogin,
                reason,
            } => Some(reason),
            Self::Failing { .. } | Self::Fresh | Self::Pending => None,
        }
    }
}

/// Why a token is failing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The last error says why.
    LastError,
    /// Nobody has logged in yet, or what the login brought has ended.
    LoginRequired,
    /// The password was refused. It is not tried again until an input changes or somebody asks:
    /// accounts get locked.
    PasswordRefused,
    /// The refresh token's own lifetime has ended.
    RefreshTokenExpired,
    /// The authorization server refuses the refresh token.
    RefreshTokenRefused,
    /// A token that its request carries is failing, in the same state.
    Parent,
    /// A token that its request carries lacks the part it needs, such as an ID token.
    ParentLacksPart,
    /// A refresh was sent, no answer was kept, and the refresh token no longer works: the server
    /// has rotated it (RFC 9700 section 4.14.2).
    RotationLost,
}
