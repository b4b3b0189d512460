//! What goes into the core and what comes out of it.

use std::time::Duration;

use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// The number of one try at obtaining a token. It is never reused within a process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttemptId(pub u64);

/// The grant that an attempt uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// The configured grant (`client_credentials`, `password`, or the seed of `refresh_token`).
    Primary,
    /// The refresh token held (RFC 6749 section 6). The shell makes an intent record durable before
    /// it sends: a crash from there on may have spent the refresh token. An answer that is a
    /// failure closes the intent, unless an earlier attempt left it open.
    RefreshToken,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An attempt failed.
    Failed {
        /// The token that was asked for.
        name: TokenName,
        /// The attempt that failed. Only that of the attempt under way counts.
        attempt: AttemptId,
        /// What went wrong.
        failure: Failure,
    },
    /// A secret, key, certificate or CA bundle that this token's requests use has changed.
    InputsChanged {
        /// The token that is requested with it.
        name: TokenName,
    },
    /// Somebody has logged in: what that brought takes the place of whatever is held or under way.
    LoggedIn {
        /// The token that the login brought.
        name: TokenName,
        /// The number of the login, from [`super::Scheduler::begin_attempt`].
        attempt: AttemptId,
        /// The new token's times.
        validity: Validity,
    },
    /// Somebody has logged out: what is held has been revoked and is not to be used any more.
    LoggedOut {
        /// The token that was revoked.
        name: TokenName,
    },
    /// An attempt succeeded. A late success counts, unless what is held is newer.
    Obtained {
        /// The token that was asked for.
        name: TokenName,
        /// The attempt that succeeded.
        attempt: AttemptId,
        /// The new token's times.
        validity: Validity,
    },
    /// Somebody wants a replacement now: an administrator, or a consumer whose API answered 401.
    RefreshRequested {
        /// The token that is wanted.
        name: TokenName,
    },
    /// At start, the state file has a token.
    Restored {
        /// The token that it was obtained for.
        name: TokenName,
        /// What the state file says of it.
        restored: Restored,
    },
}

impl Event {
    /// The token that the event is about.
    #[must_use]
    pub fn name(&self) -> &TokenName {
        match self {
            Self::Failed { name, .. }
            | Self::InputsChanged { name }
            | Self::LoggedIn { name, .. }
            | Self::LoggedOut { name }
            | Self::Obtained { name, .. }
            | Self::RefreshRequested { name }
            | Self::Restored { name, .. } => name,
        }
    }
}

/// What is known of a token from before a restart.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// The persisted times, on this boot's clock. The access token may have expired.
    pub validity: Validity,
    /// Whether it was obtained under the configuration in force. If not, its access token is served
    /// until the replacement is there, and its refresh token is not used.
    pub current: bool,
    /// A refresh was begun and its outcome is unknown: the refresh token may be spent.
    pub open_intent: bool,
    /// The refresh token ended no later than the one before it: refreshes do not move the end on.
    pub window_fixed: bool,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Give up on a request whose deadline has passed. It counts as failed already.
    Cancel {
        /// The token that was asked for.
        name: TokenName,
        /// The attempt to give up on.
        attempt: AttemptId,
    },
    /// Make this attempt's token durable, then current.
    Commit {
        /// The token that was obtained.
        name: TokenName,
        /// The attempt that brought it.
        attempt: AttemptId,
    },
    /// Forget this attempt's token: what is held is newer.
    Discard {
        /// The token that was obtained.
        name: TokenName,
        /// The attempt that brought it.
        attempt: AttemptId,
    },
    /// Send a token request.
    Obtain {
        /// The token to ask for.
        name: TokenName,
        /// The number to tell with the outcome.
        attempt: AttemptId,
        /// The grant to use.
        by: Use,
    },
    /// Tell people that somebody has to log in. Repeated with growing pauses until somebody does.
    AskForLogin {
        /// The token that is to be had by a login.
        name: TokenName,
        /// Until when what is held still works; `None`: it does not any more.
        until: Option<Instant>,
    },
    /// Set the refresh token aside, undeleted: it will not be used again.
    Quarantine {
        /// The token whose refresh token it is.
        name: TokenName,
    },
    /// The access token has expired: it is no longer current.
    Withdraw {
        /// The token that has expired.
        name: TokenName,
    },
}

impl Command {
    /// Give up on this attempt.
    pub(super) fn cancel(name: &TokenName, attempt: AttemptId) -> Self {
        let name = name.clone();
        Self::Cancel { name, attempt }
    }

    /// Make this attempt's token durable.
    pub(super) fn commit(name: &TokenName, attempt: AttemptId) -> Self {
        let name = name.clone();
        Self::Commit { name, attempt }
    }

    /// The access token has expired.
    pub(super) fn withdraw(name: &TokenName) -> Self {
        Self::Withdraw { name: name.clone() }
    }
}

/// Why an attempt failed, as far as the schedule is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The kind of trouble.
    pub kind: FailureKind,
    /// How far the request got.
    pub delivery: Delivery,
    /// `Retry-After` (RFC 9110 section 10.2.3), as a duration from the reply.
    pub retry_after: Option<Duration>,
    /// It is another attempt's failure, which this one has waited for: no server was asked twice.
    pub echo: bool,
}

impl Failure {
    /// The failure of a request that ended without an outcome.
    pub const LOST: Self = Self {
        kind: FailureKind::Unavailable,
        delivery: Delivery::Unknown,
        retry_after: None,
        echo: false,
    };
}

/// The kinds of trouble. Which [`ErrorState`] follows depends on the grant too; the core decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureKind {
    /// `access_denied`: the authorization server will not, whatever is configured.
    Denied,
    /// `invalid_grant`: the password or the refresh token is refused.
    GrantRefused,
    /// `invalid_client`, `invalid_scope`, an unreadable key, an untrusted certificate and the like.
    Misconfigured,
    /// 429 or `slow_down`: the server wants fewer requests.
    RateLimited,
    /// No connection, no answer, 5xx, `temporarily_unavailable`, an answer that makes no sense.
    Unavailable,
    /// A 4xx that names no error known to us. Transient at first, a configuration error when it
    /// persists.
    Unrecognized,
}

/// How far a failed request got. A refresh token that works once may be spent by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivery {
    /// The server answered: it has not issued a new token.
    Answered,
    /// Nothing reached the server.
    NotSent,
    /// Sent, and no answer: the server may have spent the refresh token.
    Unknown,
}

/// The four error states, the same everywhere: status, exit codes, `code` in the HTTP API.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ErrorState {
    /// It will be tried again.
    Transient,
    /// A person has to log in or to provide a new refresh token.
    NeedsLogin,
    /// The configuration, a secret or a key has to be mended.
    FixConfig,
    /// The authorization server refuses access.
    Denied,
}
