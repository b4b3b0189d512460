//! The one place that says what a token's state means as an HTTP status and as an exit code.

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::store::{Published, TokenView};

/// Exit code: everything asked for is there and fresh.
pub const EXIT_FRESH: u8 = 0;
/// Exit code: no daemon answers at the socket.
pub const EXIT_UNREACHABLE: u8 = 8;

/// `code` of an error, in problem bodies and, as a number, of the command line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The peer may not, or the authorization server will not.
    Denied,
    /// The configuration, a secret or a key has to be mended.
    FixConfig,
    /// A defect in bearerd.
    Internal,
    /// A person has to log in or to provide a new refresh token.
    NeedsLogin,
    /// No such token, no such page.
    NotFound,
    /// Try again.
    Transient,
    /// The request makes no sense.
    Usage,
}

impl Code {
    /// The status of a response with this code, unless the request itself calls for a narrower one.
    #[must_use]
    pub const fn http_status(self) -> StatusCode {
        match self {
            Self::Denied => StatusCode::FORBIDDEN,
            Self::FixConfig | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NeedsLogin => StatusCode::CONFLICT,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Transient => StatusCode::SERVICE_UNAVAILABLE,
            Self::Usage => StatusCode::BAD_REQUEST,
        }
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Transient => 3,
            Self::NeedsLogin => 4,
            Self::FixConfig => 5,
            Self::Denied => 6,
            Self::NotFound => 7,
        }
    }
}

impl From<ErrorState> for Code {
    fn from(state: ErrorState) -> Self {
        match state {
            ErrorState::Denied => Self::Denied,
            ErrorState::FixConfig => Self::FixConfig,
            ErrorState::NeedsLogin => Self::NeedsLogin,
            ErrorState::Transient => Self::Transient,
        }
    }
}

/// `state` of a token in status.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The authorization server refuses access.
    Denied,
    /// The configuration, a secret or a key has to be mended.
    FixConfig,
    /// There is a valid token and its last request succeeded.
    Fresh,
    /// A person has to log in or to provide a new refresh token.
    NeedsLogin,
    /// Not obtained yet, nothing failed.
    Pending,
    /// The last request failed and is tried again, or the token expired a moment ago.
    Transient,
}

impl State {
    /// How a token stands at `now`.
    #[must_use]
    pub fn of(view: &TokenView, now: Instant) -> Self {
        Self::of_health(view.standing.status.health, valid(view, now).is_some())
    }

    /// How a token stands of which this is known.
    #[must_use]
    pub const fn of_health(health: Health, valid: bool) -> Self {
        match health {
            Health::Failing { state, .. } => match state {
                ErrorState::Denied => Self::Denied,
                ErrorState::FixConfig => Self::FixConfig,
                ErrorState::NeedsLogin => Self::NeedsLogin,
                ErrorState::Transient => Self::Transient,
            },
            Health::Fresh if valid => Self::Fresh,
            Health::Fresh => Self::Transient,
            Health::Pending => Self::Pending,
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Denied,
        Self::FixConfig,
        Self::Fresh,
        Self::NeedsLogin,
        Self::Pending,
        Self::Transient,
    ];

    /// The error that a reader gets who finds no usable token in this state; `None` when fresh.
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Denied => Some(Code::Denied),
            Self::FixConfig => Some(Code::FixConfig),
            Self::Fresh => None,
            Self::NeedsLogin => Some(Code::NeedsLogin),
            Self::Pending | Self::Transient => Some(Code::Transient),
        }
    }

    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::FixConfig => "fix_config",
            Self::Fresh => "fresh",
            Self::NeedsLogin => "needs_login",
            Self::Pending => "pending",
            Self::Transient => "transient",
        }
    }
}

/// The current token, unless it has expired: its withdrawal may be a moment late.
#[must_use]
pub fn valid(view: &TokenView, now: Instant) -> Option<&Published> {
    view.current
        .as_ref()
        .filter(|current| current.token.validity.expires_at > now)
}
