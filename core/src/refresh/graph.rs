//! Tokens that are made from other tokens: who waits for whom.
//!
//! A token whose parent is missing, or would not outlive its request, rests until the parent has been
//! replaced. A parent that fails takes those that wait for it along: their state is its state.

use std::time::Duration;

use super::event::{ErrorState, Use};
use super::policy::Parent;
use super::scheduler::Scheduler;
use super::slot::{Phase, Slot};
use super::status::{Health, Reason};
use crate::credential::TokenName;
use crate::instant::Instant;

/// What keeps a token that is due from being requested.
pub(super) enum Obstacle {
    /// There is no way to it without a person.
    Person(ErrorState, Reason),
    /// A parent has to be replaced first.
    Parent(Parent),
}

impl Scheduler {
    /// By which grant the next request of a token goes, or why there is none.
    pub(super) fn next_use(&self, now: Instant, slot: &Slot) -> Result<Use, Obstacle> {
        let by = slot
            .next_use(now)
            .map_err(|(state, reason)| Obstacle::Person(state, reason))?;
        let supplied = |parent: &Parent| {
            let other = self.slots.get(&parent.name);
            other.is_some_and(|other| other.supplies(parent.part, now, slot.policy.deadline))
        };
        let lacking = |by| {
            let needed = slot.policy.parents.iter();
            let mut needed = needed.filter(|parent| by == Use::Primary || parent.on_refresh);
            needed.find(|parent| !supplied(parent))
        };
        // What is to follow a parent that is away lives on by its own refresh token.
        let alone = slot.renew && slot.is_refreshable(now) && lacking(Use::RefreshToken).is_none();
        match lacking(by) {
            None => Ok(by),
            Some(_) if alone => Ok(Use::RefreshToken),
            Some(parent) => Err(Obstacle::Parent(parent.clone())),
        }
    }

    /// A token that is due has to wait.
    pub(super) fn blocked(&mut self, now: Instant, name: &TokenName, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Person(state, reason) => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.stuck(state, reason);
                }
            }
            Obstacle::Parent(parent) => self.await_parent(now, name, parent),
        }
        self.changed.push_back(name.clone());
        self.fail_dependents(name);
    }

    fn await_parent(&mut self, now: Instant, name: &TokenName, parent: Parent) {
        let Some(other) = self.slots.get_mut(&parent.name) else {
            return;
        };
        // A refresh that brings no other ID token leaves the one held, which may have ended before.
        let lacking = other.held.is_some_and(|held| {
            let came_with_it = other.supplies(parent.part, held.obtained_at, Duration::ZERO);
            now - held.obtained_at < JUST_NOW && !came_with_it
        });
        let blame = match other.health {
            Health::Failing { state, .. } => Some((state, Reason::Parent)),
            // What has just been brought lacks it, and so would the next one.
            Health::Fresh if lacking => Some((ErrorState::FixConfig, Reason::ParentLacksPart)),
            // One that fails has a schedule of its own.
            Health::Fresh | Health::Pending => {
                other.requested(now);
                None
            }
        };
        self.arm_token(&parent.name);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.await_parent(parent.name, blame);
        }
    }

    /// Those that wait for a failing token fail with it.
    pub(super) fn fail_dependents(&mut self, name: &TokenName) {
        let Some(Health::Failing { state, .. }) = self.slots.get(name).map(|slot| slot.health)
        else {
            return;
        };
        for waiting in self.waiting_for(name) {
            if let Some(slot) = self.slots.get_mut(&waiting) {
                slot.health = Health::Failing {
                    state,
                    reason: Reason::Parent,
                };
            }
            self.changed.push_back(waiting.clone());
            self.fail_dependents(&waiting);
        }
    }

    /// A token was replaced: those that are made from it may go on, or follow.
    pub(super) fn parent_replaced(&mut self, now: Instant, name: &TokenName) {
        let dependents = self.dependents.get(name).cloned().unwrap_or_default();
        for dependent in dependents {
            self.with_slot(&dependent, |slot| slot.parent_replaced(now, name));
        }
    }

    /// A server refused what a token is made from, unexpired as it is: at the first time that is replaced.
    pub(super) fn refresh_parents(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.slots.get(name).filter(|slot| slot.failures == 1) else {
            return;
        };
        let sent_at = slot.sent_at.unwrap_or_default();
        for parent in slot.policy.parents.clone() {
            let older = |other: &Slot| other.held.is_some_and(|held| held.obtained_at <= sent_at);
            let other = self.slots.get(&parent.name);
            // One that only a person can replace lives on as it is.
            let replaceable =
                |other: &Slot| other.health == Health::Fresh && other.next_use(now).is_ok();
            if other.is_some_and(|other| older(other) && replaceable(other)) {
                self.with_slot(&parent.name, |other| other.requested(now));
                self.with_slot(name, |slot| slot.await_parent(parent.name, None));
            }
        }
    }

    /// Whose parents are which, after the configuration has changed.
    pub(super) fn link(&mut self) {
        self.dependents.clear();
        for (name, slot) in &self.slots {
            for parent in &slot.policy.parents {
                self.dependents
                    .entry(parent.name.clone())
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

/// A parent as young as this is not replaced for want of a part.
const JUST_NOW: Duration = Duration::from_secs(10);
