//! What the daemon is told of an output.

use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::credential::TokenName;

/// What became of one output.
#[derive(Clone, Debug)]
pub struct Report {
    /// The token's name.
    pub name: TokenName,
    /// The output that this report is about.
    pub output: Output,
    /// The generation of the token that was delivered; 0 when the token has expired and its file
    /// was to be removed.
    pub generation: u64,
    /// Success, or the error's text with its hint. After an error, the output is tried again.
    pub result: Result<(), Arc<str>>,
}

/// One output of a token.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Output {
    /// The file at this path.
    File(PathBuf),
    /// The hook at this place in the configuration, from 0.
    Hook(usize),
}
