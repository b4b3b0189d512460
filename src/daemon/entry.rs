//! One configured token: what is held of it, what readers see, and its outputs.

use std::sync::Arc;

use bearerd_core::refresh::{Restored, Status};

use crate::config::TokenConfig;
use crate::sink::Report;
use crate::store::{EventBus, Publisher, Record, TokenView};
use crate::token::Token;

use super::delivery::Delivery;
use super::held::Held;
use super::outputs::Outputs;

/// One configured token.
pub(super) struct Entry {
    held: Held,
    publisher: Publisher,
    delivery: Delivery,
}

impl Entry {
    pub(super) fn new(config: &Arc<TokenConfig>, record: Option<Record>, events: EventBus) -> Self {
        Self {
            held: Held::new(record),
            publisher: Publisher::new(TokenView::pending(Arc::clone(config)), events),
            delivery: Delivery::new(config),
        }
    }

    /// Takes over another configuration. Returns whether the outputs are others now.
    pub(super) fn configure(&mut self, config: &Arc<TokenConfig>) -> bool {
        let before = self.config();
        if Arc::ptr_eq(&before, config) {
            return false;
        }
        let others = before.files != config.files || before.hooks != config.hooks;
        if others {
            self.delivery.configure(config);
        }
        self.publisher.configure(Arc::clone(config));
        others
    }

    pub(super) fn config(&self) -> Arc<TokenConfig> {
        Arc::clone(&self.publisher.view().config)
    }

    pub(super) fn status(&self) -> Status {
        self.publisher.view().standing.status
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.publisher.view().standing.last_error.clone()
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    pub(super) fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    pub(super) fn into_record(self) -> Option<Record> {
        self.held.into_record()
    }

    pub(super) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Adds to a new token what its reply may leave out.
    pub(super) fn completed(&self, token: Token) -> Token {
        self.held.completed(&self.config(), token)
    }

    /// Makes a new token the one held. Readers see it once it is published.
    pub(super) fn commit(&mut self, token: Token, window_fixed: bool) -> &Record {
        let config = self.config();
        self.held.commit(&config, token, window_fixed)
    }

    /// What the core is to know of the token that an earlier run left. `None` if it left none.
    pub(super) fn restored(&self) -> Option<Restored> {
        let record = self.held.record()?;
        Some(Restored {
            validity: record.token.validity,
            current: self.config().identity == record.identity,
            open_intent: record.open_intent.is_some(),
            window_fixed: record.window_fixed,
        })
    }

    /// Starts the outputs, if there are any, they are not running, and nobody who leaves still has
    /// their files.
    pub(super) fn start_outputs(&mut self, outputs: &Outputs) {
        if !self.delivery.is_running() {
            self.delivery.run(outputs.start(self.publisher.subscribe()));
        }
    }

    /// Ends the outputs, letting a write under way end.
    pub(super) fn stop_outputs(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        self.delivery.stop()
    }

    /// Takes note of what an output reports.
    pub(super) fn report(&mut self, report: Report) {
        if let Some(errors) = self.delivery.note(&self.config(), report) {
            self.publisher.set_output_errors(errors);
        }
    }

    /// Whether the token is published, has not expired, and is written to every file.
    pub(super) fn is_delivered(&self) -> bool {
        self.delivery.is_complete() && self.publisher.view().current.is_some()
    }

    /// Whether an output cannot be served.
    pub(super) fn has_output_errors(&self) -> bool {
        self.delivery.has_errors()
    }
}
