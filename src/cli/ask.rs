//! One request to the daemon, and its answer.

use std::path::Path;

use bearerd_core::refresh::ErrorState;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::client::{self, Call, ClientError};
use crate::api::code::{Code, EXIT_UNREACHABLE};

/// Why the daemon did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("the daemon's answer is not the expected JSON")]
    Answer,
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl AskError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Answer => Code::Internal.exit_code(),
            Self::Client(error) => match error {
                ClientError::Forbidden { .. } => Code::State(ErrorState::Denied).exit_code(),
                ClientError::Interrupted(_) | ClientError::TimedOut(_) => {
                    Code::State(ErrorState::Transient).exit_code()
                }
                ClientError::Malformed(_) => Code::Internal.exit_code(),
                ClientError::Problem(problem) => problem.code.exit_code(),
                ClientError::Ended { .. } | ClientError::Unreachable { .. } => EXIT_UNREACHABLE,
            },
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Answer => None,
            Self::Client(error) => match error {
                ClientError::Forbidden { .. } => Some("the daemon answers root and its own user"),
                ClientError::Malformed(_) => Some("--socket names another socket"),
                ClientError::Problem(problem) => problem.hint.as_deref(),
                ClientError::Unreachable { .. } => {
                    Some("does it run (`systemctl status bearerd`)? --socket names another socket")
                }
                ClientError::Ended { .. }
                | ClientError::Interrupted(_)
                | ClientError::TimedOut(_) => None,
            },
        }
    }
}

/// Sends a request, and reads its answer.
pub(super) fn ask<T: DeserializeOwned>(socket: &Path, call: Call<'_>) -> Result<T, AskError> {
    parse(&client::call(socket, call)?)
}

/// Reads an answer, or an event.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, AskError> {
    serde_json::from_slice(json).map_err(|_| AskError::Answer)
}

/// Writes the body of a request.
pub(super) fn body(of: &impl Serialize) -> Result<String, AskError> {
    serde_json::to_string(of).map_err(|_| AskError::Answer)
}
