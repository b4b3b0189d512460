//! A token that somebody logs in to, and what the requests of a login need.

use std::sync::Arc;

use bearerd_core::credential::TokenName;

use crate::api::problem::Problem;
use crate::config::TokenConfig;
use crate::daemon::configuration::Configuration;
use crate::daemon::tokens::Tokens;
use crate::oauth::{Client, InputTokens};

use super::pending::problem;

/// A configured token, and what the requests of a login to it need.
pub(in crate::daemon) struct Target {
    pub(super) token: Arc<TokenConfig>,
    /// The token's client, or why no login can use it.
    pub(super) client: Result<Client, Problem>,
    pub(super) input_tokens: InputTokens,
}

impl Target {
    /// The token of this name, as it stands now.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::daemon) fn find(
        name: &TokenName,
        tokens: &Tokens,
        configuration: &Configuration,
    ) -> Result<Self, Problem> {
        let entry = tokens.get(name);
        let token = entry.ok_or_else(|| Problem::no_such_token(name))?.config();
        let client = match configuration.client(&token) {
            Some(Ok(client)) => Ok(client.clone()),
            Some(Err(error)) => Err(problem(error)),
            None => Err(Problem::no_such_token(name)),
        };
        let input_tokens = tokens.input_tokens_of(&token);
        Ok(Self {
            token,
            client,
            input_tokens,
        })
    }
}
