//! What readers see. Each token has one `watch` channel, so that a reader never waits for the owner
//! of the state and always gets the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Health, Status};
use tokio::sync::watch;

use super::state_file::Record;
use crate::config::TokenConfig;
use crate::token::Token;

/// A token that is current, and its number.
#[derive(Clone, Debug)]
pub struct Published {
    /// What the authorization server issued.
    pub token: Arc<Token>,
    /// The token's number. The first one is 1, and the count goes on across restarts.
    pub generation: u64,
}

impl From<&Record> for Published {
    fn from(record: &Record) -> Self {
        Self {
            token: Arc::clone(&record.token),
            generation: record.generation,
        }
    }
}

/// Everything a reader may learn of one configured token.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// The token's configuration.
    pub config: Arc<TokenConfig>,
    /// The current token; `None` before the first and after expiry. A reader still compares
    /// `expires_at` with the clock: withdrawal may be a moment late.
    pub current: Option<Published>,
    /// How the token stands.
    pub standing: Standing,
}

impl TokenView {
    /// A configured token of which nothing is known yet.
    #[must_use]
    pub fn pending(config: Arc<TokenConfig>) -> Self {
        let status = Status {
            validity: None,
            health: Health::Pending,
            in_flight: false,
            queued: false,
            waits_for_parent: false,
            login_due_at: None,
            next_attempt_at: None,
            failures: 0,
            attempts: 0,
        };
        Self {
            config,
            current: None,
            standing: Standing {
                status,
                last_error: None,
                output_errors: Vec::new(),
            },
        }
    }
}

/// How a token stands, for status.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What the core says of the token.
    pub status: Status,
    /// The text of the last error, with its hint. It holds no secrets. `None` once a success
    /// followed.
    pub last_error: Option<Arc<str>>,
    /// What went wrong with the token's outputs: path or hook, and the error. Empty when all is
    /// delivered.
    pub output_errors: Vec<Arc<str>>,
}

/// All configured tokens. The channel carries a new map when the configuration changes; a token's
/// own events travel on its own channel.
pub type Registry = watch::Receiver<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>;

/// The daemon as a whole, for status and readiness.
#[derive(Clone, Debug, Default)]
pub struct DaemonView {
    /// Whether every required token has been published, and written to its files, once.
    pub ready: bool,
    /// Why the newest configuration is not in force; the one before it is.
    pub configuration_error: Option<Arc<str>>,
    /// Whether the daemon is about to end.
    pub stopping: bool,
    /// What an administrator should know: state not sealed, a state file set aside, a clock that is
    /// wrong.
    pub warnings: Vec<Arc<str>>,
}
