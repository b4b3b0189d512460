//! The core at work: it is told what happens, and what it says of a token reaches readers at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Command, Event, Scheduler, Status};
use tracing::warn;

use crate::api::code::State;
use crate::clock;
use crate::config::TokenConfig;

use super::tokens::Tokens;

/// The owner of the core.
pub(super) struct Schedule {
    scheduler: Scheduler,
}

impl Schedule {
    /// `seed` decides by how much requests are spread.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(seed),
        }
    }

    /// Takes over the policies of the tokens that are configured.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        tokens: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) {
        let policies = tokens
            .iter()
            .map(|(name, token)| (name.clone(), token.policy()))
            .collect();
        self.scheduler.configure(now, policies);
    }

    /// When the core wants to be woken.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.scheduler.poll_timeout()
    }

    /// Wakes the core if that is due.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.wakes_at().is_some_and(|at| at <= now) {
            self.scheduler.handle_timeout(now);
        }
    }

    /// What is to be done next.
    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.scheduler.poll_command()
    }

    /// A number for an attempt that the core has not commanded.
    pub(super) fn begin_attempt(&mut self) -> AttemptId {
        self.scheduler.begin_attempt()
    }

    pub(super) fn status(&self, name: &TokenName) -> Option<Status> {
        self.scheduler.status(name)
    }

    /// Tells the core what has happened.
    pub(super) fn handle(&mut self, now: Instant, event: Event, tokens: &mut Tokens) {
        let name = event.name().clone();
        self.scheduler.handle_event(now, event);
        self.show(&name, tokens);
    }

    /// Tells the core of an attempt that failed, for the reason in `error`.
    pub(super) fn fail(&mut self, now: Instant, failed: Event, error: &str, tokens: &mut Tokens) {
        let name = failed.name().clone();
        self.scheduler.handle_event(now, failed);
        self.show_failure(now, &name, error, tokens);
    }

    /// Shows how a token stands.
    pub(super) fn show(&self, name: &TokenName, tokens: &mut Tokens) {
        if let Some(status) = self.scheduler.status(name) {
            tokens.set_status(name, status, None);
        }
    }

    /// Shows the tokens that stand otherwise than before without having been told of themselves.
    pub(super) fn show_changed(&mut self, tokens: &mut Tokens) {
        while let Some(name) = self.scheduler.poll_changed() {
            self.show(&name, tokens);
        }
    }

    /// Shows and logs why an attempt has failed.
    pub(super) fn show_failure(
        &self,
        now: Instant,
        name: &TokenName,
        error: &str,
        tokens: &mut Tokens,
    ) {
        let (Some(entry), Some(status)) = (tokens.get(name), self.scheduler.status(name)) else {
            return;
        };
        let client = entry.config().client.as_ref().map(|c| c.name.clone());
        tokens.set_status(name, status, Some(error.into()));
        let failures = status.failures;
        let state = State::of_health(status.health, false).as_str();
        let retry_at = status.next_attempt_at.map(|at| clock::utc(now, at));
        let retry_at = retry_at.map(|at| at.to_string());
        warn!(token = %name, client, state, error, failures, retry_at, "not obtained");
    }
}
