//! All tokens, all authorization servers, one ordered set of timers.

use std::collections::{BTreeMap, VecDeque};

use super::event::{AttemptId, Command, Event, Failure, FailureKind, Use};
use super::graph::Obstacle;
use super::limiter::{Admission, Place, Server};
use super::policy::ServerId;
use super::prng::Prng;
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
    pub(super) seed: u64,
    pub(super) prng: Prng,
    pub(super) next_attempt: u64,
    /// By parent, those that are made from it.
    pub(super) dependents: BTreeMap<TokenName, Vec<TokenName>>,
    /// Boxed: a tree filled in order leaves half of each node empty.
    pub(super) slots: BTreeMap<TokenName, Box<Slot>>,
    pub(super) servers: BTreeMap<ServerId, Server>,
    pub(super) timers: Timers,
    pub(super) commands: VecDeque<Command>,
    /// Tokens whose status has changed without an event or a command of their own.
    pub(super) changed: VecDeque<TokenName>,
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
            dependents: BTreeMap::new(),
            slots: BTreeMap::new(),
            servers: BTreeMap::new(),
            timers: Timers::default(),
            commands: VecDeque::new(),
            changed: VecDeque::new(),
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
            Event::LoggedIn {
                name,
                attempt,
                validity,
            } => self.logged_in(now, name, attempt, validity),
            Event::LoggedOut { name } => {
                self.detach(now, &name);
                self.commands
                    .push_back(Command::Withdraw { name: name.clone() });
                let first = AttemptId(self.next_attempt);
                self.with_slot(&name, |slot| slot.logged_out(now, first));
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
            Event::Restored { name, restored } => {
                let quarantine = self
                    .slots
                    .get_mut(&name)
                    .is_some_and(|slot| slot.held.is_none() && slot.restored(now, restored));
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

    /// A token whose status has changed though no command and no event of its own says so: it has begun to
    /// wait for its server, or fails with a token that it is made from.
    pub fn poll_changed(&mut self) -> Option<TokenName> {
        self.changed.pop_front()
    }

    /// The number of an attempt that begins now; that of a login is told with [`Event::LoggedIn`].
    pub fn begin_attempt(&mut self) -> AttemptId {
        let attempt = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        attempt
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
            waits_for_parent: slot.awaits.is_some(),
            login_due_at: slot.login_due_at(),
            next_attempt_at: match slot.phase {
                Phase::InFlight { .. } | Phase::Queued(_) => None,
                Phase::Resting(due) => due,
            },
            failures: slot.failures,
            attempts: slot.attempts,
        })
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
        if slot.remind_at().is_some_and(|at| at <= now) {
            slot.remind(now);
            let until = slot.works_until().filter(|until| now < *until);
            let name = name.clone();
            self.commands
                .push_back(Command::AskForLogin { name, until });
        }
        let way_has_ended = slot.way_ends_at().is_some_and(|end| end <= now);
        match slot.phase {
            Phase::InFlight {
                attempt, deadline, ..
            } if deadline <= now => {
                self.commands.push_back(Command::Cancel {
                    name: name.clone(),
                    attempt,
                });
                self.failed(now, name, attempt, Failure::LOST);
            }
            Phase::Resting(Some(due)) if due <= now || way_has_ended => self.enqueue(now, name),
            Phase::Queued(place) => self.requeue(now, name, place),
            _ => {}
        }
    }

    /// While a token waits its access token has expired: what it loses next is its refresh token, if not that.
    fn requeue(&mut self, now: Instant, name: &TokenName, before: Place) {
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let id = slot.policy.server.clone();
        let obstacle = slot.next_use(now).err();
        let place = slot.place(now);
        if let Some(server) = self.servers.get_mut(&id) {
            server.dequeue(name, before);
            if obstacle.is_none() {
                slot.phase = Phase::Queued(place);
                server.enqueue(name, place);
            }
        }
        if let Some((state, reason)) = obstacle {
            self.blocked(now, name, Obstacle::Person(state, reason));
        }
        self.wake_server(now, &id);
    }

    /// A token is to be requested as soon as its server may be asked.
    fn enqueue(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.slots.get(name) else {
            return;
        };
        if let Err(obstacle) = self.next_use(now, slot) {
            return self.blocked(now, name, obstacle);
        }
        let Some(slot) = self.slots.get_mut(name) else {
            return;
        };
        let place = slot.place(now);
        slot.phase = Phase::Queued(place);
        self.changed.push_back(name.clone());
        let id = slot.policy.server.clone();
        if let Some(server) = self.servers.get_mut(&id) {
            server.enqueue(name, place);
        }
        self.wake_server(now, &id);
    }

    /// Sends for as many of those that wait as the server may be asked now.
    fn server_due(&mut self, now: Instant, id: &ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            server.armed = None;
        }
        let next = loop {
            let Some(server) = self.servers.get_mut(id) else {
                return;
            };
            let name = match server.admit(now) {
                Admission::Closed => break None,
                Admission::Next(name) => name,
                Admission::NotBefore(at) => break Some(at),
            };
            let Some(slot) = self.slots.get(&name) else {
                break None;
            };
            let Phase::Queued(place) = slot.phase else {
                break None;
            };
            server.dequeue(&name, place);
            match self.next_use(now, slot) {
                Ok(by) => self.send(now, id, &name, by),
                Err(obstacle) => self.blocked(now, &name, obstacle),
            }
            self.arm_token(&name);
        };
        if let Some(server) = self.servers.get_mut(id) {
            self.timers
                .arm(&mut server.armed, next, || Key::Server(id.clone()));
        }
    }

    fn send(&mut self, now: Instant, id: &ServerId, name: &TokenName, by: Use) {
        let attempt = self.begin_attempt();
        if let (Some(server), Some(slot)) = (self.servers.get_mut(id), self.slots.get_mut(name)) {
            server.sent(now, attempt);
            slot.sent(now, attempt, by);
            self.commands.push_back(Command::Obtain {
                name: name.clone(),
                attempt,
                by,
            });
        }
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
        if failure.kind == FailureKind::GrantRefused {
            self.refresh_parents(now, name);
        }
        self.fail_dependents(name);
    }

    fn logged_in(&mut self, now: Instant, name: TokenName, attempt: AttemptId, validity: Validity) {
        let slot = self.slots.get(&name);
        if slot.is_none_or(|slot| attempt < slot.first_attempt) {
            return self.commands.push_back(Command::Discard { name, attempt });
        }
        self.detach(now, &name);
        self.with_slot(&name, |slot| slot.logged_in(now, validity));
        self.commands.push_back(Command::Commit {
            name: name.clone(),
            attempt,
        });
        self.parent_replaced(now, &name);
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
            self.commands
                .push_back(Command::Withdraw { name: name.clone() });
        }
        self.wake_server(now, &id);
        self.parent_replaced(now, &name);
    }

    pub(super) fn with_slot(&mut self, name: &TokenName, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(name) {
            change(slot);
            self.arm_token(name);
        }
    }

    pub(super) fn quarantine_if(&mut self, quarantine: bool, name: &TokenName) {
        if quarantine {
            self.commands
                .push_back(Command::Quarantine { name: name.clone() });
        }
    }

    pub(super) fn arm_token(&mut self, name: &TokenName) {
        if let Some(slot) = self.slots.get_mut(name) {
            let wake = slot.wake();
            self.timers
                .arm(&mut slot.armed, wake, || Key::Token(name.clone()));
        }
    }

    /// Lets a server choose again who may send: something changed.
    pub(super) fn wake_server(&mut self, now: Instant, id: &ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            let wake = server.has_queue().then_some(now);
            self.timers
                .arm(&mut server.armed, wake, || Key::Server(id.clone()));
        }
    }
}

fn under_way(slot: &Slot, attempt: AttemptId) -> bool {
    matches!(slot.phase, Phase::InFlight { attempt: current, .. } if current == attempt)
}
