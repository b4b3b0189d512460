//! The configured tokens as the daemon holds them: what is durable, what readers see, what is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Health, Parent, Reason, Status};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::config::{Environment, TokenConfig};
use crate::oauth::InputTokens;
use crate::sink::{self, Report};
use crate::store::{Consumers, EventBus, EventKind, Published, Record, Registry, TokenView};

use super::entry::Entry;

/// All configured tokens.
pub(super) struct Tokens {
    entries: BTreeMap<TokenName, Entry>,
    /// State of tokens that are not configured now: they may come back.
    dormant: BTreeMap<TokenName, Record>,
    registry: watch::Sender<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
    consumers: Consumers,
    events: EventBus,
    retiring: Retiring,
    /// Required tokens that have not been published and delivered yet.
    awaited: BTreeSet<TokenName>,
    tally: Tally,
}

/// How many tokens stand how.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) fresh: usize,
    pub(super) failing: usize,
    pub(super) pending: usize,
}

impl Tokens {
    pub(super) fn new(
        records: Vec<Record>,
        environment: &Arc<Environment>,
        reports: mpsc::Sender<Report>,
        consumers: &Consumers,
    ) -> Self {
        Self {
            entries: BTreeMap::new(),
            dormant: records
                .into_iter()
                .map(|record| (record.name.clone(), record))
                .collect(),
            registry: watch::channel(Arc::default()).0,
            environment: Arc::clone(environment),
            reports,
            consumers: consumers.clone(),
            events: EventBus::default(),
            retiring: Retiring::default(),
            awaited: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    pub(super) fn registry(&self) -> Registry {
        self.registry.subscribe()
    }

    pub(super) fn events(&self) -> &EventBus {
        &self.events
    }

    pub(super) fn get(&self, name: &TokenName) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &TokenName) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes over what the core says of a token, and why it fails, if it does: with a token that it is made
    /// from, by this error, or as before. Readers see both at once.
    pub(super) fn set_status(&mut self, name: &TokenName, status: Status, error: Option<Arc<str>>) {
        let Some(entry) = self.entries.get(name) else {
            return;
        };
        let error = match status.health {
            Health::Failing { reason, .. } => self
                .root_cause(entry, reason)
                .or(error)
                .or_else(|| entry.last_error()),
            Health::Fresh | Health::Pending => None,
        };
        let before = entry.status();
        if before != status {
            self.tally.leave(before.health);
            self.tally.enter(status.health);
        }
        entry.set_status(status, error);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TokenName, &Entry)> {
        self.entries.iter()
    }

    /// From this name on; all without one.
    pub(super) fn from(
        &self,
        name: Option<&TokenName>,
    ) -> impl Iterator<Item = (&TokenName, &Entry)> {
        let from = name.map_or(Bound::Unbounded, Bound::Included);
        self.entries.range::<TokenName, _>((from, Bound::Unbounded))
    }

    /// Whether every required token has been published and delivered once.
    pub(super) fn ready(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The number of the token held for a configured name.
    pub(super) fn generation(&self, name: &TokenName) -> Option<u64> {
        let entry = self.entries.get(name)?;
        Some(entry.record.as_ref()?.generation)
    }

    /// Forgets what a token holds, be it configured or not.
    pub(super) fn forget(&mut self, name: &TokenName) {
        self.dormant.remove(name);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.forget();
        }
    }

    /// Takes over a configuration; returns the names that are new, and what is no longer configured and to be
    /// revoked. Outputs that are no longer configured are removed, and so is nothing else.
    pub(super) fn configure(
        &mut self,
        tokens: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> (BTreeSet<TokenName>, Vec<(Arc<TokenConfig>, Record)>) {
        let files = tokens.values().flat_map(|token| &token.files);
        let configured = files.map(|file| file.path.clone()).collect();
        self.retiring.configured.send_replace(Arc::new(configured));
        let mut gone = std::mem::take(&mut self.entries);
        let mut new = BTreeSet::new();
        let mut changed = Vec::new();
        let entries = tokens.iter().map(|(name, config)| {
            let entry = match gone.remove(name) {
                Some(mut entry) => {
                    let before = entry.config();
                    if !Arc::ptr_eq(&before, config) {
                        changed.push(name);
                    }
                    if entry.reconfigure(config) {
                        self.retiring.add(&before, entry.stop_sinks());
                    }
                    entry
                }
                None => {
                    new.insert(name.clone());
                    changed.push(name);
                    self.tally.enter(Health::Pending);
                    Entry::new(config, self.dormant.remove(name), self.events.clone())
                }
            };
            (name.clone(), entry)
        });
        self.entries = entries.collect();
        self.publish_registry();
        for entry in changed
            .into_iter()
            .filter_map(|name| self.entries.get(name))
        {
            entry.tell(EventKind::Configured);
        }
        let mut revocable = Vec::new();
        for (name, mut entry) in gone {
            entry.tell(EventKind::Removed);
            self.awaited.remove(&name);
            self.retiring.add(&entry.config(), entry.stop_sinks());
            self.tally.leave(entry.status().health);
            let config = entry.config();
            match entry.record {
                Some(record) if config.revoke_on_removal => revocable.push((config, record)),
                Some(record) => {
                    self.dormant.insert(name, record);
                }
                None => {}
            }
        }
        self.await_required(&new);
        (new, revocable)
    }

    fn publish_registry(&self) {
        let receivers = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.subscribe()));
        self.registry.send_replace(Arc::new(receivers.collect()));
    }

    fn await_required(&mut self, new: &BTreeSet<TokenName>) {
        for name in new {
            if self
                .entries
                .get(name)
                .is_some_and(|entry| entry.config().required)
            {
                self.awaited.insert(name.clone());
            }
        }
    }

    /// Ends a token's outputs, to be started again with what is in their inputs now.
    pub(super) fn retire_sinks(&mut self, name: &TokenName) {
        if let Some(entry) = self.entries.get_mut(name) {
            self.retiring.add(&entry.config(), entry.stop_sinks());
        }
    }

    /// Starts the outputs of tokens that have none running, unless others still have their files. Restored
    /// tokens are published before this.
    pub(super) fn start_sinks(&mut self) {
        for entry in self.entries.values_mut() {
            let leaving = &self.retiring.files;
            entry.start_sinks(&self.environment, &self.reports, &self.consumers, leaving);
        }
    }

    /// Waits until all retired outputs have ended; for ever when none are left. Then others may start.
    pub(super) async fn retired(&mut self) {
        if self.retiring.tasks.is_empty() && self.retiring.files.is_empty() {
            return std::future::pending().await;
        }
        self.retiring.ended().await;
    }

    /// Publishes a durable token. Whether readers see it now.
    pub(super) fn publish(&mut self, now: Instant, name: &TokenName, published: Published) -> bool {
        let entry = self.entries.get(name);
        let seen = entry.is_some_and(|entry| entry.publish(now, published));
        self.check_ready(name);
        seen
    }

    /// What the requests of a token carry of others.
    pub(super) fn input_tokens_of(&self, token: &TokenConfig) -> InputTokens {
        let mut input_tokens = InputTokens::default();
        for parent in token.parents() {
            let record = self
                .entries
                .get(&parent.name)
                .and_then(|entry| entry.record.as_ref());
            if let Some(record) = record {
                input_tokens.add(&parent.name, parent.part, &record.token);
            }
        }
        input_tokens
    }

    /// Of a token that fails with one that it is made from: the first that fails by itself, and why.
    fn root_cause(&self, entry: &Entry, reason: Reason) -> Option<Arc<str>> {
        let (mut entry, mut reason) = (entry, reason);
        let mut cause = None;
        // The graph has no cycles: this ends.
        while reason == Reason::Parent {
            let parents = entry.config().parents();
            let failing = |parent: Parent| {
                let entry = self.entries.get(&parent.name)?;
                match entry.status().health {
                    Health::Failing { reason, .. } => Some((parent.name, entry, reason)),
                    Health::Fresh | Health::Pending => None,
                }
            };
            let (name, parent, why) = parents.into_iter().find_map(failing)?;
            (entry, reason) = (parent, why);
            cause = Some(name);
        }
        let at = cause?;
        Some(match entry.last_error() {
            Some(error) => format!("token {at}: {error}").into(),
            None => format!("token {at} is failing").into(),
        })
    }

    /// Takes note of what an output reports.
    pub(super) fn report(&mut self, report: Report) {
        let name = report.name.clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.report(report);
            self.check_ready(&name);
        }
    }

    fn check_ready(&mut self, name: &TokenName) {
        if self.entries.get(name).is_some_and(Entry::is_delivered) {
            self.awaited.remove(name);
        }
    }

    /// Stops all outputs, letting writes under way end.
    pub(super) async fn stop_sinks(&mut self) {
        let stops = self.entries.values_mut().filter_map(Entry::stop_sinks);
        let mut stopping: JoinSet<()> = stops.collect();
        while stopping.join_next().await.is_some() {}
        self.retiring.ended().await;
    }
}

/// Outputs that are no longer configured and have not ended yet.
#[derive(Default)]
struct Retiring {
    tasks: JoinSet<()>,
    /// Theirs. A new writer that did not wait for the old one could be overtaken by it.
    files: BTreeSet<PathBuf>,
    /// The files of the configuration in force: these stay.
    configured: watch::Sender<Arc<BTreeSet<PathBuf>>>,
}

impl Retiring {
    /// Once the outputs have ended, removes the files that nobody writes any more.
    fn add(
        &mut self,
        config: &Arc<TokenConfig>,
        ended: Option<impl Future<Output = ()> + Send + 'static>,
    ) {
        let mut config = TokenConfig::clone(config);
        self.files
            .extend(config.files.iter().map(|file| file.path.clone()));
        let configured = self.configured.subscribe();
        self.tasks.spawn(async move {
            if let Some(ended) = ended {
                ended.await;
            }
            let kept = Arc::clone(&configured.borrow());
            config.files.retain(|file| !kept.contains(&file.path));
            // Each failure is logged where it happens.
            let _ = spawn_blocking(move || sink::remove_files(&config)).await;
        });
    }

    async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.files.clear();
    }
}

impl Tally {
    pub(super) fn total(self) -> usize {
        self.fresh + self.failing + self.pending
    }

    fn count(&mut self, health: Health) -> &mut usize {
        match health {
            Health::Failing { .. } => &mut self.failing,
            Health::Fresh => &mut self.fresh,
            Health::Pending => &mut self.pending,
        }
    }

    fn enter(&mut self, health: Health) {
        *self.count(health) += 1;
    }

    fn leave(&mut self, health: Health) {
        *self.count(health) = self.count(health).saturating_sub(1);
    }
}
