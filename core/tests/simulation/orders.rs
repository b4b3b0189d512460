//! Carrying out what the core says, and whether it may say so.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Command, Delivery, Failure, FailureKind, Grant, Use};

use super::run::{Happening, World};
use super::shell::Record;
use super::world::{LATENCY, Request};

impl World {
    pub fn carry_out(&mut self, configuring: bool) {
        while self.shell.running
            && let Some(command) = self.shell.scheduler.poll_command()
        {
            match command {
                Command::AskForLogin { name, .. } => {
                    self.totals.asked_for_logins += 1;
                    let token = &self.tokens[self.indices[&name]];
                    assert!(token.needs_person(), "nobody can log in to that");
                }
                Command::Cancel { name, attempt } => self.cancel(&name, attempt, configuring),
                Command::Commit { name, attempt } => self.commit(&name, attempt),
                Command::Discard { name, attempt } => self.discard(&name, attempt),
                Command::Obtain { name, attempt, by } => {
                    assert!(
                        !configuring,
                        "requested before the persisted tokens were told"
                    );
                    self.send(&name, attempt, by);
                }
                Command::Quarantine { name } => self.quarantine(&name),
                Command::Withdraw { name } => self.withdraw(&name),
            }
        }
    }

    fn send(&mut self, name: &TokenName, attempt: AttemptId, by: Use) {
        let index = self.indices[name];
        let now = self.now;
        let token = &mut self.tokens[index];
        let validity = token.record.map(|record| record.validity);
        let time = self.shell.time(now);
        let refresh = validity.and_then(|validity| validity.refresh?.expires_at);
        let refresh = refresh.filter(|_| token.needs_person());
        let may_lose = token.current.is_some() || refresh.is_some_and(|ends_at| time < ends_at);
        token.watch.sent(now, attempt, may_lose);
        assert!(
            by == Use::Primary
                || !token.watch.doubt
                || token.needs_person()
                || token.watch.password_refused,
            "a refresh token that may be spent was used although there is a password"
        );
        self.meters[token.registration.server].sent(now);
        self.shell.in_flight.insert(attempt, index);
        self.shell.next_attempt = AttemptId(attempt.0 + 1);
        self.totals.attempts += 1;
        let refresh = match by {
            Use::Primary => token.seed,
            Use::RefreshToken => {
                let record = token.record.as_mut().filter(|r| r.refresh.is_some());
                assert!(record.is_some(), "refreshing without a refresh token");
                record.and_then(|record| {
                    record.open_intent = true;
                    record.refresh
                })
            }
        };
        if by == Use::RefreshToken && self.chance.one_in(5000) {
            self.totals.crashes_before_sending += 1;
            return self.crash();
        }
        let (password, key) = (token.password, token.key);
        let subject = self.subject(index, by);
        let token = &self.tokens[index];
        let deadline = token.policy.deadline;
        let request = Request {
            by,
            sent_at: now,
            deadline,
            password,
            key,
            refresh,
            subject,
        };
        let process = self.shell.process;
        let travel = self.chance.between(Duration::ZERO, LATENCY / 2);
        self.schedule(
            now + travel,
            Happening::Arrives {
                process,
                index,
                attempt,
                request,
            },
        );
    }

    /// Until when the token is really valid that a request carries, which the core takes for valid.
    fn subject(&mut self, index: usize, by: Use) -> Option<Instant> {
        let parent = self.tokens[index].parent.filter(|_| by == Use::Primary)?;
        self.totals.exchanges += 1;
        let record = self.tokens[parent].record;
        assert!(record.is_some(), "exchanged a token that is not there");
        let record = record?;
        let time = self.shell.time(self.now);
        assert!(
            time < record.validity.expires_at,
            "exchanged what has expired"
        );
        Some(record.ends_at)
    }

    fn cancel(&mut self, name: &TokenName, attempt: AttemptId, configuring: bool) {
        let index = self.indices[name];
        let token = &mut self.tokens[index];
        let meter = &mut self.meters[token.registration.server];
        assert_eq!(
            token.watch.in_flight.take(),
            Some(attempt),
            "nothing to cancel"
        );
        self.shell.in_flight.remove(&attempt);
        meter.in_flight -= 1;
        if configuring || token.watch.given_up == Some(attempt) {
            return;
        }
        self.totals.deadlines += 1;
        let kind = FailureKind::Unavailable;
        let lost = Failure {
            kind,
            delivery: Delivery::Unknown,
            retry_after: None,
            echo: false,
        };
        meter.ended(self.now, Some(&lost));
        let used = token.record.is_some_and(|record| record.open_intent);
        token.watch.doubt |= used || token.needs_person();
    }

    fn commit(&mut self, name: &TokenName, attempt: AttemptId) {
        let index = self.indices[name];
        let token = &mut self.tokens[index];
        let arrived = self.shell.arrived.remove(&attempt);
        assert!(arrived.is_some(), "commit of what has not arrived");
        let Some((request, granted, validity)) = arrived else {
            return;
        };
        assert!(
            attempt >= token.watch.first_attempt,
            "commit of another configuration's token"
        );
        if let Some(current) = token.current {
            assert!(
                current.obtained_at <= validity.obtained_at,
                "replaced by an older token"
            );
        }
        if self.chance.one_in(5000) {
            self.totals.crashes_before_commit += 1;
            return self.crash();
        }
        let refresh = granted
            .refresh
            .or(request.refresh.filter(|_| request.by == Use::RefreshToken));
        token.record = Some(Record {
            identity: token.policy.identity,
            refresh,
            open_intent: false,
            ends_at: request.sent_at + granted.lifetime,
            boot: self.shell.boot,
            validity,
            wall_at_boot: self.shell.wall_at_boot,
        });
        (token.watch.doubt, token.watch.refused) = (false, false);
        token.watch.password_refused &= request.by == Use::RefreshToken;
        if self.chance.one_in(5000) {
            self.totals.crashes_after_commit += 1;
            return self.crash();
        }
        token.current = Some(validity);
        token.watch.committed(self.now);
        self.totals.commits += 1;
    }

    fn discard(&mut self, name: &TokenName, attempt: AttemptId) {
        let token = &self.tokens[self.indices[name]];
        let arrived = self.shell.arrived.remove(&attempt);
        assert!(arrived.is_some(), "discard of what has not arrived");
        let Some((_, _, validity)) = arrived else {
            return;
        };
        let held = token.record.map(|record| record.validity.obtained_at);
        assert!(
            !token.configured
                || attempt < token.watch.first_attempt
                || held.is_some_and(|obtained_at| obtained_at >= validity.obtained_at),
            "a newer token was discarded"
        );
        self.totals.discarded += 1;
    }

    fn quarantine(&mut self, name: &TokenName) {
        let now = self.now;
        let token = &mut self.tokens[self.indices[name]];
        let Some(record) = token.record.as_mut() else {
            return;
        };
        let Some(refresh) = record.refresh.take() else {
            return;
        };
        let changed = record.identity != token.policy.identity;
        let honoured = token.registration.honours(now, refresh);
        let doubtful = match token.policy.grant {
            Grant::Login | Grant::RefreshToken => false,
            Grant::ClientCredentials | Grant::Exchange | Grant::Password => {
                token.watch.doubt || record.open_intent
            }
        };
        record.open_intent = false;
        record.validity.refresh = None;
        assert!(
            changed || doubtful || token.watch.refused || !honoured,
            "a refresh token that works was set aside"
        );
        assert!(
            changed || !honoured || doubtful,
            "a refresh token that works counts as refused"
        );
        self.totals.quarantined += 1;
    }

    fn withdraw(&mut self, name: &TokenName) {
        let token = &mut self.tokens[self.indices[name]];
        let Some(current) = token.current.take() else {
            assert!(token.current.is_some(), "nothing to withdraw");
            return;
        };
        let expired_at = current.expires_at;
        assert!(
            expired_at <= self.shell.time(self.now),
            "a valid token was withdrawn"
        );
        let meter = &self.meters[token.registration.server];
        let world_expiry = self.shell.booted_at + (expired_at - Instant::BOOT);
        token
            .watch
            .expired(&current, world_expiry, &token.policy, meter);
        self.totals.expired += 1;
    }
}
