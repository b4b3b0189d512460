//! Events and timeouts in, commands out.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::event::{AttemptId, Command, Event, Failure, FailureKind, Use};
use super::limiter::limits_by_server;
use super::phase::Phase;
use super::policy::{Policy, ServerId};
use super::prng::{Prng, stable_hash};
use super::queue;
use super::servers::Servers;
use super::slot::Slot;
use super::status::Status;
use super::tokens::Tokens;
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// Decides when to obtain which token.
///
/// It does nothing by itself: whoever owns it tells it what happens, and carries out what it
/// decides.
///
/// - Something happened: call [`Scheduler::handle_event`].
/// - The instant of [`Scheduler::poll_timeout`] has come: call [`Scheduler::handle_timeout`]. All
///   requests begin here, so at start the persisted tokens can be told before the first one.
/// - After each of these calls, carry out what [`Scheduler::poll_command`] returns, until it
///   returns `None`. Then look at the [`Scheduler::status`] of each token that
///   [`Scheduler::poll_changed`] names, in the same way.
///
/// ```
/// use std::{collections::BTreeMap, time::Duration};
///
/// use bearerd_core::credential::{TokenName, Validity};
/// use bearerd_core::instant::Instant;
/// use bearerd_core::refresh::*;
///
/// let hour = Duration::from_secs(3600);
/// let policy = Policy {
///     server: ServerId("https://as.example.org".into()),
///     limits: Limits { max_in_flight: 4, requests_per_minute: None },
///     grant: Grant::ClientCredentials,
///     refresh_at: RefreshAt::Permille(750),
///     deadline: Duration::from_secs(10),
///     parents: Vec::new(),
///     follows_parents: false,
///     inactivity: None,
///     login_notice: hour,
///     rotation_grace: Duration::ZERO,
///     identity: [0; 16],
/// };
/// let mut now = Instant::BOOT;
/// let end = now + 3 * hour;
/// let mut scheduler = Scheduler::new(7);
/// scheduler.configure(now, BTreeMap::from([(TokenName::parse("ci")?, policy)]));
///
/// let mut commits = 0;
/// // A real owner sleeps until that instant, or until something happens.
/// while let Some(due) = scheduler.poll_timeout().filter(|due| *due < end) {
///     now = now.max(due);
///     scheduler.handle_timeout(now);
///     while let Some(command) = scheduler.poll_command() {
///         match command {
///             // A real owner sends the request and goes on. This one has the answer at once.
///             Command::Obtain { name, attempt, .. } => {
///                 let validity = Validity {
///                     obtained_at: now,
///                     expires_at: now + hour,
///                     refresh: None,
///                     id_token_expires_at: None,
///                 };
///                 scheduler.handle_event(now, Event::Obtained { name, attempt, validity });
///             }
///             Command::Commit { .. } => commits += 1,
///             other => eprintln!("to be carried out as well: {other:?}"),
///         }
///     }
///     while let Some(name) = scheduler.poll_changed() {
///         println!("{name}: {:?}", scheduler.status(&name));
///     }
/// }
/// assert!(commits > 3, "a token of an hour is replaced before its hour is over");
/// # Ok::<(), bearerd_core::credential::InvalidTokenName>(())
/// ```
#[derive(Debug)]
pub struct Scheduler {
    seed: u64,
    prng: Prng,
    next_attempt: u64,
    tokens: Tokens,
    servers: Servers,
    commands: VecDeque<Command>,
}

impl Scheduler {
    /// A scheduler without tokens. All its randomness comes from `seed`; where it stays the same
    /// over restarts, so does each token's share of the spread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            prng: Prng::new(seed),
            next_attempt: 0,
            tokens: Tokens::default(),
            servers: Servers::default(),
            commands: VecDeque::new(),
        }
    }

    /// Replaces the configuration. New tokens are due now, removed ones vanish, what is unchanged
    /// is left alone.
    pub fn configure(&mut self, now: Instant, mut policies: BTreeMap<TokenName, Policy>) {
        for name in self.tokens.missing_from(&policies) {
            self.detach(now, &name);
            self.tokens.remove(&name);
        }
        let limits = limits_by_server(&mut policies);
        for (name, policy) in policies {
            self.configure_token(now, name, policy);
        }
        self.tokens.link();
        self.servers.configure(now, limits);
    }

    /// Takes note of what happened.
    pub fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Failed {
                name,
                attempt,
                failure,
            } => self.failed(now, &name, attempt, failure),
            Event::InputsChanged { name } => {
                self.tokens.change(&name, |slot| slot.inputs_changed(now));
            }
            Event::LoggedIn {
                name,
                attempt,
                validity,
            } => self.logged_in(now, name, attempt, validity),
            Event::LoggedOut { name } => {
                self.detach(now, &name);
                self.commands.push_back(Command::withdraw(&name));
                let first = AttemptId(self.next_attempt);
                self.tokens
                    .change(&name, |slot| slot.logged_out(now, first));
            }
            Event::Obtained {
                name,
                attempt,
                validity,
            } => self.obtained(now, name, attempt, validity),
            Event::RefreshRequested { name } => {
                self.tokens.change(&name, |slot| slot.requested(now));
            }
            Event::Restored { name, restored } => {
                let fate = self
                    .tokens
                    .change(&name, |slot| slot.restored(now, &restored));
                self.commands
                    .extend(fate.and_then(|fate| fate.command(&name)));
            }
        }
    }

    /// Does what is due. To be called whenever [`Scheduler::poll_timeout`] has been reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            // Tokens first: the servers then choose among all that are due.
            if self.tokens.first_timer() == Some(due) {
                if let Some(name) = self.tokens.pop_reached(now) {
                    self.token_due(now, &name);
                    self.tokens.arm(&name);
                }
            } else if let Some(id) = self.servers.pop_reached(now) {
                self.server_due(now, &id);
            }
        }
    }

    /// When to call [`Scheduler::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.tokens.first_timer(), self.servers.first_timer()];
        timers.into_iter().flatten().min()
    }

    /// The next thing to do. To be called until it returns `None`.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// A token whose status has changed though no command and no event of its own says so: it has
    /// begun to wait for its server, or fails with a token that it is made from. To be called until
    /// it returns `None`.
    pub fn poll_changed(&mut self) -> Option<TokenName> {
        self.tokens.pop_changed()
    }

    /// The number of an attempt that begins now. That of a login is told with [`Event::LoggedIn`].
    pub fn begin_attempt(&mut self) -> AttemptId {
        let attempt = AttemptId(self.next_attempt);
        self.next_attempt += 1;
        attempt
    }

    /// How a token stands; `None` for one not configured.
    #[must_use]
    pub fn status(&self, name: &TokenName) -> Option<Status> {
        self.tokens.get(name).map(Slot::status)
    }

    fn configure_token(&mut self, now: Instant, name: TokenName, policy: Policy) {
        let first = AttemptId(self.next_attempt);
        let Some(old) = self.tokens.get(&name).map(|slot| &slot.policy) else {
            let jitter = stable_hash(self.seed, &name);
            let slot = Slot::new(policy, now, first, jitter);
            return self.tokens.insert(name, slot);
        };
        if *old == policy {
            return;
        }
        if old.obtains_the_same_as(&policy) {
            self.tokens.change(&name, |slot| slot.replan(now, policy));
        } else {
            self.detach(now, &name);
            let replace = |slot: &mut Slot| slot.replace(now, policy, first);
            let fate = self.tokens.change(&name, replace);
            self.commands
                .extend(fate.and_then(|fate| fate.command(&name)));
        }
    }

    /// Takes a token out of its server's queue or gives up its request.
    fn detach(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.tokens.get_mut(name) else {
            return;
        };
        let id = slot.policy.server.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        match mem::replace(&mut slot.phase, Phase::Resting(None)) {
            Phase::InFlight(request) => {
                server.cancelled(now, request.attempt);
                self.commands
                    .push_back(Command::cancel(name, request.attempt));
            }
            Phase::Queued(place) => server.dequeue(name, place),
            Phase::Resting(_) => {}
        }
        self.servers.wake(now, &id);
    }

    fn token_due(&mut self, now: Instant, name: &TokenName) {
        let Some(slot) = self.tokens.get_mut(name) else {
            return;
        };
        self.commands.extend(slot.withdraw(now, name));
        self.commands.extend(slot.remind(now, name));
        let way_has_ended = slot.way_ends_at().is_some_and(|end| end <= now);
        match slot.phase {
            Phase::InFlight(request) if request.deadline <= now => {
                self.commands
                    .push_back(Command::cancel(name, request.attempt));
                self.failed(now, name, request.attempt, Failure::LOST);
            }
            Phase::Resting(Some(due)) if due <= now || way_has_ended => {
                queue::join(&mut self.tokens, &mut self.servers, now, name);
            }
            Phase::Queued(place) => {
                queue::move_up(&mut self.tokens, &mut self.servers, now, name, place);
            }
            Phase::InFlight(_) | Phase::Resting(_) => {}
        }
    }

    /// Sends for as many of the tokens that wait as the server may be asked for now.
    fn server_due(&mut self, now: Instant, id: &ServerId) {
        while let Some((name, by)) = queue::admit(&mut self.tokens, &mut self.servers, now, id) {
            self.send(now, id, &name, by);
            self.tokens.arm(&name);
        }
    }

    fn send(&mut self, now: Instant, id: &ServerId, name: &TokenName, by: Use) {
        let attempt = self.begin_attempt();
        let (server, slot) = (self.servers.get_mut(id), self.tokens.get_mut(name));
        if let (Some(server), Some(slot)) = (server, slot) {
            server.sent(now, attempt);
            slot.sent(now, attempt, by);
            let name = name.clone();
            self.commands
                .push_back(Command::Obtain { name, attempt, by });
        }
    }

    /// An attempt failed. It counts if it is the one under way.
    fn failed(&mut self, now: Instant, name: &TokenName, attempt: AttemptId, failure: Failure) {
        let slot = self.tokens.get_mut(name);
        let Some(slot) = slot.filter(|slot| slot.phase.is_attempt(attempt)) else {
            return;
        };
        let fate = slot.failed(now, &failure, &mut self.prng);
        let id = slot.policy.server.clone();
        if let Some(server) = self.servers.get_mut(&id) {
            server.failed(now, attempt, &failure, &mut self.prng);
        }
        self.servers.wake(now, &id);
        self.commands.extend(fate.command(name));
        if failure.kind == FailureKind::GrantRefused {
            self.tokens.refresh_parents(now, name);
        }
        self.tokens.fail_dependents(name);
        self.tokens.arm(name);
    }

    fn logged_in(&mut self, now: Instant, name: TokenName, attempt: AttemptId, validity: Validity) {
        let slot = self.tokens.get(&name);
        if slot.is_none_or(|slot| attempt < slot.first_attempt) {
            return self.commands.push_back(Command::Discard { name, attempt });
        }
        self.detach(now, &name);
        self.tokens
            .change(&name, |slot| slot.logged_in(now, validity));
        self.tokens.parent_replaced(now, &name);
        self.commands.push_back(Command::commit(&name, attempt));
    }

    fn obtained(&mut self, now: Instant, name: TokenName, attempt: AttemptId, validity: Validity) {
        let Some(slot) = self.tokens.get_mut(&name) else {
            return self.commands.push_back(Command::Discard { name, attempt });
        };
        let id = slot.policy.server.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if slot.phase.is_attempt(attempt) {
            server.succeeded();
        } else if !slot.is_news(attempt, &validity) {
            self.tokens.arm(&name);
            return self.commands.push_back(Command::Discard { name, attempt });
        } else if let Phase::Queued(place) = slot.phase {
            server.dequeue(&name, place);
        }
        slot.obtained(now, attempt, validity);
        self.servers.wake(now, &id);
        self.tokens.parent_replaced(now, &name);
        self.tokens.arm(&name);
        self.commands.push_back(Command::commit(&name, attempt));
        if validity.expires_at <= now {
            self.commands.push_back(Command::withdraw(&name));
        }
    }
}
