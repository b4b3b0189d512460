//! What a program asks, and the token that answers it.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;

use super::error::HelperError;
use crate::cli::ask::AskError;
use crate::cli::token::{self, Token};

/// Asks the daemon for the token that answers the question.
pub(super) fn ask(socket: &Path, name: &TokenName) -> Result<Token, AskError> {
    token::ask(socket, name, Duration::ZERO, WAIT)
}

/// Reads the question, as the program writes it to standard input.
pub(super) fn question() -> Result<String, HelperError> {
    let mut text = String::new();
    let read = io::stdin()
        .lock()
        .take(MAX_QUESTION)
        .read_to_string(&mut text);
    read.map_err(HelperError::Question)?;
    Ok(text)
}

/// How long to wait for a token that is about to come. The program that asks has a limit of its
/// own.
const WAIT: Duration = Duration::from_secs(10);
/// At most so many bytes of a question are read.
const MAX_QUESTION: u64 = 64 * 1024;
