//! `bearerd run`.

use std::process::ExitCode;

use super::error::{CliError, report};
use super::{RunArgs, config_path};
use crate::api::code::{Code, EXIT_FRESH};
use crate::config::Environment;
use crate::daemon::{self, Options, Outcome};
use crate::logging::{self, LogFormat};

/// Runs the service, until it is told to stop or, with `--once`, until everything had its turn.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
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
    ExitCode::from(match daemon::run(options, environment, start_logging) {
        Ok(Outcome::Stopped | Outcome::AllFresh) => EXIT_FRESH,
        Ok(Outcome::Failing(state)) => Code::from(state).exit_code(),
        Err(error) => report(&CliError::Daemon(error)),
    })
}
