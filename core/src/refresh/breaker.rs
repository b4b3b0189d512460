//! The circuit breaker of one authorization server: many tokens must not storm a server that is
//! down.

use std::time::Duration;

use super::event::AttemptId;
use super::prng::Prng;
use crate::instant::Instant;

/// Closed: everything passes. Open, after [`TRIP`] consecutive failures across the server's tokens:
/// one probe at a time, ever further apart. An answer closes it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Consecutive failures.
    failures: u32,
    /// The probe under way.
    probe: Option<AttemptId>,
    /// When it opened or the last probe ended.
    since: Instant,
    /// How long after that the next probe may go.
    spacing: Duration,
}

/// So many consecutive failures open it.
pub(super) const TRIP: u32 = 5;

impl Breaker {
    /// When the next request may go: `None` while a probe is under way. `lost_after` is the first
    /// instant after a given one at which a waiting token loses something; probes come at least
    /// four times before that.
    pub(super) fn permits(
        &self,
        lost_after: impl FnOnce(Instant) -> Option<Instant>,
    ) -> Option<Instant> {
        if self.failures < TRIP {
            return Some(Instant::BOOT);
        }
        if self.probe.is_some() {
            return None;
        }
        let runway = lost_after(self.since).map_or(Duration::MAX, |lost_at| lost_at - self.since);
        Some(self.since + self.spacing.min(runway / 4).max(SPACING_MIN))
    }

    /// A request goes out.
    pub(super) fn sent(&mut self, attempt: AttemptId) {
        if self.failures >= TRIP {
            self.probe = Some(attempt);
        }
    }

    /// The server answered: it is up.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// The server could not be reached or did not do its work.
    pub(super) fn failed(&mut self, now: Instant, attempt: AttemptId, prng: &mut Prng) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == TRIP {
            self.since = now;
            self.spacing = SPACING_MIN;
        } else if self.probe == Some(attempt) {
            let longest = self.spacing.saturating_mul(2).min(SPACING_MAX);
            self.since = now;
            self.spacing = prng.between(longest / 2, longest).max(SPACING_MIN);
        }
        self.ended(now, attempt);
    }

    /// An attempt ended that says nothing about the server.
    pub(super) fn ended(&mut self, now: Instant, attempt: AttemptId) {
        if self.probe == Some(attempt) {
            self.probe = None;
            self.since = now;
        }
    }
}

const SPACING_MIN: Duration = Duration::from_secs(1);
const SPACING_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn tripped() -> Breaker {
        let mut breaker = Breaker::default();
        for id in 0..u64::from(TRIP) {
            assert_eq!(breaker.permits(|_| None), Some(Instant::BOOT));
            breaker.sent(AttemptId(id));
            breaker.failed(at(100), AttemptId(id), &mut Prng::new(1));
        }
        breaker
    }

    #[test]
    fn opens_after_five_failures_and_probes_one_at_a_time() {
        let mut breaker = tripped();
        assert_eq!(breaker.permits(|_| None), Some(at(101)));
        breaker.sent(AttemptId(9));
        assert_eq!(breaker.permits(|_| None), None);
        // A straggler from before it opened neither ends the probe nor moves the next one.
        breaker.failed(at(102), AttemptId(4), &mut Prng::new(1));
        assert_eq!(breaker.permits(|_| None), None);
        breaker.failed(at(103), AttemptId(9), &mut Prng::new(1));
        assert!(breaker.permits(|_| None) >= Some(at(104)));
    }

    #[test]
    fn probes_stay_within_half_a_minute_and_before_a_loss() {
        let mut breaker = tripped();
        for id in 10..40 {
            breaker.sent(AttemptId(id));
            breaker.failed(at(id * 100), AttemptId(id), &mut Prng::new(id));
            let next = breaker.permits(|_| None).unwrap();
            assert!((at(id * 100 + 1)..=at(id * 100 + 30)).contains(&next));
        }
        assert!(breaker.permits(|_| None) > Some(at(3910)));
        assert_eq!(
            breaker.permits(|since| Some(since + Duration::from_secs(12))),
            Some(at(3903))
        );
        assert_eq!(breaker.permits(Some), Some(at(3901)));
    }

    #[test]
    fn an_answer_closes_it() {
        let mut breaker = tripped();
        breaker.sent(AttemptId(9));
        breaker.answered();
        assert_eq!(breaker.permits(|_| None), Some(Instant::BOOT));
    }

    #[test]
    fn a_probe_that_says_nothing_makes_room_for_the_next() {
        let mut breaker = tripped();
        breaker.sent(AttemptId(9));
        breaker.ended(at(200), AttemptId(9));
        assert_eq!(breaker.permits(|_| None), Some(at(201)));
    }
}
