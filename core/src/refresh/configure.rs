//! A new configuration: what is new is due, what is gone vanishes, what is the same is left alone.

use std::collections::BTreeMap;

use super::event::{AttemptId, Command};
use super::limiter::{Server, limits_by_server};
use super::policy::Policy;
use super::prng::stable_hash;
use super::scheduler::Scheduler;
use super::slot::{Phase, Slot};
use super::timers::Key;
use crate::credential::TokenName;
use crate::instant::Instant;

impl Scheduler {
    /// Replaces the configuration. New tokens are due now, removed ones vanish, what is unchanged is
    /// left alone.
    pub fn configure(&mut self, now: Instant, policies: BTreeMap<TokenName, Policy>) {
        let gone = self
            .slots
            .keys()
            .filter(|name| !policies.contains_key(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.detach(now, &name);
            if let Some(mut slot) = self.slots.remove(&name) {
                self.timers.arm(&mut slot.armed, None, || Key::Token(name));
            }
        }
        let limits = limits_by_server(&policies);
        for (name, mut policy) in policies {
            if let Some((shared, _)) = limits.get_key_value(&policy.server) {
                // One text for each server, not for each token.
                policy.server = shared.clone();
            }
            self.configure_token(now, &name, policy);
            self.arm_token(&name);
        }
        self.link();
        // Nobody waits for one without tokens, so it has no timer. What it asked for is remembered, lest a
        // token that is taken out and put back bring it down again.
        self.servers
            .retain(|id, server| limits.contains_key(id) || server.is_paused(now));
        for (id, limits) in limits {
            self.servers
                .entry(id.clone())
                .or_insert_with(|| Server::new(limits))
                .limit(limits);
            self.wake_server(now, &id);
        }
    }

    fn configure_token(&mut self, now: Instant, name: &TokenName, policy: Policy) {
        let first = AttemptId(self.next_attempt);
        let Some(old) = self.slots.get(name).map(|slot| &slot.policy) else {
            let slot = Slot::new(policy, now, first, stable_hash(self.seed, name));
            self.slots.insert(name.clone(), Box::new(slot));
            return;
        };
        if *old == policy {
            return;
        }
        let obtains_the_same = (old.identity, &old.server, old.grant)
            == (policy.identity, &policy.server, policy.grant);
        if obtains_the_same {
            self.with_slot(name, |slot| slot.replan(now, policy));
        } else {
            self.detach(now, name);
            let slot = self.slots.get_mut(name);
            let quarantine = slot.is_some_and(|slot| slot.replace(now, policy, first));
            self.quarantine_if(quarantine, name);
        }
    }

    /// Takes a token out of its server's queue or gives up its request.
    pub(super) fn detach(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let id = slot.policy.server.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let name = name.clone();
        match std::mem::replace(&mut slot.phase, Phase::Resting(None)) {
            Phase::InFlight { attempt, .. } => {
                server.cancelled(now, attempt);
                self.commands.push_back(Command::Cancel { name, attempt });
            }
            Phase::Queued(place) => server.dequeue(&name, place),
            Phase::Resting(_) => {}
        }
        self.wake_server(now, &id);
    }
}
