//! What goes wrong with a command, in words and as an exit code.

use std::borrow::Cow;
use std::io::{self, Write};

use bearerd_core::credential::InvalidTokenName;
use bearerd_core::refresh::ErrorState;

use super::check::{CheckError, ExplainError};
use super::credential_helper::StsError;
use super::exec::ExecError;
use super::keygen::KeygenError;
use super::output::printable;
use crate::api::client::ClientError;
use crate::api::code::{Code, EXIT_FRESH, EXIT_UNREACHABLE};
use crate::api::tokens::InvalidHash;
use crate::daemon::DaemonError;
use crate::error_chain::error_chain;
use crate::format::{FormatError, InputError};

/// Why a client command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error("a token is not sent to {0} without TLS")]
    ClearText(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Exec(#[from] ExecError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("cannot ask git for its configuration")]
    GitConfig(#[source] io::Error),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("the daemon's answer is not the expected JSON")]
    Answer,
    #[error("--rejected: {0}")]
    Hash(#[from] InvalidHash),
    #[error("cannot read the token from standard input")]
    Input(#[source] io::Error),
    #[error("the login was not completed in time")]
    LoginExpired,
    #[error(transparent)]
    Template(#[from] InputError),
    #[error("no address on standard input")]
    NoAddress,
    // The protocol's own words: docker takes them for "none", not for a failure.
    #[error("credentials not found in native keychain")]
    NoCredentials,
    #[error("no token on standard input")]
    NoInput,
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    #[error("bearerd obtains tokens itself and stores no others")]
    NotStored,
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot read the question from standard input")]
    Question(#[source] io::Error),
    #[error(transparent)]
    Sts(#[from] StsError),
    #[error("the configured token: {0}")]
    TokenName(#[from] InvalidTokenName),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Answer
            | Self::Format(_)
            | Self::GitConfig(_)
            | Self::Input(_)
            | Self::Question(_) => Code::Internal.exit_code(),
            Self::Check(CheckError::Runtime(_)) => Code::Internal.exit_code(),
            Self::Check(CheckError::Online { code, .. }) => code.exit_code(),
            Self::Check(_) => Code::State(ErrorState::FixConfig).exit_code(),
            Self::Explain(error) => error.code().exit_code(),
            // Directories and the state's key are the administrator's to mend, too.
            Self::Daemon(
                DaemonError::Config(_)
                | DaemonError::Directory { .. }
                | DaemonError::LogFilter(_)
                | DaemonError::Socket(_)
                | DaemonError::State(_)
                | DaemonError::StateKey(_),
            ) => Code::State(ErrorState::FixConfig).exit_code(),
            Self::Daemon(_) => Code::Internal.exit_code(),
            Self::Client(error) => match error {
                ClientError::Forbidden { .. } => Code::State(ErrorState::Denied).exit_code(),
                ClientError::Interrupted(_) | ClientError::TimedOut(_) => {
                    Code::State(ErrorState::Transient).exit_code()
                }
                ClientError::Malformed(_) => Code::Internal.exit_code(),
                ClientError::Problem(problem) => problem.code.exit_code(),
                ClientError::Ended { .. } | ClientError::Unreachable { .. } => EXIT_UNREACHABLE,
            },
            Self::LoginExpired => Code::State(ErrorState::NeedsLogin).exit_code(),
            Self::NoAddress => Code::State(ErrorState::NeedsLogin).exit_code(),
            Self::ClearText(_) => Code::State(ErrorState::Denied).exit_code(),
            Self::Exec(error) => error.exit_code(),
            Self::NoCredentials => Code::NotFound.exit_code(),
            Self::NotStored | Self::TokenName(_) => Code::Usage.exit_code(),
            Self::Keygen(error) => error.code().exit_code(),
            Self::Hash(_) | Self::NoInput | Self::Template(_) => Code::Usage.exit_code(),
            Self::Sts(error) => error.code().exit_code(),
            // Whoever closed the pipe has what they wanted.
            Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => EXIT_FRESH,
            Self::Output(_) => Code::Internal.exit_code(),
        }
    }

    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Client(error) => match error {
                ClientError::Forbidden { .. } => {
                    Some("the daemon answers root and its own user".into())
                }
                ClientError::Malformed(_) => Some("--socket names another socket".into()),
                ClientError::Problem(problem) => problem.hint.as_deref().map(Cow::from),
                ClientError::Unreachable { .. } => Some(
                    "does it run (`systemctl status bearerd`)? --socket names another socket"
                        .into(),
                ),
                ClientError::Ended { .. }
                | ClientError::Interrupted(_)
                | ClientError::TimedOut(_) => None,
            },
            Self::Hash(_) | Self::NoInput => Some(
                "`--rejected` reads the token from standard input, `--rejected=HASH` takes its sha256"
                    .into(),
            ),
            Self::NoAddress => Some(
                "the login stays open for ten minutes: the same command goes on with it".into(),
            ),
            Self::ClearText(_) => Some("use an https:// remote".into()),
            Self::Exec(error) => error.hint().map(Cow::from),
            Self::Keygen(error) => error.hint().map(Cow::from),
            Self::Sts(error) => error.hint().map(Cow::from),
            Self::Answer
            | Self::Check(_)
            | Self::Daemon(_)
            | Self::Format(_)
            | Self::GitConfig(_)
            | Self::Explain(_)
            | Self::Input(_)
            | Self::LoginExpired
            | Self::NoCredentials
            | Self::NotStored
            | Self::Output(_)
            | Self::Question(_)
            | Self::Template(_)
            | Self::TokenName(_) => None,
        }
    }
}

/// Says what went wrong, once, and returns the exit code.
pub(super) fn report(error: &CliError) -> u8 {
    let exit_code = error.exit_code();
    if exit_code == EXIT_FRESH {
        return exit_code;
    }
    let mut message = format!("bearerd: {}", error_chain(error));
    if let Some(hint) = error.hint() {
        message.push_str(&format!("\nhint: {hint}"));
    }
    // Without a standard error there is nobody to tell; the exit code stands.
    let _ = writeln!(io::stderr(), "{}", printable(&message));
    exit_code
}
