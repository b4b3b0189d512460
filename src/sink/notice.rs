//! Runs the command that tells people that somebody has to log in. One command runs at a time, and
//! nobody waits for it.

use std::sync::Arc;

use bearerd_core::credential::TokenName;
use tokio::sync::mpsc;

use super::command::{self, MAX_SAID};
use crate::config::{Environment, NotifyConfig};
use crate::error_chain::error_chain;
use crate::program;

/// What people are told. It holds no secret.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The token that needs a login.
    pub token: TokenName,
    /// The token's state, as in the status.
    pub state: &'static str,
    /// The reason for the state; empty if there is none.
    pub reason: &'static str,
    /// When the token ceases to work, in seconds since the epoch.
    pub until: Option<u64>,
    /// The URL to log in at, if a login has begun that can be completed with any browser.
    pub url: Option<String>,
    /// The code to type in there (RFC 8628), if it is not in the URL.
    pub user_code: Option<String>,
}

/// Starts the task that runs the command for each notice. It ends when the sender is dropped.
#[must_use]
pub fn notifier(config: NotifyConfig, environment: Arc<Environment>) -> mpsc::Sender<Notice> {
    let (sender, mut notices) = mpsc::channel::<Notice>(WAITING);
    tokio::spawn(async move {
        while let Some(notice) = notices.recv().await {
            let token = &notice.token;
            let until = notice.until.map(|until| until.to_string());
            let variables = [
                ("BEARERD_TOKEN", token.to_string()),
                ("BEARERD_STATE", notice.state.to_owned()),
                ("BEARERD_REASON", notice.reason.to_owned()),
                ("BEARERD_UNTIL", until.unwrap_or_default()),
                ("BEARERD_LOGIN", format!("bearerd login {token}")),
                ("BEARERD_URL", notice.url.unwrap_or_default()),
                ("BEARERD_USER_CODE", notice.user_code.unwrap_or_default()),
            ];
            // After a failure nothing is tried again here: the core asks for the notice again
            // later.
            let mut command = command::command(&config.command, &environment);
            command.envs(variables);
            match program::run(command, config.timeout, MAX_SAID).await {
                Ok(ended) if ended.status.success() => tracing::info!(%token, "people were told"),
                Ok(ended) => {
                    let (status, said) = (ended.status, String::from_utf8_lossy(&ended.stderr));
                    tracing::warn!(%token, %status, %said, "people could not be told");
                }
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::warn!(%token, error, "people could not be told");
                }
            }
        }
    });
    sender
}

/// How many notices may wait while one is delivered.
const WAITING: usize = 256;
