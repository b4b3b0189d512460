//! A model of the daemon around the core: what is durable, what is current, what is under way.

use std::collections::BTreeMap;
use std::time::Duration;

use bearerd_core::credential::{RefreshValidity, TokenName, Validity};
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{
    AttemptId, Delivery, ErrorState, Event, Failure, FailureKind, Grant, Health, Policy, Reason,
    Restored, Scheduler, Use,
};

use super::check::{Meter, Watch};
use super::run::{Happening, World};
use super::world::{Answer, Granted, RefreshToken, Registration, Request, Rotation};

/// A configured token: at its authorization server, in the configuration, in the state file,
/// published.
pub struct Token {
    pub name: TokenName,
    pub registration: Registration,
    pub policy: Policy,
    pub configured: bool,
    /// The password and the key in use here, by number, and the seed.
    pub password: u32,
    pub key: u32,
    pub seed: Option<RefreshToken>,
    pub record: Option<Record>,
    /// Which token it is made from.
    pub parent: Option<usize>,
    pub current: Option<Validity>,
    pub watch: Watch,
}

/// What the state file holds.
#[derive(Clone, Copy)]
pub struct Record {
    pub identity: [u8; 16],
    pub refresh: Option<RefreshToken>,
    pub open_intent: bool,
    /// When the access token ends, whatever the machine's clocks say.
    pub ends_at: Instant,
    /// On the clock of the boot it was written in.
    pub boot: u32,
    pub validity: Validity,
    /// What the wall clock then read at boot.
    pub wall_at_boot: Duration,
}

/// The process and the machine it runs on.
pub struct Shell {
    pub scheduler: Scheduler,
    pub process: u32,
    pub running: bool,
    pub next_attempt: AttemptId,
    pub boot: u32,
    pub booted_at: Instant,
    /// What the wall clock read at boot, as it stands now.
    pub wall_at_boot: Duration,
    /// Whose attempts are under way.
    pub in_flight: BTreeMap<AttemptId, usize>,
    /// Tokens that arrived, until the core says what to do with them.
    pub arrived: BTreeMap<AttemptId, (Request, Granted, Validity)>,
}

impl Shell {
    /// The machine's own time.
    pub fn time(&self, now: Instant) -> Instant {
        Instant::BOOT + (now - self.booted_at)
    }
}

impl World {
    /// Lets the core do what is due and carries out what it says.
    pub fn settle(&mut self) {
        loop {
            self.carry_out(false);
            let now = self.shell.time(self.now);
            if !self.shell.running
                || self
                    .shell
                    .scheduler
                    .poll_timeout()
                    .is_none_or(|at| now < at)
            {
                return;
            }
            self.count_call();
            self.shell.scheduler.handle_timeout(now);
            let next = self.shell.scheduler.poll_timeout();
            assert!(
                next.is_none_or(|at| now < at),
                "still due after the timeout was handled"
            );
        }
    }

    /// Tells the core something.
    pub fn tell(&mut self, event: Event) {
        self.count_call();
        let now = self.shell.time(self.now);
        self.shell.scheduler.handle_event(now, event);
        self.settle();
    }

    /// Hands the core the configuration as it is now.
    pub fn configure(&mut self) {
        let configured = self.tokens.iter().filter(|token| token.configured);
        let policies = configured
            .map(|token| (token.name.clone(), token.policy.clone()))
            .collect();
        let now = self.shell.time(self.now);
        self.shell.scheduler.configure(now, policies);
        self.carry_out(true);
    }

    /// An answer came in, perhaps late, perhaps for the second time.
    pub fn answered(&mut self, index: usize, attempt: AttemptId, request: Request, answer: Answer) {
        let under_way = self.shell.in_flight.remove(&attempt).is_some();
        if !under_way && self.chance.one_in(2) {
            self.totals.lost_replies += 1;
            return;
        }
        self.totals.late_replies += u64::from(!under_way);
        let now = self.now;
        let token = &mut self.tokens[index];
        let server = token.registration.server;
        if under_way {
            token.watch.in_flight = None;
            self.meters[server].in_flight -= 1;
            self.meters[server].ended(now, answer.as_ref().err());
        }
        let name = token.name.clone();
        match answer {
            Ok(granted) => {
                let validity = self.validity(index, &request, &granted);
                self.shell
                    .arrived
                    .insert(attempt, (request, granted, validity));
                if self.chance.one_in(100) {
                    self.totals.duplicated_replies += 1;
                    let process = self.shell.process;
                    let again = self.chance.between(Duration::ZERO, Duration::from_secs(5));
                    let answer = Ok(granted);
                    let duplicate = Happening::Answered {
                        process,
                        index,
                        attempt,
                        request,
                        answer,
                    };
                    self.schedule(now + again, duplicate);
                }
                self.tell(Event::Obtained {
                    name,
                    attempt,
                    validity,
                });
            }
            Err(failure) => {
                if under_way {
                    self.failed(index, &request, &failure);
                }
                self.tell(Event::Failed {
                    name,
                    attempt,
                    failure,
                });
            }
        }
    }

    fn failed(&mut self, index: usize, request: &Request, failure: &Failure) {
        let token = &mut self.tokens[index];
        let meter = &mut self.meters[token.registration.server];
        token.watch.failed(self.now, request.sent_at, failure);
        if failure.kind == FailureKind::RateLimited {
            let pause = failure.retry_after.unwrap_or(Duration::from_secs(300));
            let until = self.now + pause.min(Duration::from_secs(600));
            meter.trouble_until = meter.trouble_until.max(until);
        }
        let password = token.policy.grant == Grant::Password && request.refresh.is_none();
        if failure.kind == FailureKind::GrantRefused && password {
            token.watch.password_refused = true;
            token
                .registration
                .refused_password(self.now, request.sent_at);
        }
        let spends = request.refresh.is_some();
        token.watch.doubt |= spends && failure.delivery == Delivery::Unknown;
        token.watch.refused |= spends && failure.kind == FailureKind::GrantRefused;
        if let Some(record) = token
            .record
            .as_mut()
            .filter(|_| request.by == Use::RefreshToken)
        {
            // An answer closes this attempt's intent, not that of an earlier one left without.
            record.open_intent = token.watch.doubt;
        }
    }

    pub fn validity(&self, index: usize, request: &Request, granted: &Granted) -> Validity {
        let obtained_at = self.shell.time(request.sent_at);
        let kept = self.tokens[index]
            .record
            .filter(|_| request.by == Use::RefreshToken);
        let refresh = match granted.refresh {
            Some(_) => Some(RefreshValidity {
                expires_at: granted
                    .refresh_expires_in
                    .map(|lifetime| obtained_at + lifetime),
            }),
            // The one used stays, also where its answer came after it had been set aside.
            None => kept.map(|record| {
                let unknown = RefreshValidity { expires_at: None };
                record.validity.refresh.unwrap_or(unknown)
            }),
        };
        Validity {
            obtained_at,
            expires_at: obtained_at + granted.lifetime,
            refresh,
            id_token_expires_at: None,
        }
    }

    /// The process is gone, and with it all that was not durable.
    pub fn crash(&mut self) {
        self.totals.restarts += 1;
        self.shell.running = false;
        self.shell.process += 1;
        self.shell.in_flight.clear();
        self.shell.arrived.clear();
        for meter in &mut self.meters {
            meter.in_flight = 0;
            meter.forget_attempts();
        }
        for token in &mut self.tokens {
            token.watch.forget_attempts();
            token.current = None;
        }
        let downtime = self.chance.between(Duration::ZERO, self.tempo / 4);
        let starts_at = self.now + downtime;
        self.schedule(starts_at, Happening::Starts);
    }

    /// The process starts, perhaps after the machine did.
    pub fn start(&mut self) {
        if self.chance.one_in(4) {
            self.totals.reboots += 1;
            let wall = self.shell.wall_at_boot + (self.now - self.shell.booted_at);
            self.shell.boot += 1;
            self.shell.booted_at = self.now.saturating_sub(Duration::from_secs(3));
            self.shell.wall_at_boot = wall - (self.now - self.shell.booted_at);
        }
        self.shell.running = true;
        self.shell.next_attempt = AttemptId(0);
        self.shell.scheduler = Scheduler::new(self.seed);
        self.configure();
        let now = self.shell.time(self.now);
        for index in 0..self.tokens.len() {
            let token = &mut self.tokens[index];
            token.watch.suffers_until(self.now);
            token.watch.first_attempt = AttemptId(0);
            token.watch.password_refused = false;
            token.watch.doubt = token.record.is_some_and(|record| record.open_intent);
            // A start counts as somebody asking: each may cost one refusal.
            token.registration.forgive_passwords(self.now);
            let Some(record) = token.record.as_mut().filter(|_| token.configured) else {
                continue;
            };
            record.read_on(self.shell.boot, self.shell.wall_at_boot);
            record.validity.obtained_at = record.validity.obtained_at.min(now);
            let (validity, open_intent) = (record.validity, record.open_intent);
            token.current = Some(validity).filter(|validity| now < validity.expires_at);
            // A wall clock that was wrong at either end makes it look older or younger.
            let expires_at = self.now + (validity.expires_at - now);
            let obtained_at = expires_at.saturating_sub(token.registration.lifetime);
            token.watch.last_commit = token.watch.last_commit.max(obtained_at);
            let name = token.name.clone();
            let current = record.identity == token.policy.identity;
            let event = Event::Restored {
                name,
                restored: Restored {
                    validity,
                    current,
                    open_intent,
                    window_fixed: false,
                },
            };
            self.shell.scheduler.handle_event(now, event);
        }
        self.settle();
    }

    /// What holds of every token whenever the core has nothing to do.
    pub fn check(&mut self, index: usize) {
        let now = self.shell.time(self.now);
        let token = &mut self.tokens[index];
        if !self.shell.running || !token.configured {
            return;
        }
        let status = self.shell.scheduler.status(&token.name);
        assert!(status.is_some(), "no status");
        let Some(status) = status else { return };
        if let Some(current) = token.current {
            assert!(now < current.expires_at, "an expired token is current");
            let held = status.validity.map(|validity| validity.expires_at);
            assert_eq!(held, Some(current.expires_at), "a valid token was lost");
        }
        let under_way = token.watch.in_flight.is_some();
        assert_eq!(
            status.in_flight, under_way,
            "a request under way was forgotten"
        );
        let mut waits_for_a_person = false;
        if let Health::Failing { state, reason } = status.health {
            if state == ErrorState::NeedsLogin && reason != Reason::Parent {
                let meter = &self.meters[token.registration.server];
                token.needs_login((self.now, now), reason, meter);
            }
            let stuck = state == ErrorState::NeedsLogin || reason == Reason::PasswordRefused;
            waits_for_a_person = stuck;
            if state == ErrorState::NeedsLogin && token.policy.grant == Grant::Login {
                // Nothing but a login mends it, and that is no request.
                token.watch.mended_at = None;
            }
        }
        token.watch.waits_for_a_person(self.now, waits_for_a_person);
        assert!(
            token.registration.refused_passwords < 3,
            "the password was tried too often"
        );
        if status.waits_for_parent {
            self.totals.waits_for_parents += 1;
            self.check_parent(index);
        }
    }

    /// The trouble of what a token is made from is its own.
    pub fn excuse(&mut self, index: usize) {
        let token = &self.tokens[index];
        let status = self.shell.scheduler.status(&token.name);
        // Nor is it the core's that only a login brings the next one, or that after a reboot a
        // wrong wall clock has it take a login for alive that has ended.
        let ended = |parent: usize| {
            let parent = &self.tokens[parent];
            let record = parent.record.filter(|record| record.ends_at <= self.now);
            parent.is_last_of_login() && record.is_some()
        };
        if token.is_last_of_login()
            || token.parent.is_some_and(ended)
            || status.is_some_and(|status| status.waits_for_parent)
        {
            let now = self.now;
            self.tokens[index].watch.suffers_until(now);
        }
    }

    /// Whoever waits for a parent waits for something that happens.
    fn check_parent(&self, index: usize) {
        let parent = self.tokens[index].parent.map(|parent| &self.tokens[parent]);
        let Some(parent) = parent else {
            assert!(parent.is_some(), "waits for a parent and has none");
            return;
        };
        let status = self.shell.scheduler.status(&parent.name);
        let idle = status.is_none_or(|status| {
            let under_way = status.in_flight || status.queued || status.waits_for_parent;
            status.health == Health::Fresh && !under_way && status.next_attempt_at.is_none()
        });
        assert!(!idle, "waits for a parent that does nothing");
    }
}

impl Token {
    /// It is to be obtained under a configuration of which nothing is held yet.
    pub fn begins_anew(&mut self, now: Instant, first_attempt: AttemptId) {
        if self.policy.grant == Grant::RefreshToken {
            self.seed = Some(self.registration.login(now));
        }
        self.registration.forgive_passwords(now);
        (self.watch.doubt, self.watch.refused) = (false, false);
        self.watch.first_attempt = first_attempt;
        self.watch.mended(now);
    }

    /// Whether nothing but another login brings the next one.
    fn is_last_of_login(&self) -> bool {
        self.policy.grant == Grant::Login
            && self.record.is_none_or(|record| record.refresh.is_none())
    }

    /// Whether a person has to do something when what is held is lost.
    pub fn needs_person(&self) -> bool {
        matches!(self.policy.grant, Grant::Login | Grant::RefreshToken)
    }

    fn needs_login(&self, (now, time): (Instant, Instant), reason: Reason, meter: &Meter) {
        let Some(record) = self.record else { return };
        if self.watch.doubt {
            let expected = matches!(reason, Reason::RotationLost | Reason::RefreshTokenExpired);
            assert!(expected, "a lost rotation is called {reason:?}");
        }
        let Some(refresh) = record.refresh else {
            return;
        };
        let validity = record.validity;
        let ends_at = validity.refresh.and_then(|refresh| refresh.expires_at);
        if let Some(ends_at) = ends_at.filter(|ends_at| *ends_at <= time) {
            // Nothing extends an absolute window.
            if self.registration.rotation != Rotation::Nhs {
                let life = ends_at - validity.obtained_at;
                let ended_at = now.saturating_sub(time - ends_at);
                self.watch.refresh_token_expired(ended_at, life, meter);
            }
            return;
        }
        let honoured = self.registration.honours(now, refresh);
        assert!(
            !honoured,
            "a person is asked for although the refresh token works"
        );
    }
}

impl Record {
    /// Brings the times onto this boot's clock; over a reboot the wall clock is all there is.
    fn read_on(&mut self, boot: u32, wall_at_boot: Duration) {
        if self.boot == boot {
            return;
        }
        let old = self.wall_at_boot;
        let moved = |at: Instant| {
            Instant::since_boot((old + at.elapsed_since_boot()).saturating_sub(wall_at_boot))
        };
        self.boot = boot;
        self.wall_at_boot = wall_at_boot;
        self.validity.obtained_at = moved(self.validity.obtained_at);
        self.validity.expires_at = moved(self.validity.expires_at);
        let refresh = self
            .validity
            .refresh
            .as_mut()
            .and_then(|r| r.expires_at.as_mut());
        if let Some(ends_at) = refresh {
            *ends_at = moved(*ends_at);
        }
    }
}
