//! All tokens, and which of them are made from others: who waits for whom.
//!
//! A token whose parent is missing, or would not outlive its request, rests until the parent has
//! been replaced. A parent that fails takes those that wait for it along: their state is its state.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::{ErrorState, Use};
use super::policy::{Parent, Policy};
use super::slot::Slot;
use super::status::{Health, Reason};
use super::timers::Timers;
use crate::credential::TokenName;
use crate::instant::Instant;

/// All configured tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Boxed: a tree filled in order leaves half of each node empty.
    slots: BTreeMap<TokenName, Box<Slot>>,
    /// By parent, the tokens that are made from it.
    dependents: BTreeMap<TokenName, Vec<TokenName>>,
    timers: Timers<TokenName>,
    /// Tokens whose status has changed without an event or a command of their own.
    changed: VecDeque<TokenName>,
}

impl Tokens {
    /// The token of this name.
    pub(super) fn get(&self, name: &TokenName) -> Option<&Slot> {
        self.slots.get(name).map(|slot| &**slot)
    }

    /// The token of this name, to be changed. [`Tokens::arm`] is to follow.
    pub(super) fn get_mut(&mut self, name: &TokenName) -> Option<&mut Slot> {
        self.slots.get_mut(name).map(|slot| &mut **slot)
    }

    /// Changes a token and its timer.
    pub(super) fn change<T>(
        &mut self,
        name: &TokenName,
        change: impl FnOnce(&mut Slot) -> T,
    ) -> Option<T> {
        let changed = change(self.slots.get_mut(name)?);
        self.arm(name);
        Some(changed)
    }

    /// Takes in a new token.
    pub(super) fn insert(&mut self, name: TokenName, slot: Slot) {
        self.slots.insert(name.clone(), Box::new(slot));
        self.arm(&name);
    }

    /// Forgets a token.
    pub(super) fn remove(&mut self, name: &TokenName) {
        if let Some(mut slot) = self.slots.remove(name) {
            self.timers.arm(&mut slot.armed, None, || name.clone());
        }
    }

    /// The tokens that are not configured any more.
    pub(super) fn missing_from(&self, policies: &BTreeMap<TokenName, Policy>) -> Vec<TokenName> {
        let names = self.slots.keys();
        let gone = names.filter(|name| !policies.contains_key(*name));
        gone.cloned().collect()
    }

    /// Learns who is made from whom, after the configuration has changed.
    pub(super) fn link(&mut self) {
        self.dependents.clear();
        for (name, slot) in &self.slots {
            for parent in &slot.policy.parents {
                let dependents = self.dependents.entry(parent.name.clone());
                dependents.or_default().push(name.clone());
            }
        }
    }

    /// Sets the timer of a token that has changed.
    pub(super) fn arm(&mut self, name: &TokenName) {
        if let Some(slot) = self.slots.get_mut(name) {
            let wake = slot.wake();
            self.timers.arm(&mut slot.armed, wake, || name.clone());
        }
    }

    /// When the first timer of a token goes off.
    pub(super) fn first_timer(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Takes out the first token whose timer has gone off.
    pub(super) fn pop_reached(&mut self, now: Instant) -> Option<TokenName> {
        let name = self.timers.pop_reached(now)?;
        if let Some(slot) = self.slots.get_mut(&name) {
            slot.armed = None;
        }
        Some(name)
    }

    /// The status of a token has changed, and nothing else says so.
    pub(super) fn mark_changed(&mut self, name: &TokenName) {
        self.changed.push_back(name.clone());
    }

    /// A token whose status has changed without an event or a command of its own.
    pub(super) fn pop_changed(&mut self) -> Option<TokenName> {
        self.changed.pop_front()
    }

    /// By which grant the next request of a token goes, or why there is none.
    pub(super) fn next_use(&self, now: Instant, slot: &Slot) -> Result<Use, Obstacle> {
        let by = slot.next_use(now)?;
        let supplied = |parent: &Parent| {
            let other = self.slots.get(&parent.name);
            let lead = slot.policy.deadline;
            other.is_some_and(|other| other.ways.supplies(parent.part, now, lead))
        };
        let lacking = |by| {
            let needed = slot.policy.parents.iter();
            let mut needed = needed.filter(|parent| by == Use::Primary || parent.on_refresh);
            needed.find(|parent| !supplied(parent))
        };
        // What is to follow a parent that is away lives on by its own refresh token.
        let alone = slot.ways.is_to_renew()
            && slot.ways.is_refreshable(now)
            && lacking(Use::RefreshToken).is_none();
        match lacking(by) {
            None => Ok(by),
            Some(_) if alone => Ok(Use::RefreshToken),
            Some(parent) => Err(Obstacle::Parent(parent.clone())),
        }
    }

    /// A token that is due has to wait.
    pub(super) fn block(&mut self, now: Instant, name: &TokenName, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Person(state, reason) => {
                if let Some(slot) = self.slots.get_mut(name) {
                    slot.stuck(state, reason);
                }
            }
            Obstacle::Parent(parent) => self.await_parent(now, name, parent),
        }
        self.mark_changed(name);
        self.fail_dependents(name);
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
            self.mark_changed(&waiting);
            self.fail_dependents(&waiting);
        }
    }

    /// A token was replaced: those that are made from it may go on, or follow.
    pub(super) fn parent_replaced(&mut self, now: Instant, name: &TokenName) {
        let dependents = self.dependents.get(name).cloned().unwrap_or_default();
        for dependent in dependents {
            self.change(&dependent, |slot| slot.parent_replaced(now, name));
        }
    }

    /// A server refused what a token is made from, though it has not expired. The first time this
    /// happens, the parents are replaced.
    pub(super) fn refresh_parents(&mut self, now: Instant, name: &TokenName) {
        let slot = self.get(name);
        let Some(slot) = slot.filter(|slot| slot.pace.failures() == 1) else {
            return;
        };
        let sent_at = slot.pace.sent_at();
        for parent in slot.policy.parents.clone() {
            let older = |other: &Slot| other.ways.obtained_at().is_some_and(|at| at <= sent_at);
            // One that only a person can replace lives on as it is.
            let replaceable =
                |other: &Slot| other.health == Health::Fresh && other.next_use(now).is_ok();
            let other = self.get(&parent.name);
            if other.is_some_and(|other| older(other) && replaceable(other)) {
                self.change(&parent.name, |other| other.requested(now));
                self.change(name, |slot| slot.await_parent(parent.name, None));
            }
        }
    }

    fn await_parent(&mut self, now: Instant, name: &TokenName, parent: Parent) {
        let Some(other) = self.slots.get_mut(&parent.name) else {
            return;
        };
        // A refresh that brings no other ID token leaves the one held, which may have ended before.
        let lacking = other.ways.held.is_some_and(|held| {
            now - held.obtained_at() < JUST_NOW && !held.came_with(parent.part)
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
        self.arm(&parent.name);
        if let Some(slot) = self.slots.get_mut(name) {
            slot.await_parent(parent.name, blame);
        }
    }

    fn waiting_for(&self, name: &TokenName) -> Vec<TokenName> {
        let waits = |dependent: &&TokenName| {
            let slot = self.slots.get(*dependent);
            slot.is_some_and(|slot| slot.is_waiting_for(name))
        };
        let dependents = self.dependents.get(name).into_iter().flatten();
        dependents.filter(waits).cloned().collect()
    }
}

/// What keeps a token that is due from being requested.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// There is no way to the token without a person.
    Person(ErrorState, Reason),
    /// A parent has to be replaced first.
    Parent(Parent),
}

impl From<(ErrorState, Reason)> for Obstacle {
    fn from((state, reason): (ErrorState, Reason)) -> Self {
        Self::Person(state, reason)
    }
}

/// A parent as young as this is not replaced for want of a part.
const JUST_NOW: Duration = Duration::from_secs(10);
