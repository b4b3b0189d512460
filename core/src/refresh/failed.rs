//! What a token's slot makes of a failure, and when it has got over one.

use std::time::Duration;

use super::backoff;
use super::event::{Delivery, ErrorState, Failure, FailureKind, Use};
use super::policy::Grant;
use super::prng::Prng;
use super::slot::{Phase, Slot};
use super::status::Health;
use super::verdict::{Retry, judge};
use crate::instant::Instant;

impl Slot {
    /// The request under way failed. Whether the refresh token is to be set aside.
    pub(super) fn failed(&mut self, now: Instant, failure: &Failure, prng: &mut Prng) -> bool {
        let Phase::InFlight { by, basis, .. } = self.phase else {
            return false;
        };
        self.attempts += 1;
        self.held_off_until = now + backoff::heeded(failure.retry_after);
        let refused = (by, self.policy.grant, failure.kind)
            == (Use::Primary, Grant::Password, FailureKind::GrantRefused);
        // The server counts it, whatever has become of the token meanwhile.
        self.refusals += u32::from(refused && !self.outdated);
        if basis != self.held.map(|held| held.obtained_at) {
            // A late success has replaced what this attempt was about.
            self.plan();
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let streak = match self.streak {
            Some((kind, count)) if kind == failure.kind => count.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((failure.kind, streak));
        let grant = self.policy.grant;
        if (by, grant) == (Use::Primary, Grant::RefreshToken)
            && failure.kind == FailureKind::GrantRefused
        {
            self.seed_untried = self.outdated;
        }
        let verdict = judge(
            (by, grant, failure.kind),
            streak,
            self.ambiguous,
            self.seed_untried,
        );
        // What its parent has become is still to be followed, as long as that may succeed.
        self.renew |= by == Use::Primary
            && self.policy.follows_parents
            && self.held.is_some()
            && verdict.state == ErrorState::Transient;
        self.health = Health::Failing {
            state: verdict.state,
            reason: verdict.reason,
        };
        let due = match verdict.retry {
            Retry::Backoff(cap) => {
                // Several tries while there is something to lose.
                let runway = self
                    .lost_at(now)
                    .map_or(Duration::MAX, |lost_at| lost_at - now);
                Some(now + backoff::delay(self.failures, cap.min(runway / 4), prng))
            }
            Retry::OnChange | Retry::Slowly(_) if self.outdated => Some(now),
            Retry::OnChange => None,
            Retry::Slowly(failures) => Some(now + backoff::slow_delay(failures, prng)),
            Retry::Soon => Some(now),
        };
        self.phase = Phase::Resting(due.map(|due| due.max(self.not_before())));
        self.unanswered(now, by, failure.delivery)
            || (verdict.refresh_token_refused && self.set_aside())
    }

    /// What a request without an answer means for a refresh token that works once. Keycloak ends the
    /// session when a spent one comes again, so where another way leads to a token it is not risked;
    /// where none does, trying is all that is left. Whether it is to be set aside.
    pub(super) fn unanswered(&mut self, now: Instant, by: Use, delivery: Delivery) -> bool {
        match (delivery, by, self.policy.grant) {
            (Delivery::Answered | Delivery::NotSent, _, _) => false,
            (Delivery::Unknown, _, Grant::Login | Grant::RefreshToken) => {
                self.ambiguous = true;
                false
            }
            // The server still takes the one it has rotated.
            (Delivery::Unknown, Use::RefreshToken, _) if self.within_grace(now) => false,
            (Delivery::Unknown, Use::RefreshToken, Grant::Password) if self.refusals > 0 => {
                self.ambiguous = true;
                false
            }
            (Delivery::Unknown, Use::RefreshToken, _) => self.set_aside(),
            (Delivery::Unknown, Use::Primary, _) => false,
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn settle(&mut self) {
        self.failures = 0;
        self.streak = None;
        self.ambiguous = false;
        self.first_use = None;
    }

    /// Whether there was a refresh token to set aside.
    pub(super) fn set_aside(&mut self) -> bool {
        self.held
            .as_mut()
            .is_some_and(|held| held.refresh.take().is_some())
    }

    /// When something held is lost: the access token, or the refresh token that nothing else replaces.
    pub(super) fn lost_at(&self, now: Instant) -> Option<Instant> {
        let held = self.held?;
        let refresh = held.refresh.filter(|_| self.policy.grant.needs_person());
        let refresh = refresh.and_then(|refresh| refresh.expires_at);
        [Some(held.expires_at), refresh]
            .into_iter()
            .flatten()
            .filter(|end| now < *end)
            .min()
    }

    /// Whether a refresh token whose first use is not long ago may be used again.
    fn within_grace(&self, now: Instant) -> bool {
        let grace = self.policy.rotation_grace;
        self.first_use
            .is_some_and(|first_use| now < first_use + grace)
    }
}
