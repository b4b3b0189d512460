//! Starts the outputs of all tokens, and sees those off that have to end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::config::{Environment, TokenConfig};
use crate::sink::{self, Report, Sinks};
use crate::store::{Consumers, TokenView};

/// What the outputs of all tokens need, and the outputs that have been told to stop.
pub(super) struct Outputs {
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
    retiring: Retiring,
}

/// Outputs that have been told to stop and have not ended yet.
#[derive(Default)]
struct Retiring {
    tasks: JoinSet<()>,
    /// The files of these outputs. A new writer that did not wait for the old one could be
    /// overtaken by it.
    files: BTreeSet<PathBuf>,
    /// The files of the configuration in force: these stay.
    configured: watch::Sender<Arc<BTreeSet<PathBuf>>>,
}

impl Outputs {
    pub(super) fn new(
        environment: &Arc<Environment>,
        reports: mpsc::Sender<Report>,
        consumers: &Consumers,
    ) -> Self {
        Self {
            environment: Arc::clone(environment),
            reports,
            consumers: consumers.clone(),
            retiring: Retiring::default(),
        }
    }

    /// Takes note of the files that are configured now: no output that ends removes one of them.
    pub(super) fn configure(&self, tokens: &BTreeMap<TokenName, Arc<TokenConfig>>) {
        let files = tokens.values().flat_map(|token| &token.files);
        let configured = files.map(|file| file.path.clone()).collect();
        self.retiring.configured.send_replace(Arc::new(configured));
    }

    /// Starts the outputs of the token with this view, if it has any and no output that has to end
    /// still has one of their files. A restored token is published before.
    pub(super) fn start(&self, view: watch::Receiver<TokenView>) -> Option<Sinks> {
        let config = Arc::clone(&view.borrow().config);
        let none = config.files.is_empty() && config.hooks.is_empty();
        let leaving = &self.retiring.files;
        let wait = config.files.iter().any(|file| leaving.contains(&file.path));
        if none || wait {
            return None;
        }
        let (environment, reports) = (Arc::clone(&self.environment), self.reports.clone());
        Some(sink::spawn(
            view,
            environment,
            reports,
            self.consumers.clone(),
        ))
    }

    /// Sees off the outputs of a configuration. Once they have ended, the files that nobody writes
    /// any more are removed.
    pub(super) fn retire(
        &mut self,
        config: &TokenConfig,
        ended: Option<impl Future<Output = ()> + Send + 'static>,
    ) {
        let mut config = TokenConfig::clone(config);
        let files = config.files.iter().map(|file| file.path.clone());
        self.retiring.files.extend(files);
        let configured = self.retiring.configured.subscribe();
        self.retiring.tasks.spawn(async move {
            if let Some(ended) = ended {
                ended.await;
            }
            let kept = Arc::clone(&configured.borrow());
            config.files.retain(|file| !kept.contains(&file.path));
            // Each failure is logged where it happens.
            let _ = spawn_blocking(move || sink::remove_files(&config)).await;
        });
    }

    /// Whether outputs have been told to stop of which nobody has waited for the end.
    pub(super) fn are_retiring(&self) -> bool {
        !self.retiring.tasks.is_empty() || !self.retiring.files.is_empty()
    }

    /// Waits until all outputs that have been told to stop have ended.
    pub(super) async fn ended(&mut self) {
        while self.retiring.tasks.join_next().await.is_some() {}
        self.retiring.files.clear();
    }
}
