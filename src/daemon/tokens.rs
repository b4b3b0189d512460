//! The configured tokens as the daemon holds them: what is durable, what readers see, what is
//! delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Health, Parent, Reason, Restored, Status};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::TokenConfig;
use crate::oauth::InputTokens;
use crate::sink::Report;
use crate::store::{EventBus, Published, Record, Registry, TokenView};

use super::entry::Entry;
use super::outputs::Outputs;
use super::tally::Tally;

/// All configured tokens.
pub(super) struct Tokens {
    entries: BTreeMap<TokenName, Entry>,
    /// The records of tokens that are not configured now: they may come back.
    dormant: BTreeMap<TokenName, Record>,
    registry: watch::Sender<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>,
    events: EventBus,
    outputs: Outputs,
    /// Required tokens that have not been published and delivered yet.
    awaited: BTreeSet<TokenName>,
    tally: Tally,
}

/// What a new configuration means for the tokens.
pub(super) struct Configured {
    /// The names that were not configured before.
    pub(super) new: BTreeSet<TokenName>,
    /// The tokens that are no longer configured and are to be revoked.
    pub(super) revocable: Vec<(Arc<TokenConfig>, Record)>,
}

impl Tokens {
    pub(super) fn new(records: Vec<Record>, outputs: Outputs) -> Self {
        Self {
            entries: BTreeMap::new(),
            dormant: records
                .into_iter()
                .map(|record| (record.name.clone(), record))
                .collect(),
            registry: watch::channel(Arc::default()).0,
            events: EventBus::default(),
            outputs,
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

    /// Takes over what the core says of a token, and why it fails, if it does: because a token
    /// fails that it is made from, by this error, or as before. Readers see both at once.
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
        entry.publisher().set_status(status, error);
    }

    /// The tokens from this name on; all of them without a name.
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
        self.entries.get(name)?.held().generation()
    }

    /// Forgets what a token holds, be it configured or not.
    pub(super) fn forget(&mut self, name: &TokenName) {
        self.dormant.remove(name);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.held_mut().forget();
        }
    }

    /// Takes over a configuration. Outputs that are no longer configured are removed, and nothing
    /// else is.
    pub(super) fn configure(
        &mut self,
        tokens: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> Configured {
        self.outputs.configure(tokens);
        let mut gone = std::mem::take(&mut self.entries);
        let mut new = BTreeSet::new();
        let mut changed = Vec::new();
        for (name, config) in tokens {
            let entry = match gone.remove(name) {
                Some(mut entry) => {
                    if !Arc::ptr_eq(&entry.config(), config) {
                        changed.push(name);
                    }
                    self.reconfigure(&mut entry, config);
                    entry
                }
                None => {
                    new.insert(name.clone());
                    changed.push(name);
                    self.tally.enter(Health::Pending);
                    Entry::new(config, self.dormant.remove(name), self.events.clone())
                }
            };
            self.entries.insert(name.clone(), entry);
        }
        self.publish_registry();
        for entry in changed
            .into_iter()
            .filter_map(|name| self.entries.get(name))
        {
            entry.publisher().tell_configured();
        }
        let revocable = gone
            .into_iter()
            .filter_map(|(name, entry)| self.remove(name, entry))
            .collect();
        self.await_required(&new);
        Configured { new, revocable }
    }

    fn reconfigure(&mut self, entry: &mut Entry, config: &Arc<TokenConfig>) {
        let before = entry.config();
        if entry.configure(config) {
            self.outputs.retire(&before, entry.stop_outputs());
        }
    }

    /// Sees a token off that is no longer configured. Returns what is to be revoked of it.
    fn remove(&mut self, name: TokenName, mut entry: Entry) -> Option<(Arc<TokenConfig>, Record)> {
        entry.publisher().tell_removed();
        self.awaited.remove(&name);
        let config = entry.config();
        self.outputs.retire(&config, entry.stop_outputs());
        self.tally.leave(entry.status().health);
        let record = entry.into_record()?;
        if config.revoke_on_removal {
            return Some((config, record));
        }
        self.dormant.insert(name, record);
        None
    }

    fn publish_registry(&self) {
        let receivers = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.publisher().subscribe()));
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
    pub(super) fn retire_outputs(&mut self, name: &TokenName) {
        if let Some(entry) = self.entries.get_mut(name) {
            self.outputs.retire(&entry.config(), entry.stop_outputs());
        }
    }

    /// Starts the outputs of tokens that have none running, unless others still have their files.
    /// Restored tokens are published before this.
    pub(super) fn start_outputs(&mut self) {
        for entry in self.entries.values_mut() {
            entry.start_outputs(&self.outputs);
        }
    }

    /// Waits until all retired outputs have ended; for ever when none are left. Then others may
    /// start.
    pub(super) async fn retired(&mut self) {
        if !self.outputs.are_retiring() {
            return std::future::pending().await;
        }
        self.outputs.ended().await;
    }

    /// Publishes a durable token. Whether readers see it now.
    pub(super) fn publish(&mut self, now: Instant, name: &TokenName, published: Published) -> bool {
        let entry = self.entries.get(name);
        let seen = entry.is_some_and(|entry| entry.publisher().publish(now, published));
        self.check_ready(name);
        seen
    }

    /// Takes a token from its readers: it has expired, and there is no other.
    pub(super) fn withdraw(&self, name: &TokenName) {
        if let Some(entry) = self.entries.get(name) {
            if entry.held().record().is_some() {
                warn!(token = %name, "expired without a replacement");
            }
            entry.publisher().withdraw();
        }
    }

    /// Publishes what an earlier run left of a token. Returns what the core is to know of it;
    /// `None` if nothing was left.
    pub(super) fn restore(&mut self, now: Instant, name: &TokenName) -> Option<Restored> {
        let entry = self.entries.get(name)?;
        let restored = entry.restored()?;
        let published = Published::from(entry.held().record()?);
        let generation = published.generation;
        if self.publish(now, name, published) {
            info!(token = %name, generation, "restored");
        }
        Some(restored)
    }

    /// What the requests of a token carry of others.
    pub(super) fn input_tokens_of(&self, token: &TokenConfig) -> InputTokens {
        let mut input_tokens = InputTokens::default();
        for parent in token.parents() {
            let record = self
                .entries
                .get(&parent.name)
                .and_then(|entry| entry.held().record());
            if let Some(record) = record {
                input_tokens.add(&parent.name, parent.part, &record.token);
            }
        }
        input_tokens
    }

    /// Why a token fails that fails with one that it is made from: the first of those that fails by
    /// itself, and its error.
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
    pub(super) async fn stop_outputs(&mut self) {
        let stops = self.entries.values_mut().filter_map(Entry::stop_outputs);
        let mut stopping: JoinSet<()> = stops.collect();
        while stopping.join_next().await.is_some() {}
        self.outputs.ended().await;
    }
}
