//! Why a program gets no token.

use std::io;

use bearerd_core::credential::InvalidTokenName;
use bearerd_core::refresh::ErrorState;

use super::aws_sts::StsError;
use crate::api::code::Code;
use crate::cli::ask::AskError;
use crate::cli::output::OutputError;

/// Why a program gets no token.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum HelperError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("a token is not sent to {0} without TLS")]
    ClearText(String),
    #[error("cannot ask git for its configuration")]
    GitConfig(#[source] io::Error),
    // The protocol's own words: docker takes them for "none", not for a failure.
    #[error("credentials not found in native keychain")]
    NoCredentials,
    #[error("bearerd obtains tokens itself and stores no others")]
    NotStored,
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot read the question from standard input")]
    Question(#[source] io::Error),
    #[error(transparent)]
    Sts(#[from] StsError),
    #[error("the configured token: {0}")]
    TokenName(#[from] InvalidTokenName),
}

impl HelperError {
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::ClearText(_) => Code::State(ErrorState::Denied).exit_code(),
            Self::GitConfig(_) | Self::Question(_) => Code::Internal.exit_code(),
            Self::NoCredentials => Code::NotFound.exit_code(),
            Self::NotStored | Self::TokenName(_) => Code::Usage.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Sts(error) => error.code().exit_code(),
        }
    }

    pub(in crate::cli) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::ClearText(_) => Some("use an https:// remote"),
            Self::Sts(error) => error.hint(),
            Self::GitConfig(_)
            | Self::NoCredentials
            | Self::NotStored
            | Self::Output(_)
            | Self::Question(_)
            | Self::TokenName(_) => None,
        }
    }
}
