//! What the tasks of one token share.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use tokio::sync::{mpsc, watch};

use super::report::{Output, Report};
use super::retry::Retry;
use crate::config::{Environment, TokenConfig};
use crate::store::{Consumers, TokenView};

/// What every task of a token holds.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) view: watch::Receiver<TokenView>,
    pub(super) environment: Arc<Environment>,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) consumers: Consumers,
    pub(super) retry: Retry,
    pub(super) stopping: watch::Receiver<()>,
    pub(super) config: Arc<TokenConfig>,
}

impl Shared {
    /// Waits for news of the token. Returns `false` when there will be none.
    pub(super) async fn news(&mut self) -> bool {
        // News first: the newest token is delivered also when the end has come.
        tokio::select! {
            biased;
            changed = self.view.changed() => changed.is_ok(),
            _ = self.stopping.changed() => false,
        }
    }

    /// Waits before the next try. Returns `false` when there will be none.
    pub(super) async fn pause(&mut self, failures: u32) -> bool {
        tokio::select! {
            biased;
            _ = self.stopping.changed() => false,
            () = tokio::time::sleep(self.retry.after(failures)) => true,
        }
    }

    /// Tells the daemon what became of an output.
    pub(super) async fn report(
        &self,
        output: Output,
        generation: u64,
        result: Result<(), Arc<str>>,
    ) {
        let name = self.config.name.clone();
        // Without a listener the daemon is ending, and this task soon will be.
        let _ = self
            .reports
            .send(Report {
                name,
                output,
                generation,
                result,
            })
            .await;
    }
}

/// What one file holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    /// The generation of the token in the file; 0 before the first.
    pub(super) generation: u64,
    /// The last generation that was written; 0 before the first. A token that was found in the file
    /// does not count.
    pub(super) written: u64,
    /// When that token expires.
    pub(super) expires_at: Instant,
}
