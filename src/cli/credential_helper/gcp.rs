//! Google's executable-sourced credentials (AIP-4117).

use std::path::Path;

use bearerd_core::credential::TokenName;
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::HelperError;
use super::question::ask;
use crate::api::code::EXIT_FRESH;
use crate::cli::output;
use crate::config::Environment;
use crate::error_chain::error_chain;

/// Answers Google's libraries. A failure is an answer, too: they show its message only where the
/// exit code is 0.
pub(super) fn run(name: &TokenName, socket: &Path) -> Result<u8, HelperError> {
    let environment = Environment::of_process();
    let asked = environment.var("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE");
    let answer = match ask(socket, name) {
        Ok(token) => json!({
            "version": 1,
            "success": true,
            "token_type": asked.unwrap_or("urn:ietf:params:oauth:token-type:jwt"),
            "id_token": token.access_token.expose_secret(),
            "expiration_time": token.expires_at,
        }),
        Err(error) => json!({
            "version": 1,
            "success": false,
            "code": error.exit_code().to_string(),
            "message": error_chain(&error),
        }),
    };
    output::write(format!("{answer}\n").as_bytes())?;
    Ok(EXIT_FRESH)
}
