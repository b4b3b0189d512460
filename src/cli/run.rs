//! `bearerd run`: runs the service.

use std::path::PathBuf;

use bearerd_core::refresh::ErrorState;
use clap::Args;

use super::config_path::config_path;
use crate::api::code::{Code, EXIT_FRESH};
use crate::config::Environment;
use crate::daemon::{self, DaemonError, Options, Outcome};
use crate::logging::{self, LogFormat};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// The configuration [default: /etc/bearerd/bearerd.toml, or a user's own
    /// ~/.config/bearerd/bearerd.toml]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Obtain and publish everything once, then exit: 0 only if all tokens are fresh
    #[arg(long)]
    once: bool,
    /// How to write the log [default: journal when stderr is the journal, else text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Why the service has ended, or has not started.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct RunError(#[from] DaemonError);

impl RunError {
    pub(super) fn exit_code(&self) -> u8 {
        match self.0 {
            // The administrator has to mend directories and the state's key, too.
            DaemonError::Config(_)
            | DaemonError::Directory { .. }
            | DaemonError::LogFilter(_)
            | DaemonError::Socket(_)
            | DaemonError::State(_)
            | DaemonError::StateKey(_) => Code::State(ErrorState::FixConfig).exit_code(),
            DaemonError::Alarm(_)
            | DaemonError::Died(_)
            | DaemonError::Runtime(_)
            | DaemonError::Signals(_)
            | DaemonError::Thread(_)
            | DaemonError::WriterDied => Code::Internal.exit_code(),
        }
    }
}

/// Runs the service until it is told to stop or, with `--once`, until each token and output was
/// tried.
pub(super) fn run(args: &RunArgs) -> Result<u8, RunError> {
    let environment = Environment::of_process();
    let uid = rustix::process::geteuid().as_raw();
    let config = config_path(args.config.clone(), &environment, uid);
    let journal_stream = environment.var("JOURNAL_STREAM").map(str::to_owned);
    let log_format = args
        .log_format
        .unwrap_or_else(|| LogFormat::detect(journal_stream.as_deref()));
    let options = Options {
        config,
        once: args.once,
    };
    let start_logging = |filter: &str| {
        Ok(logging::start(
            log_format,
            journal_stream.as_deref(),
            filter,
        )?)
    };
    Ok(match daemon::run(options, environment, start_logging)? {
        Outcome::Stopped | Outcome::AllFresh => EXIT_FRESH,
        Outcome::Failing(state) => Code::from(state).exit_code(),
    })
}
