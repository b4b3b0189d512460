//! One configured token as the daemon holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::config::{Environment, TokenConfig};
use crate::credential::Token;
use crate::instant::Instant;
use crate::refresh::{Health, Status};
use crate::sink::{self, Output, Report, Sinks};
use crate::store::{Published, Record, Standing, TokenView};

/// One configured token.
pub(super) struct Entry {
    pub(super) record: Option<Record>,
    view: watch::Sender<TokenView>,
    sinks: Option<Sinks>,
    undelivered: BTreeSet<Output>,
    output_errors: BTreeMap<Output, Arc<str>>,
}

impl Entry {
    pub(super) fn new(config: &Arc<TokenConfig>, record: Option<Record>) -> Self {
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

    pub(super) fn reconfigured(
        mut self,
        config: &Arc<TokenConfig>,
        kept: &BTreeSet<&PathBuf>,
    ) -> Self {
        let before = self.config();
        if Arc::ptr_eq(&before, config) {
            return self;
        }
        if before.files != config.files || before.hooks != config.hooks {
            self.retire_sinks(kept);
            self.undelivered = outputs(config);
            self.output_errors.clear();
        }
        self.view
            .send_modify(|view| view.config = Arc::clone(config));
        self
    }

    /// Starts the outputs, if there are any and they are not running. A restored token is published before.
    pub(super) fn start_sinks(
        &mut self,
        environment: &Arc<Environment>,
        reports: &mpsc::Sender<Report>,
    ) {
        let config = self.config();
        if self.sinks.is_none() && !(config.files.is_empty() && config.hooks.is_empty()) {
            let view = self.subscribe();
            self.sinks = Some(sink::spawn(view, Arc::clone(environment), reports.clone()));
        }
    }

    /// Ends the outputs, letting a write under way end.
    pub(super) fn stop_sinks(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        self.sinks.take().map(Sinks::stop)
    }

    /// Takes note of what an output reports.
    pub(super) fn report(&mut self, report: Report) {
        match report.result {
            Ok(()) => {
                self.undelivered.remove(&report.output);
                self.output_errors.remove(&report.output);
            }
            Err(error) => {
                self.output_errors.insert(report.output, error);
            }
        }
        let errors: Vec<_> = self.output_errors.values().cloned().collect();
        self.view.send_if_modified(|view| {
            let differs = view.standing.output_errors != errors;
            view.standing.output_errors = errors;
            differs
        });
    }

    /// Ends the outputs, and removes the files that nobody writes any more.
    pub(super) fn retire_sinks(&mut self, kept: &BTreeSet<&PathBuf>) {
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

    pub(super) fn status(&self) -> Status {
        self.view.borrow().standing.status
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

    pub(super) fn publish(&self, now: Instant) {
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

    pub(super) fn subscribe(&self) -> watch::Receiver<TokenView> {
        self.view.subscribe()
    }

    pub(super) fn set_status(&self, status: Status) {
        self.view.send_modify(|view| view.standing.status = status);
    }

    pub(super) fn withdraw(&self) {
        self.view.send_modify(|view| view.current = None);
    }

    pub(super) fn set_error(&mut self, error: Option<Arc<str>>) {
        self.view.send_if_modified(|view| {
            let differs = view.standing.last_error != error;
            view.standing.last_error = error;
            differs
        });
    }
}

fn outputs(config: &TokenConfig) -> BTreeSet<Output> {
    config
        .files
        .iter()
        .map(|file| Output::File(file.path.clone()))
        .collect()
}
