//! What readers see: per token one `watch` channel, so a reader never waits for the owner of the state
//! and always gets the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::Status;
use tokio::sync::watch;

use super::state_file::Record;
use crate::config::TokenConfig;
use crate::token::Token;

/// A token that is current, and its number.
#[derive(Clone, Debug)]
pub struct Published {
    /// The token.
    pub token: Arc<Token>,
    /// Counts the replacements, from 1, across restarts.
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
    /// Its configuration.
    pub config: Arc<TokenConfig>,
    /// The current token; `None` before the first and after expiry. A reader still compares
    /// `expires_at` with the clock: withdrawal may be a moment late.
    pub current: Option<Published>,
    /// How it stands.
    pub standing: Standing,
}

/// How a token stands, for status.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The core's word.
    pub status: Status,
    /// The last error's text, with its hint; already free of secrets. `None` once a success followed.
    pub last_error: Option<Arc<str>>,
    /// What went wrong with its outputs (path or hook, and the error), none when all is delivered.
    pub output_errors: Vec<Arc<str>>,
}

/// All configured tokens. The channel carries a new map when the configuration changes; a token's own
/// events travel on its own channel.
pub type Registry = watch::Receiver<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>;

/// The daemon as a whole, for status and readiness.
#[derive(Clone, Debug, Default)]
pub struct DaemonView {
    /// Every required token has been published, and written to its files, once.
    pub ready: bool,
    /// Why the newest configuration is not in force; the one before it is.
    pub configuration_error: Option<Arc<str>>,
    /// The daemon is about to end.
    pub stopping: bool,
    /// What an administrator should know: state not sealed, a state file set aside, a clock that is wrong.
    pub warnings: Vec<Arc<str>>,
}
