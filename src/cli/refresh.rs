//! `bearerd refresh`: has a token replaced.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::ask::{self, AskError};
use super::output::in_words;
use crate::api::client::Call;
use crate::api::code::{Code, EXIT_FRESH};
use crate::api::pages::token::RefreshBody;
use crate::api::tokens::{InvalidHash, RejectedHash, parse_duration};

#[derive(Args, Debug)]
pub(super) struct RefreshArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
    /// Only if the current token is the one an API has rejected: read from standard input, or named
    /// by its sha256 in hex
    // It is taken as text: a parser's error would repeat it, and it may be a token by mistake.
    #[arg(long, value_name = "HASH", num_args = 0..=1, require_equals = true)]
    rejected: Option<Option<String>>,
    /// How long to wait for the new token, at most 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    wait: Duration,
}

/// What the daemon tells of the new token.
#[derive(Deserialize)]
struct Answer {
    expires_in: u64,
    generation: u64,
}

/// Why there is no new token.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefreshError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("--rejected: {0}")]
    Hash(#[from] InvalidHash),
    #[error("cannot read the token from standard input")]
    Input(#[source] io::Error),
    #[error("no token on standard input")]
    NoInput,
}

impl RefreshError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Hash(_) | Self::NoInput => Code::Usage.exit_code(),
            Self::Input(_) => Code::Internal.exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::Hash(_) | Self::NoInput => Some(
                "`--rejected` reads the token from standard input, \
                 `--rejected=HASH` takes its sha256",
            ),
            Self::Input(_) => None,
        }
    }
}

/// Has the token replaced, and waits for the new one.
pub(super) fn run(args: &RefreshArgs, socket: &Path) -> Result<u8, RefreshError> {
    let rejected = match &args.rejected {
        None => None,
        Some(Some(hash)) => Some(RejectedHash::parse(hash)?),
        Some(None) => Some(hash_of_stdin()?),
    };
    let body = RefreshBody {
        rejected: rejected.map(RejectedHash::to_hex),
    };
    let answer: Answer = ask::ask(
        socket,
        Call {
            method: "POST",
            target: &format!(
                "/v1/tokens/{}/refresh?wait={}ms",
                args.name,
                args.wait.as_millis()
            ),
            body: &ask::body(&body)?,
            wait: args.wait,
        },
    )?;
    // For people, hence on standard error; failing to write it does not undo the refresh.
    let _ = writeln!(
        io::stderr(),
        "{}: generation {}, expires in {}",
        args.name,
        answer.generation,
        in_words(answer.expires_in)
    );
    Ok(EXIT_FRESH)
}

fn hash_of_stdin() -> Result<RejectedHash, RefreshError> {
    let mut input = Zeroizing::new(Vec::with_capacity(MAX_TOKEN));
    io::stdin()
        .lock()
        .take(MAX_TOKEN as u64)
        .read_to_end(&mut input)
        .map_err(RefreshError::Input)?;
    let token = input.trim_ascii_end();
    if token.is_empty() {
        return Err(RefreshError::NoInput);
    }
    Ok(RejectedHash::of(token))
}

const MAX_TOKEN: usize = 64 * 1024;
