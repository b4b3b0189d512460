//! The scheduler as the shell sees it: events and timeouts in, commands out.

mod follow;
mod graph;
mod login;
mod refused;
mod restored;
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::credential::{RefreshValidity, TokenName, Validity};
use crate::instant::Instant;

/// One token named `a`, driven by hand.
struct Bench {
    scheduler: Scheduler,
    now: Instant,
}

impl Bench {
    fn new(grant: Grant) -> Self {
        let mut bench = Self {
            scheduler: Scheduler::new(1),
            now: at(1000),
        };
        bench.configure(policy(grant));
        bench
    }

    fn configure(&mut self, policy: Policy) {
        self.scheduler
            .configure(self.now, BTreeMap::from([(name("a"), policy)]));
    }

    /// Moves on to `now`, stopping at every timer on the way.
    fn until(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = self.commands();
        while let Some(next) = self.scheduler.poll_timeout().filter(|next| *next <= now) {
            self.now = self.now.max(next);
            self.scheduler.handle_timeout(self.now);
            commands.extend(self.commands());
        }
        self.now = now;
        commands
    }

    /// What is commanded, the asking for a login left out.
    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.scheduler.poll_command())
            .filter(|command| !matches!(command, Command::AskForLogin { .. }))
            .collect()
    }

    /// Expects exactly one request within `seconds`, and says which and when.
    fn request(&mut self, seconds: u64) -> (AttemptId, Use) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.scheduler.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.scheduler.handle_timeout(self.now);
            for command in self.commands() {
                if let Command::Obtain { attempt, by, .. } = command {
                    return (attempt, by);
                }
            }
        }
        panic!("no request within {seconds} s");
    }

    fn obtained(&mut self, attempt: AttemptId, sent_at: Instant, lifetime: u64) -> Vec<Command> {
        let validity = Validity {
            obtained_at: sent_at,
            expires_at: sent_at + Duration::from_secs(lifetime),
            refresh: Some(RefreshValidity { expires_at: None }),
            id_token_expires_at: None,
        };
        self.event(Event::Obtained {
            name: name("a"),
            attempt,
            validity,
        })
    }

    fn failed(
        &mut self,
        attempt: AttemptId,
        kind: FailureKind,
        delivery: Delivery,
    ) -> Vec<Command> {
        let failure = Failure {
            kind,
            delivery,
            ..Failure::LOST
        };
        self.ended(attempt, failure)
    }

    /// The server answers with `Retry-After`.
    fn put_off(
        &mut self,
        attempt: AttemptId,
        kind: FailureKind,
        retry_after: Duration,
    ) -> Vec<Command> {
        let failure = Failure {
            kind,
            delivery: Delivery::Answered,
            retry_after: Some(retry_after),
            echo: false,
        };
        self.ended(attempt, failure)
    }

    fn ended(&mut self, attempt: AttemptId, failure: Failure) -> Vec<Command> {
        self.event(Event::Failed {
            name: name("a"),
            attempt,
            failure,
        })
    }

    fn event(&mut self, event: Event) -> Vec<Command> {
        self.scheduler.handle_event(self.now, event);
        self.commands()
    }

    fn status(&self) -> Status {
        self.scheduler.status(&name("a")).unwrap()
    }

    /// A token of 100 s is held.
    fn holding(grant: Grant) -> Self {
        let mut bench = Self::new(grant);
        let (attempt, by) = bench.request(0);
        assert_eq!(by, Use::Primary);
        assert_eq!(bench.obtained(attempt, bench.now, 100), [commit(attempt)]);
        bench
    }
}

fn at(seconds: u64) -> Instant {
    Instant::since_boot(Duration::from_secs(seconds))
}

fn restored(restored: Restored) -> Event {
    let name = name("a");
    Event::Restored { name, restored }
}

fn name(name: &str) -> TokenName {
    TokenName::parse(name).unwrap()
}

fn policy(grant: Grant) -> Policy {
    Policy {
        server: ServerId("https://as.example".into()),
        limits: Limits {
            max_in_flight: 4,
            requests_per_minute: None,
        },
        grant,
        refresh_at: RefreshAt::Permille(750),
        deadline: Duration::from_secs(10),
        identity: [0; 16],
        parents: Vec::new(),
        follows_parents: false,
        inactivity: None,
        login_notice: Duration::from_secs(900),
        rotation_grace: Duration::ZERO,
    }
}

fn commit(attempt: AttemptId) -> Command {
    Command::Commit {
        name: name("a"),
        attempt,
    }
}

fn quarantine() -> Command {
    Command::Quarantine { name: name("a") }
}

fn withdraw() -> Command {
    Command::Withdraw { name: name("a") }
}

#[test]
fn a_new_token_is_requested_by_the_timeout_only() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    assert_eq!(bench.commands(), []);
    assert_eq!(bench.status().health, Health::Pending);
    assert_eq!(bench.scheduler.poll_timeout(), Some(bench.now));
    bench.request(0);
    assert!(bench.status().in_flight);
}

#[test]
fn a_failure_keeps_the_token_and_expiry_withdraws_it_once() {
    let mut bench = Bench::holding(Grant::ClientCredentials);
    let (attempt, _) = bench.request(75);
    let failed = bench.failed(attempt, FailureKind::Unavailable, Delivery::NotSent);
    assert_eq!(failed, []);
    assert!(bench.status().validity.is_some());
    let later = bench.until(at(1400));
    let withdrawn = later
        .iter()
        .filter(|command| **command == withdraw())
        .count();
    assert_eq!(withdrawn, 1);
}

#[test]
fn the_deadline_counts_as_a_failure_and_a_late_success_still_counts() {
    let mut bench = Bench::holding(Grant::ClientCredentials);
    let (lost, _) = bench.request(75);
    let sent_at = bench.now;
    let cancelled = bench.until(sent_at + Duration::from_secs(10));
    assert_eq!(
        cancelled,
        [Command::Cancel {
            name: name("a"),
            attempt: lost
        }]
    );
    assert_eq!(bench.status().failures, 1);
    // The answer to the lost request, then the same again.
    assert_eq!(bench.obtained(lost, sent_at, 100), [commit(lost)]);
    assert_eq!(bench.status().health, Health::Fresh);
    let duplicate = bench.obtained(lost, sent_at, 100);
    assert_eq!(
        duplicate,
        [Command::Discard {
            name: name("a"),
            attempt: lost
        }]
    );
    // Its failure is stale.
    bench.failed(lost, FailureKind::Denied, Delivery::Answered);
    assert_eq!(bench.status().health, Health::Fresh);
}

#[test]
fn what_another_configuration_asked_for_is_discarded() {
    let mut bench = Bench::holding(Grant::Password);
    let (old, _) = bench.request(75);
    let sent_at = bench.now;
    bench.configure(Policy {
        identity: [1; 16],
        ..policy(Grant::Password)
    });
    let cancel = Command::Cancel {
        name: name("a"),
        attempt: old,
    };
    assert_eq!(bench.commands(), [cancel, quarantine()]);
    assert_eq!(bench.status().health, Health::Fresh);
    let discard = Command::Discard {
        name: name("a"),
        attempt: old,
    };
    assert_eq!(bench.obtained(old, sent_at, 100), [discard]);
    // The attempt given up was a moment ago: the floor holds.
    let (_, by) = bench.request(1);
    assert_eq!(
        (by, bench.now),
        (Use::Primary, sent_at + Duration::from_secs(1))
    );
    // Removed and gone.
    bench.scheduler.configure(bench.now, BTreeMap::new());
    assert_eq!(bench.scheduler.poll_timeout(), None);
    assert_eq!(bench.scheduler.status(&name("a")), None);
}

#[test]
fn requests_join_and_keep_the_floor() {
    let mut bench = Bench::holding(Grant::ClientCredentials);
    let held_at = bench.now;
    bench.event(Event::RefreshRequested { name: name("a") });
    let (attempt, _) = bench.request(5);
    assert_eq!(bench.now, held_at + Duration::from_secs(1));
    bench.event(Event::RefreshRequested { name: name("a") });
    assert_eq!(bench.until(bench.now + Duration::from_secs(5)), []);
    bench.obtained(attempt, bench.now, 100);
    assert_eq!(bench.status().attempts, 2);
    assert_eq!(bench.until(bench.now + Duration::from_secs(5)), []);
}

#[test]
fn retry_after_outranks_the_backoff() {
    let mut bench = Bench::holding(Grant::ClientCredentials);
    let (attempt, _) = bench.request(75);
    let pause = Duration::from_secs(20);
    bench.put_off(attempt, FailureKind::Unavailable, pause);
    let end = bench.now + pause;
    assert_eq!(bench.status().next_attempt_at, Some(end));
    bench.event(Event::RefreshRequested { name: name("a") });
    bench.request(20);
    assert_eq!(bench.now, end);
}

#[test]
fn a_misconfiguration_is_retried_at_once_when_something_changes() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    let (attempt, _) = bench.request(0);
    bench.failed(attempt, FailureKind::Misconfigured, Delivery::NotSent);
    let failed_at = bench.now;
    assert!(bench.status().next_attempt_at >= Some(failed_at + Duration::from_secs(30)));
    bench.event(Event::InputsChanged { name: name("a") });
    let (attempt, _) = bench.request(1);
    bench.failed(attempt, FailureKind::Misconfigured, Delivery::NotSent);
    let deadline = Duration::from_secs(20);
    bench.configure(Policy {
        deadline,
        ..policy(Grant::ClientCredentials)
    });
    bench.request(1);
}

#[test]
fn a_lifetime_of_nothing_is_no_hot_loop() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    let mut last = None;
    for _ in 0..20 {
        let (attempt, _) = bench.request(2);
        assert!(last.is_none_or(|last: Instant| bench.now - last >= Duration::from_secs(1)));
        last = Some(bench.now);
        assert_eq!(
            bench.obtained(attempt, bench.now, 0),
            [commit(attempt), withdraw()]
        );
    }
}

#[test]
fn a_changed_schedule_moves_the_next_refresh_only() {
    let mut bench = Bench::holding(Grant::Password);
    let due = bench.status().next_attempt_at;
    bench.configure(policy(Grant::Password));
    assert_eq!(bench.status().next_attempt_at, due);
    let refresh_at = RefreshAt::BeforeExpiry(Duration::from_secs(50));
    bench.configure(Policy {
        refresh_at,
        ..policy(Grant::Password)
    });
    assert_eq!(bench.commands(), []);
    assert!(bench.status().next_attempt_at < due);
    assert_eq!(bench.request(50).1, Use::RefreshToken);
}
