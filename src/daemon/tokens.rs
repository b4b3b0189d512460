//! The configured tokens as the daemon holds them: what is durable, what readers see, what is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::config::{Environment, TokenConfig};
use crate::credential::{Token, TokenName};
use crate::instant::Instant;
use crate::refresh::{Health, Status};
use crate::sink::{self, Output, Report, Sinks};
use crate::store::{Published, Record, Registry, Standing, TokenView};

/// All configured tokens.
pub(super) struct Tokens {
    entries: BTreeMap<TokenName, Entry>,
    /// State of tokens that are not configured now: they may come back.
    dormant: BTreeMap<TokenName, Record>,
    registry: watch::Sender<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>,
    environment: Arc<Environment>,
    reports: mpsc::Sender<Report>,
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

/// One configured token.
pub(super) struct Entry {
    pub(super) record: Option<Record>,
    view: watch::Sender<TokenView>,
    sinks: Option<Sinks>,
    undelivered: BTreeSet<Output>,
    output_errors: BTreeMap<Output, Arc<str>>,
}

impl Tokens {
    pub(super) fn new(
        records: Vec<Record>,
        environment: Arc<Environment>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        Self {
            entries: BTreeMap::new(),
            dormant: records
                .into_iter()
                .map(|record| (record.name.clone(), record))
                .collect(),
            registry: watch::channel(Arc::default()).0,
            environment,
            reports,
            awaited: BTreeSet::new(),
            tally: Tally::default(),
        }
    }

    pub(super) fn registry(&self) -> Registry {
        self.registry.subscribe()
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

    pub(super) fn generation(&self, name: &TokenName) -> u64 {
        let record = self
            .entries
            .get(name)
            .and_then(|entry| entry.record.as_ref());
        record.map_or(0, |record| record.generation)
    }

    pub(super) fn set_status(&mut self, name: &TokenName, status: Status) {
        let Some(entry) = self.entries.get(name) else {
            return;
        };
        let before = entry.view.borrow().standing.status;
        if before != status {
            self.tally.leave(before.health);
            self.tally.enter(status.health);
            entry.view.send_modify(|view| view.standing.status = status);
        }
    }

    pub(super) fn withdraw(&self, name: &TokenName) {
        if let Some(entry) = self.entries.get(name) {
            entry.view.send_modify(|view| view.current = None);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TokenName, &Entry)> {
        self.entries.iter()
    }

    /// Whether every required token has been published and delivered once.
    pub(super) fn ready(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Takes over a configuration; returns the names that are new. Outputs that are no longer configured
    /// are removed, and so is nothing else.
    pub(super) fn configure(
        &mut self,
        tokens: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> Vec<TokenName> {
        let kept: BTreeSet<_> = tokens
            .values()
            .flat_map(|token| &token.files)
            .map(|file| &file.path)
            .collect();
        let mut gone = std::mem::take(&mut self.entries);
        let mut new = Vec::new();
        for (name, config) in tokens {
            let entry = match gone.remove(name) {
                Some(entry) => entry.reconfigured(config, &kept),
                None => {
                    new.push(name.clone());
                    self.tally.enter(Health::Pending);
                    Entry::new(config, self.dormant.remove(name))
                }
            };
            self.entries.insert(name.clone(), entry);
        }
        for (name, mut entry) in gone {
            self.awaited.remove(&name);
            entry.retire_sinks(&kept);
            self.tally.leave(entry.standing().status.health);
            if let Some(record) = entry.record {
                self.dormant.insert(name, record);
            }
        }
        self.await_required(&new);
        let receivers = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.view.subscribe()));
        self.registry.send_replace(Arc::new(receivers.collect()));
        new
    }

    fn await_required(&mut self, new: &[TokenName]) {
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

    /// Starts the outputs of tokens that have none running. Restored tokens are published before this.
    pub(super) fn start_sinks(&mut self) {
        for entry in self.entries.values_mut() {
            let config = entry.config();
            if entry.sinks.is_none() && !(config.files.is_empty() && config.hooks.is_empty()) {
                let view = entry.view.subscribe();
                entry.sinks = Some(sink::spawn(
                    view,
                    Arc::clone(&self.environment),
                    self.reports.clone(),
                ));
            }
        }
    }

    /// Publishes the durable token of this name.
    pub(super) fn publish(&mut self, name: &TokenName, now: Instant) {
        if let Some(entry) = self.entries.get(name) {
            entry.publish(now);
            self.check_ready(name);
        }
    }

    /// Takes note of what an output reports.
    pub(super) fn report(&mut self, report: Report) {
        let Report {
            name,
            output,
            result,
            ..
        } = report;
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        match result {
            Ok(()) => {
                entry.undelivered.remove(&output);
                entry.output_errors.remove(&output);
            }
            Err(error) => {
                entry.output_errors.insert(output, error);
            }
        }
        let errors: Vec<_> = entry.output_errors.values().cloned().collect();
        entry.view.send_if_modified(|view| {
            let differs = view.standing.output_errors != errors;
            view.standing.output_errors = errors;
            differs
        });
        self.check_ready(&name);
    }

    fn check_ready(&mut self, name: &TokenName) {
        if self.entries.get(name).is_some_and(Entry::is_delivered) {
            self.awaited.remove(name);
        }
    }

    /// Stops all outputs, letting a write under way end.
    pub(super) async fn stop_sinks(&mut self) {
        for sinks in self
            .entries
            .values_mut()
            .filter_map(|entry| entry.sinks.take())
        {
            sinks.stop().await;
        }
    }
}

impl Entry {
    fn new(config: &Arc<TokenConfig>, record: Option<Record>) -> Self {
        let status = Status {
            validity: None,
            health: Health::Pending,
            in_flight: false,
            next_attempt_at: None,
            failures: 0,
            attempts: 0,
        };
        let standing = Standing {
            status,
            last_error: None,
            output_errors: Vec::new(),
        };
        let view = TokenView {
            config: Arc::clone(config),
            current: None,
            standing,
        };
        Self {
            record,
            view: watch::channel(view).0,
            sinks: None,
            undelivered: outputs(config),
            output_errors: BTreeMap::new(),
        }
    }

    fn reconfigured(mut self, config: &Arc<TokenConfig>, kept: &BTreeSet<&PathBuf>) -> Self {
        let before = self.config();
        if before.files != config.files || before.hooks != config.hooks {
            self.retire_sinks(kept);
            self.undelivered = outputs(config);
            self.output_errors.clear();
        }
        self.view
            .send_modify(|view| view.config = Arc::clone(config));
        self
    }

    /// Ends the outputs, and removes the files that nobody writes any more.
    fn retire_sinks(&mut self, kept: &BTreeSet<&PathBuf>) {
        let mut config = TokenConfig::clone(&self.config());
        config.files.retain(|file| !kept.contains(&file.path));
        if let Some(sinks) = self.sinks.take() {
            tokio::spawn(async move {
                sinks.stop().await;
                // Each failure is logged where it happens.
                tokio::task::spawn_blocking(move || sink::remove_files(&config)).await
            });
        }
    }

    pub(super) fn config(&self) -> Arc<TokenConfig> {
        Arc::clone(&self.view.borrow().config)
    }

    /// Published, unexpired, and written to every file.
    pub(super) fn is_delivered(&self) -> bool {
        self.undelivered.is_empty() && self.view.borrow().current.is_some()
    }

    /// Whether an output cannot be served.
    pub(super) fn has_output_errors(&self) -> bool {
        !self.output_errors.is_empty()
    }

    pub(super) fn standing(&self) -> Standing {
        self.view.borrow().standing.clone()
    }

    /// Makes a new token the durable one; readers see it once it is published.
    pub(super) fn commit(&mut self, token: Token, identity: [u8; 16]) -> &Record {
        let old = self.record.take();
        let old = old.map(|old| (old.generation, old.quarantined_refresh_tokens));
        let (generation, quarantined_refresh_tokens) = old.unwrap_or_default();
        self.record.insert(Record {
            name: self.config().name.clone(),
            generation: generation + 1,
            identity,
            token: Arc::new(token),
            open_intent: None,
            quarantined_refresh_tokens,
        })
    }

    fn publish(&self, now: Instant) {
        let Some(record) = &self.record else { return };
        if record.token.validity.expires_at > now {
            let token = Arc::clone(&record.token);
            let published = Published {
                token,
                generation: record.generation,
            };
            self.view.send_modify(|view| view.current = Some(published));
        }
    }

    /// Notes that the refresh token is about to be used. `None` if there is none.
    pub(super) fn open_intent(&mut self, now: Instant) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        record.open_intent = Some(now);
        Some(record)
    }

    /// Notes that the refresh token has not been spent. `None` if nothing was open.
    pub(super) fn close_intent(&mut self) -> Option<&Record> {
        let record = self
            .record
            .as_mut()
            .filter(|record| record.open_intent.is_some())?;
        record.open_intent = None;
        Some(record)
    }

    /// Sets the refresh token aside. `None` if there is none.
    pub(super) fn quarantine_refresh_token(&mut self) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        record.quarantine_refresh_token();
        Some(record)
    }

    pub(super) fn set_error(&mut self, error: Option<Arc<str>>) {
        self.view.send_if_modified(|view| {
            let differs = view.standing.last_error != error;
            view.standing.last_error = error;
            differs
        });
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

fn outputs(config: &TokenConfig) -> BTreeSet<Output> {
    config
        .files
        .iter()
        .map(|file| Output::File(file.path.clone()))
        .collect()
}
