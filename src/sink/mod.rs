//! Files and hooks that follow a token.
//!
//! Each output has a task of its own, so that a full disk or a slow hook holds up nothing else.
//! Each task follows the token's `watch` channel: of several generations that pass while it is
//! busy, it sees the latest.

mod command;
mod file;
mod hook;
mod notice;
mod reload;
mod report;
mod retry;
mod shared;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::atomic_file::{self, Directory, WriteError};
use crate::config::{Environment, TokenConfig};
use crate::error_chain::explain;
use crate::store::{Consumers, TokenView};
use shared::{Delivery, Shared};

pub use notice::{Notice, notifier};
pub use report::{Output, Report};
pub use retry::Retry;

/// The outputs of one token. Dropping it ends them at once, running hooks included.
#[derive(Debug)]
pub struct Sinks {
    tasks: JoinSet<()>,
    /// When it is dropped, the tasks stop.
    stop: watch::Sender<()>,
}

impl Sinks {
    /// Lets every output finish what it has begun, for at most ten seconds. A file gets the newest
    /// token before it ends.
    pub async fn stop(self) {
        let Self { mut tasks, stop } = self;
        drop(stop);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
            tracing::warn!("outputs have not ended after {STOP_LIMIT:?}, giving up");
        }
    }
}

/// Starts a token's outputs, as its configuration in `view` wants them at this moment; for another
/// configuration, stop them and start anew. Nothing is written or run for what is in place already.
///
/// A token that was restored has to be in `view` before the call: without a current token, files
/// with `on_expiry = "remove"` are removed.
#[must_use]
pub fn spawn(
    view: watch::Receiver<TokenView>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
) -> Sinks {
    spawn_with(view, environment, reports, consumers, Retry::default())
}

/// Does the same as [`spawn`], with other pauses between tries.
#[must_use]
pub fn spawn_with(
    mut view: watch::Receiver<TokenView>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
    retry: Retry,
) -> Sinks {
    let (stop, stopping) = watch::channel(());
    let config = Arc::clone(&view.borrow().config);
    // The tasks have seen nothing yet, even if the receiver was read before.
    view.mark_changed();
    let deliveries = watch::Sender::new(vec![Delivery::default(); config.files.len()]);
    let shared = Shared {
        view,
        environment,
        reports,
        consumers,
        retry,
        stopping,
        config,
    };
    let mut tasks = JoinSet::new();
    for index in 0..shared.config.files.len() {
        tasks.spawn(file::run(shared.clone(), deliveries.clone(), index));
    }
    for index in 0..shared.config.hooks.len() {
        tasks.spawn(hook::run(shared.clone(), deliveries.subscribe(), index));
    }
    Sinks { tasks, stop }
}

/// Removes all files of a token that is no longer configured. Its sinks have to be stopped before.
/// Blocks.
///
/// # Errors
/// One error for each file that could not be removed.
pub fn remove_files(config: &TokenConfig) -> Result<(), Vec<WriteError>> {
    let results = config.files.iter().map(|file| {
        let result = atomic_file::remove(&file.path);
        let (token, path) = (&config.name, file.path.display());
        match &result {
            Ok(()) => tracing::info!(%token, %path, "removed"),
            Err(e) => tracing::warn!(%token, %path, error = explain(e, e.hint()), "not removed"),
        }
        result
    });
    let errors: Vec<_> = results.filter_map(Result::err).collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Makes the directories of token files below the runtime directory, which is empty after each
/// boot. The administrator makes all others. Blocks.
pub fn make_directories<'a>(runtime_dir: &Path, tokens: impl IntoIterator<Item = &'a TokenConfig>) {
    let files = tokens.into_iter().flat_map(|token| &token.files);
    let parents = files.filter_map(|file| file.path.parent());
    let directories: BTreeSet<&Path> = parents
        .filter(|parent| parent.starts_with(runtime_dir))
        .flat_map(|parent| {
            parent
                .ancestors()
                .filter(|path| path.starts_with(runtime_dir))
        })
        .filter(|path| !path.exists())
        .collect();
    for path in directories {
        // The umask of a hardened unit would keep the files' readers out.
        let made = DirBuilder::new()
            .recursive(true)
            .create(path)
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
        // What is missing is the files' error, reported when they are written.
        if let Err(e) = made {
            tracing::debug!(path = %path.display(), error = %e, "not made");
        }
    }
}

/// Removes the temporary files, with tokens in them, that killed writers have left beside the
/// tokens' files. Has to be called once at start, before the first [`spawn`]. Blocks.
pub fn sweep<'a>(tokens: impl IntoIterator<Item = &'a TokenConfig>) {
    let files = tokens.into_iter().flat_map(|token| &token.files);
    let directories: BTreeSet<&Path> = files.filter_map(|file| file.path.parent()).collect();
    for path in directories {
        // A directory that cannot be used is the files' error, reported when they are written.
        if let Err(e) = Directory::open(path).and_then(|directory| directory.sweep()) {
            tracing::debug!(path = %path.display(), error = %e, "not swept");
        }
    }
}

/// How long all outputs of a token together may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(10);
