//! Changes of the configuration that have not been loaded, and the load under way.

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::info;

use crate::config::ConfigErrors;

use super::configuration::Configuration;
use super::inputs::{Changed, Inputs};

/// Changes that have not been loaded, and the load under way.
#[derive(Default)]
pub(super) struct Reload {
    pending: Option<Changed>,
    loading: Option<Loading>,
    /// Changes that came with a configuration that was refused. They count again with the next
    /// load.
    refused: Option<Changed>,
    /// Whether the service manager waits to hear of the end of the load.
    announced: bool,
}

struct Loading {
    changed: Changed,
    task: JoinHandle<Result<Inputs, ConfigErrors>>,
}

/// A load that is over.
pub(super) struct Ended {
    /// What had changed.
    pub(super) changed: Changed,
    pub(super) result: Result<Inputs, ConfigErrors>,
}

impl Reload {
    /// Takes note of what is to be loaded again.
    pub(super) fn note(&mut self, changed: Changed) {
        if let Changed::Files(files) = &changed {
            for file in files {
                info!(file = %file.display(), "changed");
            }
        }
        self.pending = Some(changed.and(self.pending.take()));
    }

    /// Has everything loaded again. `announced` says whether the service manager waits for the end
    /// of it.
    pub(super) fn note_all(&mut self, announced: bool) {
        self.announced |= announced;
        self.note(Changed::Anything);
    }

    /// Starts a load, if there is something to load and no load is under way.
    pub(super) fn start(&mut self, configuration: &Configuration) {
        if self.loading.is_some() {
            return;
        }
        let Some(changed) = self.pending.take() else {
            return;
        };
        let changed = changed.and(self.refused.take());
        let task = spawn_blocking(configuration.loader(changed.clone()));
        self.loading = Some(Loading { changed, task });
    }

    /// Waits until the load under way is over; for ever when none is.
    ///
    /// # Errors
    /// When the load died: a defect.
    pub(super) async fn ended(&mut self) -> Result<Ended, JoinError> {
        let Some(loading) = &mut self.loading else {
            return std::future::pending().await;
        };
        let result = (&mut loading.task).await;
        let changed = self.loading.take().map(|loading| loading.changed);
        Ok(Ended {
            changed: changed.unwrap_or(Changed::Anything),
            result: result?,
        })
    }

    /// Keeps in mind what came with a configuration that was refused.
    pub(super) fn refuse(&mut self, changed: Changed) {
        self.refused = Some(changed);
    }

    /// Whether the service manager is to hear now that the load is over. One that was asked for
    /// while an earlier load was under way is still to come.
    pub(super) fn is_to_be_told(&mut self) -> bool {
        self.pending.is_none() && std::mem::take(&mut self.announced)
    }
}
