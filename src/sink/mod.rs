//! Files and hooks that follow a token.
//!
//! One task for each, so that a full disk or a slow hook holds up nothing else. Each follows the token's
//! `watch` channel: of several generations that pass while it is busy, it sees the latest.

mod command;
mod file;
mod hook;
mod notice;
mod reload;
mod retry;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::atomic_file::{self, Directory, WriteError};
use crate::config::{Environment, TokenConfig};
use crate::error_chain::explain;
use crate::store::{Consumers, TokenView};

pub use notice::{Notice, notifier};
pub use retry::Retry;

/// The outputs of one token. Dropping it ends them at once, running hooks included.
#[derive(Debug)]
pub struct Sinks {
    tasks: JoinSet<()>,
    /// Its end is the tasks' sign to stop.
    stop: watch::Sender<()>,
}

/// What became of one output.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose.
    pub name: TokenName,
    /// Which.
    pub output: Output,
    /// Of the token delivered; 0 when it has expired and the file was to be removed.
    pub generation: u64,
    /// The error's text, with its hint. It will be tried again.
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

/// Starts a token's outputs, as its configuration in `view` wants them at this moment; for another
/// configuration, stop them and start anew. Nothing is written or run for what is in place already.
///
/// A token that was restored has to be in `view` before the call: without a current token, files with
/// `on_expiry = "remove"` are removed.
#[must_use]
pub fn spawn(
    view: watch::Receiver<TokenView>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
) -> Sinks {
    spawn_with(view, environment, reports, consumers, Retry::default())
}

/// [`spawn`] with other pauses between tries.
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
    // Whoever starts has seen nothing yet, however often the receiver it was given has been read.
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

impl Sinks {
    /// Lets every output finish what it has begun, files with the newest token included, for at most ten
    /// seconds.
    pub async fn stop(self) {
        let Self { mut tasks, stop } = self;
        drop(stop);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
            tracing::warn!("outputs have not ended after {STOP_LIMIT:?}, giving up");
        }
    }
}

/// Removes all files of a token that is no longer configured; its sinks have to be stopped before. Blocks.
///
/// # Errors
/// One for each file that stays.
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

/// Makes the directories of token files below the runtime directory, which each boot begins without. All
/// others are the administrator's. Blocks.
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

/// Removes what writers that were killed have left beside the tokens' files: temporary files, with tokens in
/// them. To be called at start, once, before the first [`spawn`]. Blocks.
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

/// What every task of a token holds.
#[derive(Clone)]
struct Shared {
    view: watch::Receiver<TokenView>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
    retry: Retry,
    stopping: watch::Receiver<()>,
    config: Arc<TokenConfig>,
}

impl Shared {
    /// Waits for news of the token; `false` when there will be none.
    async fn news(&mut self) -> bool {
        // News first: the newest token is delivered also when the end has come.
        tokio::select! {
            biased;
            changed = self.view.changed() => changed.is_ok(),
            _ = self.stopping.changed() => false,
        }
    }

    /// Waits before the next try; `false` when there will be none.
    async fn pause(&mut self, failures: u32) -> bool {
        tokio::select! {
            biased;
            _ = self.stopping.changed() => false,
            () = tokio::time::sleep(self.retry.after(failures)) => true,
        }
    }

    async fn report(&self, output: Output, generation: u64, result: Result<(), Arc<str>>) {
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

/// How far one file is.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    /// The generation it holds; 0 before the first.
    generation: u64,
    /// The last generation that had to be written, rather than be found in place; 0 before the first.
    written: u64,
    /// When that token expires.
    expires_at: Instant,
}

const STOP_LIMIT: Duration = Duration::from_secs(10);
