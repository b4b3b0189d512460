//! `bearerd refresh`.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::CliError;
use super::output::in_words;
use crate::api::client::{self, Call};
use crate::api::code::EXIT_FRESH;
use crate::api::pages::token::RefreshBody;
use crate::api::tokens::RejectedHash;
use crate::api::tokens::parse_duration;

#[derive(Args, Debug)]
pub(super) struct RefreshArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
    /// Only if the current token is the one an API has rejected: read from standard input, or named by
    /// its sha256 in hex
    // Taken as text: a parser's error would repeat it, and it may be a token by mistake.
    #[arg(long, value_name = "HASH", num_args = 0..=1, require_equals = true)]
    rejected: Option<Option<String>>,
    /// How long to wait for the new token, at most 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    wait: Duration,
}

/// What is told of the new token.
#[derive(Deserialize)]
struct Answer {
    expires_in: u64,
    generation: u64,
}

pub(super) fn run(args: &RefreshArgs, socket: &Path) -> Result<u8, CliError> {
    let rejected = match &args.rejected {
        None => None,
        Some(Some(hash)) => Some(RejectedHash::parse(hash)?),
        Some(None) => Some(hash_of_stdin()?),
    };
    let body = RefreshBody {
        rejected: rejected.map(RejectedHash::to_hex),
    };
    let answer = client::call(
        socket,
        Call {
            method: "POST",
            target: &format!(
                "/v1/tokens/{}/refresh?wait={}ms",
                args.name,
                args.wait.as_millis()
            ),
            body: &serde_json::to_string(&body).map_err(|_| CliError::Answer)?,
            wait: args.wait,
        },
    )?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| CliError::Answer)?;
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

fn hash_of_stdin() -> Result<RejectedHash, CliError> {
    let mut input = Zeroizing::new(Vec::with_capacity(MAX_TOKEN));
    io::stdin()
        .lock()
        .take(MAX_TOKEN as u64)
        .read_to_end(&mut input)
        .map_err(CliError::Input)?;
    let token = input.trim_ascii_end();
    if token.is_empty() {
        return Err(CliError::NoInput);
    }
    Ok(RejectedHash::of(token))
}

const MAX_TOKEN: usize = 64 * 1024;
