//! All tokens, all authorization servers, one ordered set of timers.

use std::collections::{BTreeMap, VecDeque};

use super::event::{AttemptId, Command, Delivery, Event, Failure, FailureKind};
use super::limiter::{Admission, Server};
use super::policy::{Limits, Policy, ServerId};
use super::prng::{Prng, stable_hash};
use super::slot::{Phase, Slot};
use super::status::Status;
use super::timers::{Key, Timers};
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// Decides when to obtain which token.
///
/// Every request goes out from [`Scheduler::handle_timeout`]; the other verbs set timers only. So at start
/// the persisted tokens can be told after [`Scheduler::configure`] and before the first request.
#[derive(Debug)]
pub struct Scheduler {
    seed: u64,
    prng: Prng,
    next_attempt: u64,
    /// Boxed: a tree filled in order leaves half of each node empty.
    slots: BTreeMap<TokenName, Box<Slot>>,
    servers: BTreeMap<ServerId, Server>,
    timers: Timers,
    commands: VecDeque<Command>,
    /// Tokens whose status has changed with the time alone.
    queued: Vec<TokenName>,
}

impl Scheduler {
    /// An empty one. All its randomness comes from `seed`; where it stays the same over restarts, so
    /// does each token's share of the spread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            prng: Prng::new(seed),
            next_attempt: 0,
            slots: BTreeMap::new(),
            servers: BTreeMap::new(),
            timers: Timers::default(),
            commands: VecDeque::new(),
            queued: Vec::new(),
        }
    }

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

    /// Takes note of what happened.
    pub fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Failed {
                name,
                attempt,
                failure,
            } => {
                let current = self
                    .slots
                    .get(&name)
                    .is_some_and(|slot| under_way(slot, attempt));
                if current {
                    self.failed(now, &name, attempt, failure);
                    self.arm_token(&name);
                }
            }
            Event::InputsChanged { name } => {
                self.with_slot(&name, |slot| slot.inputs_changed(now));
            }
            Event::Obtained {
                name,
                attempt,
                validity,
            } => {
                self.obtained(now, &name, attempt, validity);
                self.arm_token(&name);
            }
            Event::RefreshRequested { name } => {
                self.with_slot(&name, |slot| slot.requested(now));
            }
            Event::Restored {
                name,
                validity,
                current,
                open_intent,
            } => {
                let quarantine = self.slots.get_mut(&name).is_some_and(|slot| {
                    slot.held.is_none() && slot.restored(now, validity, (current, open_intent))
                });
                self.quarantine_if(quarantine, &name);
                self.arm_token(&name);
            }
        }
    }

    /// Does what is due. To be called whenever [`Scheduler::poll_timeout`] has been reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_reached(now) {
            match key {
                Key::Token(name) => {
                    self.token_due(now, &name);
                    self.arm_token(&name);
                }
                Key::Server(id) => self.server_due(now, &id),
            }
        }
    }

    /// When to call [`Scheduler::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// The next thing to do. To be called until it returns `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// A token that has begun to wait for its server: its status has changed, and no command says so.
    pub fn poll_queued(&mut self) -> Option<TokenName> {
        self.queued.pop()
    }

    /// How a token stands; `None` for one not configured.
    #[must_use]
    pub fn status(&self, name: &TokenName) -> Option<Status> {
        let slot = self.slots.get(name)?;
        Some(Status {
            validity: slot.held,
            health: slot.health,
            in_flight: matches!(slot.phase, Phase::InFlight { .. }),
            queued: matches!(slot.phase, Phase::Queued(_)),
            next_attempt_at: match slot.phase {
                Phase::InFlight { .. } | Phase::Queued(_) => None,
                Phase::Resting(due) => due,
            },
            failures: slot.failures,
            attempts: slot.attempts,
        })
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
    fn detach(&mut self, now: Instant, name: &TokenName) {
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

    fn token_due(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        slot.armed = None;
        if slot.current && slot.held.is_some_and(|held| held.expires_at <= now) {
            slot.current = false;
            self.commands
                .push_back(Command::Withdraw { name: name.clone() });
        }
        match slot.phase {
            Phase::InFlight {
                attempt, deadline, ..
            } if deadline <= now => {
                self.commands.push_back(Command::Cancel {
                    name: name.clone(),
                    attempt,
                });
                self.failed(now, name, attempt, LOST);
            }
            Phase::Resting(Some(due)) if due <= now => match slot.next_use(now) {
                Ok(_) => {
                    let place = slot.place(now);
                    slot.phase = Phase::Queued(place);
                    self.queued.push(name.clone());
                    let id = slot.policy.server.clone();
                    if let Some(server) = self.servers.get_mut(&id) {
                        server.enqueue(name, place);
                    }
                    self.wake_server(now, &id);
                }
                Err(why) => slot.stuck(why),
            },
            _ => {}
        }
    }

    /// Sends for as many of those that wait as the server may be asked now.
    fn server_due(&mut self, now: Instant, id: &ServerId) {
        let Some(server) = self.servers.get_mut(id) else {
            return;
        };
        server.armed = None;
        let next = loop {
            let name = match server.admit(now) {
                Admission::Closed => break None,
                Admission::Next(name) => name,
                Admission::NotBefore(at) => break Some(at),
            };
            let Some(slot) = self.slots.get_mut(&name) else {
                break None;
            };
            let Phase::Queued(place) = slot.phase else {
                break None;
            };
            server.dequeue(&name, place);
            match slot.next_use(now) {
                Ok(by) => {
                    let attempt = AttemptId(self.next_attempt);
                    self.next_attempt += 1;
                    server.sent(now, attempt);
                    slot.sent(now, attempt, by);
                    self.commands.push_back(Command::Obtain {
                        name: name.clone(),
                        attempt,
                        by,
                    });
                }
                Err(why) => slot.stuck(why),
            }
            let wake = slot.wake();
            self.timers.arm(&mut slot.armed, wake, || Key::Token(name));
        };
        self.timers
            .arm(&mut server.armed, next, || Key::Server(id.clone()));
    }

    /// The attempt under way failed.
    fn failed(&mut self, now: Instant, name: &TokenName, attempt: AttemptId, failure: Failure) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let quarantine = slot.failed(now, &failure, &mut self.prng);
        let id = slot.policy.server.clone();
        if let Some(server) = self.servers.get_mut(&id) {
            server.failed(now, attempt, &failure, &mut self.prng);
        }
        self.wake_server(now, &id);
        self.quarantine_if(quarantine, name);
    }

    fn obtained(&mut self, now: Instant, name: &TokenName, attempt: AttemptId, validity: Validity) {
        let name = name.clone();
        let Some(slot) = self.slots.get_mut(&name) else {
            return self.commands.push_back(Command::Discard { name, attempt });
        };
        let id = slot.policy.server.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let newer = slot
            .held
            .is_none_or(|held| held.obtained_at < validity.obtained_at);
        if under_way(slot, attempt) {
            server.succeeded();
        } else if attempt < slot.first_attempt || !newer {
            return self.commands.push_back(Command::Discard { name, attempt });
        } else if let Phase::Queued(place) = slot.phase {
            server.dequeue(&name, place);
        }
        slot.obtained(now, attempt, validity);
        let current = slot.current;
        self.commands.push_back(Command::Commit {
            name: name.clone(),
            attempt,
        });
        if !current {
            self.commands.push_back(Command::Withdraw { name });
        }
        self.wake_server(now, &id);
    }

    fn with_slot(&mut self, name: &TokenName, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(name) {
            change(slot);
            self.arm_token(name);
        }
    }

    fn quarantine_if(&mut self, quarantine: bool, name: &TokenName) {
        if quarantine {
            self.commands
                .push_back(Command::Quarantine { name: name.clone() });
        }
    }

    fn arm_token(&mut self, name: &TokenName) {
        if let Some(slot) = self.slots.get_mut(name) {
            let wake = slot.wake();
            self.timers
                .arm(&mut slot.armed, wake, || Key::Token(name.clone()));
        }
    }

    /// Lets a server choose again who may send: something changed.
    fn wake_server(&mut self, now: Instant, id: &ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            let wake = server.has_queue().then_some(now);
            self.timers
                .arm(&mut server.armed, wake, || Key::Server(id.clone()));
        }
    }
}

/// What a request counts as whose deadline has passed.
const LOST: Failure = Failure {
    kind: FailureKind::Unavailable,
    delivery: Delivery::Unknown,
    retry_after: None,
};

fn under_way(slot: &Slot, attempt: AttemptId) -> bool {
    matches!(slot.phase, Phase::InFlight { attempt: current, .. } if current == attempt)
}

/// The smallest limits that any token of a server sets.
fn limits_by_server(policies: &BTreeMap<TokenName, Policy>) -> BTreeMap<ServerId, Limits> {
    let mut servers = BTreeMap::<ServerId, Limits>::new();
    for Policy { server, limits, .. } in policies.values() {
        let smallest = servers.entry(server.clone()).or_insert(*limits);
        smallest.max_in_flight = smallest.max_in_flight.min(limits.max_in_flight);
        let per_minute = [smallest.requests_per_minute, limits.requests_per_minute];
        smallest.requests_per_minute = per_minute.into_iter().flatten().min();
    }
    servers
}
