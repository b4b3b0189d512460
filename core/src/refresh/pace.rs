//! What paces the attempts of a token: the floor, `Retry-After`, and the failures so far.

use std::time::Duration;

use super::backoff::{self, FLOOR};
use super::event::FailureKind;
use super::prng::Prng;
use super::verdict::Retry;
use crate::instant::Instant;

/// What paces the attempts of a token.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Sent>,
    /// Until when `Retry-After` asks to wait.
    held_off_until: Instant,
    /// Finished attempts.
    attempts: u64,
    /// Consecutive failures.
    failures: u32,
    /// How many of the last failures in a row were of this kind.
    streak: Option<(FailureKind, u32)>,
}

impl Pace {
    /// A request goes out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last = Some(Sent {
            at: now,
            outdated: false,
        });
    }

    /// An input has changed while the last request is under way.
    pub(super) fn outdate(&mut self) {
        if let Some(last) = &mut self.last {
            last.outdated = true;
        }
    }

    /// The attempt under way is over.
    pub(super) fn ended(&mut self) {
        self.attempts += 1;
    }

    /// The server has answered with `Retry-After`, or without.
    pub(super) fn hold_off(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.held_off_until = now + backoff::heeded(retry_after);
    }

    /// Counts a failure. Returns how many of this kind have come in a row.
    pub(super) fn count_failure(&mut self, kind: FailureKind) -> u32 {
        self.failures = self.failures.saturating_add(1);
        let streak = match self.streak {
            Some((last, count)) if last == kind => count.saturating_add(1),
            Some(_) | None => 1,
        };
        self.streak = Some((kind, streak));
        streak
    }

    /// Nothing is wrong any more.
    pub(super) fn settle(&mut self) {
        self.failures = 0;
        self.streak = None;
    }

    /// Finished attempts.
    pub(super) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Consecutive failures.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The kind of the last failure, unless a success came after it.
    pub(super) fn last_failure(&self) -> Option<FailureKind> {
        self.streak.map(|(kind, _)| kind)
    }

    /// When the last request went out; boot if none has.
    pub(super) fn sent_at(&self) -> Instant {
        self.last.map(|last| last.at).unwrap_or_default()
    }

    /// Whether the last request was made with an input that has changed while it was under way.
    pub(super) fn is_outdated(&self) -> bool {
        self.last.is_some_and(|last| last.outdated)
    }

    /// The next request may not go out before this instant.
    pub(super) fn not_before(&self) -> Instant {
        self.last
            .map_or(Instant::BOOT, |last| last.at + FLOOR)
            .max(self.held_off_until)
    }

    /// From when on a token that fails is requested again because somebody asks for it.
    pub(super) fn may_repeat_at(&self) -> Instant {
        self.sent_at() + FAILING_SPACING
    }

    /// From when on a password that was refused twice is tried again because somebody asks for the
    /// token.
    pub(super) fn may_repeat_refused_at(&self) -> Instant {
        self.sent_at() + REFUSED_SPACING
    }

    /// When to try again after a failure; `None`: not before something changes. `runway` is the
    /// time until something held is lost.
    pub(super) fn retry_at(
        &self,
        now: Instant,
        retry: Retry,
        runway: Duration,
        prng: &mut Prng,
    ) -> Option<Instant> {
        let due = match retry {
            // Several tries while there is something to lose.
            Retry::Backoff(cap) => now + backoff::delay(self.failures, cap.min(runway / 4), prng),
            Retry::OnChange | Retry::Slowly(_) if self.is_outdated() => now,
            Retry::OnChange => return None,
            Retry::Slowly(failures) => now + backoff::slow_delay(failures, prng),
            Retry::Soon => now,
        };
        Some(due.max(self.not_before()))
    }

    /// What failures cost in rank, lest a token that always fails keeps the others waiting.
    pub(super) fn penalty(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => FLOOR.saturating_mul(1 << failures.min(16)).min(PENALTY_MAX),
        }
    }
}

/// The last request that went out.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    /// An input has changed while the request was under way, which was made with the old one.
    outdated: bool,
}

/// While a token fails, being asked for it repeats the request this often at most: a consumer that
/// asks in a loop must not undo the backoff.
const FAILING_SPACING: Duration = Duration::from_secs(10);
/// A password refused twice is tried this often at most, however often somebody asks.
const REFUSED_SPACING: Duration = Duration::from_secs(3600);
/// The most that failures cost in rank.
const PENALTY_MAX: Duration = Duration::from_secs(300);
