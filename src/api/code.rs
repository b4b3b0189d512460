//! Says what the state of a token means in JSON, as an HTTP status and as an exit code. No other
//! file does.

use std::borrow::Cow;

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health};
use http::StatusCode;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::{Published, TokenView};

/// Exit code: everything asked for is there and fresh.
pub const EXIT_FRESH: u8 = 0;
/// Exit code: no daemon answers at the socket.
pub const EXIT_UNREACHABLE: u8 = 8;

/// The `code` of an error: a word in problem bodies, a number as the exit code of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// bearerd has a defect.
    Internal,
    /// There is no such token or no such page.
    NotFound,
    /// It is one of the four error states. A peer that no rule allows to ask is denied, too.
    State(ErrorState),
    /// The request makes no sense.
    Usage,
}

impl Code {
    /// The status of a response with this code, unless the request itself calls for a narrower one.
    #[must_use]
    pub const fn http_status(self) -> StatusCode {
        match self {
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::State(state) => match state {
                ErrorState::Denied => StatusCode::FORBIDDEN,
                ErrorState::FixConfig => StatusCode::INTERNAL_SERVER_ERROR,
                ErrorState::NeedsLogin => StatusCode::CONFLICT,
                ErrorState::Transient => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Usage => StatusCode::BAD_REQUEST,
        }
    }

    /// The exit code of a command that ends with this error.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::State(state) => match state {
                ErrorState::Transient => 3,
                ErrorState::NeedsLogin => 4,
                ErrorState::FixConfig => 5,
                ErrorState::Denied => 6,
            },
            Self::NotFound => 7,
        }
    }

    /// The code as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::State(state) => word(state),
            Self::Usage => "usage",
        }
    }

    const ALL: [Self; 7] = [
        Self::Internal,
        Self::NotFound,
        Self::State(ErrorState::Denied),
        Self::State(ErrorState::FixConfig),
        Self::State(ErrorState::NeedsLogin),
        Self::State(ErrorState::Transient),
        Self::Usage,
    ];
}

impl From<ErrorState> for Code {
    fn from(state: ErrorState) -> Self {
        Self::State(state)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(&Self::ALL, Self::as_str, deserializer)
    }
}

/// The `state` of a token in status, in events and in metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// The last request failed. Or the token expired a moment ago: then the state is transient.
    Failing(ErrorState),
    /// There is a valid token and its last request succeeded.
    Fresh,
    /// The token has not been obtained yet, and nothing has failed.
    Pending,
}

impl State {
    /// How a token stands at `now`.
    #[must_use]
    pub fn of(view: &TokenView, now: Instant) -> Self {
        Self::of_health(view.standing.status.health, valid(view, now).is_some())
    }

    /// How a token stands that the core says this of; `valid` says whether readers get it.
    #[must_use]
    pub const fn of_health(health: Health, valid: bool) -> Self {
        match health {
            Health::Failing { state, .. } => Self::Failing(state),
            Health::Fresh if valid => Self::Fresh,
            Health::Fresh => Self::Failing(ErrorState::Transient),
            Health::Pending => Self::Pending,
        }
    }

    /// Lists every state, in the order of the words.
    pub const ALL: [Self; 6] = [
        Self::Failing(ErrorState::Denied),
        Self::Failing(ErrorState::FixConfig),
        Self::Fresh,
        Self::Failing(ErrorState::NeedsLogin),
        Self::Pending,
        Self::Failing(ErrorState::Transient),
    ];

    /// The error that a reader gets who finds no usable token in this state; `None` when fresh.
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Failing(state) => Some(Code::State(state)),
            Self::Fresh => None,
            Self::Pending => Some(Code::State(ErrorState::Transient)),
        }
    }

    /// The state as it is written in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing(state) => word(state),
            Self::Fresh => "fresh",
            Self::Pending => "pending",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        one_of(&Self::ALL, Self::as_str, deserializer)
    }
}

/// The current token, unless it has expired: its withdrawal may be a moment late.
#[must_use]
pub fn valid(view: &TokenView, now: Instant) -> Option<&Published> {
    view.current
        .as_ref()
        .filter(|current| current.token.validity.expires_at > now)
}

/// The word for an error state, the same in codes and in states.
const fn word(state: ErrorState) -> &'static str {
    match state {
        ErrorState::Denied => "denied",
        ErrorState::FixConfig => "fix_config",
        ErrorState::NeedsLogin => "needs_login",
        ErrorState::Transient => "transient",
    }
}

/// Reads the one of `all` whose word is written there.
fn one_of<'de, T: Copy, D: Deserializer<'de>>(
    all: &[T],
    word: fn(T) -> &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    let written = Cow::<str>::deserialize(deserializer)?;
    let one = all.iter().find(|one| word(**one) == written);
    let unknown = || D::Error::invalid_value(Unexpected::Str(&written), &"a known word");
    one.copied().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_listed_once_and_read_as_it_is_written() {
        // A state that is missing here does not compile.
        let place = |state| match state {
            State::Failing(ErrorState::Denied) => 0,
            State::Failing(ErrorState::FixConfig) => 1,
            State::Fresh => 2,
            State::Failing(ErrorState::NeedsLogin) => 3,
            State::Pending => 4,
            State::Failing(ErrorState::Transient) => 5,
        };
        assert_eq!(State::ALL.map(place), [0, 1, 2, 3, 4, 5]);
        for state in State::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{}\"", state.as_str()));
            assert_eq!(serde_json::from_str::<State>(&json).unwrap(), state);
        }
        assert!(serde_json::from_str::<State>("\"usage\"").is_err());
    }

    #[test]
    fn every_code_is_listed_once_and_read_as_it_is_written() {
        let place = |code| match code {
            Code::Internal => 0,
            Code::NotFound => 1,
            Code::State(ErrorState::Denied) => 2,
            Code::State(ErrorState::FixConfig) => 3,
            Code::State(ErrorState::NeedsLogin) => 4,
            Code::State(ErrorState::Transient) => 5,
            Code::Usage => 6,
        };
        assert_eq!(Code::ALL.map(place), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Code::ALL.map(Code::exit_code), [1, 7, 6, 5, 4, 3, 2]);
        for code in Code::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
        }
        assert!(serde_json::from_str::<Code>("\"fresh\"").is_err());
    }
}
