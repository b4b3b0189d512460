//! Gets a token from the daemon.

use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use secrecy::SecretString;
use serde::Deserialize;

use super::ask::{self, AskError};
use crate::api::client::Call;

/// A token as the daemon hands it out.
pub(super) struct Token {
    pub(super) access_token: SecretString,
    pub(super) token_type: String,
    pub(super) scope: Option<String>,
    pub(super) generation: u64,
    /// When the token expires, in seconds since the epoch.
    pub(super) expires_at: u64,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    scope: Option<String>,
    generation: u64,
    expires_at: u64,
}

/// Asks for a token that is valid for at least `min_ttl`, and waits for one at most `wait`.
pub(super) fn ask(
    socket: &Path,
    name: &TokenName,
    min_ttl: Duration,
    wait: Duration,
) -> Result<Token, AskError> {
    let (ttl_ms, wait_ms) = (min_ttl.as_millis(), wait.as_millis());
    let target = format!("/v1/tokens/{name}?min_ttl={ttl_ms}ms&wait={wait_ms}ms");
    let call = Call {
        method: "GET",
        target: &target,
        body: "",
        wait,
    };
    let answer: Answer = ask::ask(socket, call)?;
    Ok(Token {
        access_token: answer.access_token.into(),
        token_type: answer.token_type,
        scope: answer.scope,
        generation: answer.generation,
        expires_at: answer.expires_at,
    })
}
