//! Tokens that are made from other tokens: who waits for whom.
//!
//! A token whose source is missing, or would not outlive its request, rests until the source has been
//! replaced. A source that fails takes those that wait for it along: their state is its state.

use std::time::Duration;

use super::event::{ErrorState, Use};
use super::policy::Source;
use super::scheduler::Scheduler;
use super::slot::{Phase, Slot};
use super::status::{Health, Reason};
use crate::credential::TokenName;
use crate::instant::Instant;

/// What keeps a token that is due from being requested.
pub(super) enum Obstacle {
    /// There is no way to it without a person.
    Person(ErrorState, Reason),
    /// A source has to be replaced first.
    Source(Source),
}

impl Scheduler {
    /// By which grant the next request of a token goes, or why there is none.
    pub(super) fn next_use(&self, now: Instant, slot: &Slot) -> Result<Use, Obstacle> {
        let by = slot
            .next_use(now)
            .map_err(|(state, reason)| Obstacle::Person(state, reason))?;
        let supplied = |source: &Source| {
            let other = self.slots.get(&source.name);
            other.is_some_and(|other| other.supplies(source.part, now, slot.policy.deadline))
        };
        let lacking = |by| {
            let needed = slot.policy.sources.iter();
            let mut needed = needed.filter(|source| by == Use::Primary || source.on_refresh);
            needed.find(|source| !supplied(source))
        };
        // What is to follow a source that is away lives on by its own refresh token.
        let alone = slot.renew && slot.is_refreshable(now) && lacking(Use::RefreshToken).is_none();
        match lacking(by) {
            None => Ok(by),
            Some(_) if alone => Ok(Use::RefreshToken),
            Some(source) => Err(Obstacle::Source(source.clone())),
        }
    }

    /// A token that is due has to wait.
    pub(super) fn hindered(&mut self, now: Instant, name: &TokenName, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Person(state, reason) => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.stuck(state, reason);
                }
            }
            Obstacle::Source(source) => self.await_source(now, name, source),
        }
        self.changed.push_back(name.clone());
        self.take_along(name);
    }

    fn await_source(&mut self, now: Instant, name: &TokenName, source: Source) {
        let Some(other) = self.slots.get_mut(&source.name) else {
            return;
        };
        // A refresh that brings no other ID token leaves the one held, which may have ended before.
        let lacking = other.held.is_some_and(|held| {
            let came_with_it = other.supplies(source.part, held.obtained_at, Duration::ZERO);
            now - held.obtained_at < JUST_NOW && !came_with_it
        });
        let blame = match other.health {
            Health::Failing { state, .. } => Some((state, Reason::Source)),
            // What has just been brought lacks it, and so would the next one.
            Health::Fresh if lacking => Some((ErrorState::FixConfig, Reason::SourceLacksPart)),
            // One that fails has a schedule of its own.
            Health::Fresh | Health::Pending => {
                other.requested(now);
                None
            }
        };
        self.arm_token(&source.name);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.await_source(source.name, blame);
        }
    }

    /// Those that wait for a failing token fail with it.
    pub(super) fn take_along(&mut self, name: &TokenName) {
        let Some(Health::Failing { state, .. }) = self.slots.get(name).map(|slot| slot.health)
        else {
            return;
        };
        for waiting in self.waiting_for(name) {
            if let Some(slot) = self.slots.get_mut(&waiting) {
                slot.health = Health::Failing {
                    state,
                    reason: Reason::Source,
                };
            }
            self.changed.push_back(waiting.clone());
            self.take_along(&waiting);
        }
    }

    /// A token was replaced: those that are made from it may go on, or follow.
    pub(super) fn source_replaced(&mut self, now: Instant, name: &TokenName) {
        let dependents = self.dependents.get(name).cloned().unwrap_or_default();
        for dependent in dependents {
            self.with_slot(&dependent, |slot| slot.source_replaced(now, name));
        }
    }

    /// A server refused what a token is made from, unexpired as it is: at the first time that is replaced.
    pub(super) fn distrust_sources(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.slots.get(name).filter(|slot| slot.failures == 1) else {
            return;
        };
        let sent_at = slot.sent_at.unwrap_or_default();
        for source in slot.policy.sources.clone() {
            let older = |other: &Slot| other.held.is_some_and(|held| held.obtained_at <= sent_at);
            let other = self.slots.get(&source.name);
            // One that only a person can replace lives on as it is.
            let replaceable =
                |other: &Slot| other.health == Health::Fresh && other.next_use(now).is_ok();
            if other.is_some_and(|other| older(other) && replaceable(other)) {
                self.with_slot(&source.name, |other| other.requested(now));
                self.with_slot(name, |slot| slot.await_source(source.name, None));
            }
        }
    }

    /// Whose sources are which, after the configuration has changed.
    pub(super) fn link(&mut self) {
        self.dependents.clear();
        for (name, slot) in &self.slots {
            for source in &slot.policy.sources {
                self.dependents
                    .entry(source.name.clone())
                    .or_default()
                    .push(name.clone());
            }
        }
    }

    fn waiting_for(&self, name: &TokenName) -> Vec<TokenName> {
        let waits = |dependent: &&TokenName| {
            let slot = self.slots.get(*dependent);
            slot.is_some_and(|slot| {
                slot.awaits.as_ref() == Some(name) && slot.phase == Phase::Resting(None)
            })
        };
        let dependents = self.dependents.get(name).into_iter().flatten();
        dependents.filter(waits).cloned().collect()
    }
}

/// A source as young as this is not replaced for want of a part.
const JUST_NOW: Duration = Duration::from_secs(10);
