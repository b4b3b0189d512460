//! What a token's slot makes of changes that are no answers: a restart, a wish, another configuration.

use std::time::Duration;

use super::event::{AttemptId, Delivery, ErrorState, FailureKind, Restored, Use};
use super::policy::Policy;
use super::slot::{Phase, Slot};
use super::status::{Health, Reason};
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

impl Slot {
    /// The state file's token, at start. Whether its refresh token is to be set aside.
    pub(super) fn restored(&mut self, now: Instant, restored: Restored) -> bool {
        let mut validity = restored.validity;
        // What a broken file calls the future must not outrank every token obtained from now on.
        validity.obtained_at = validity.obtained_at.min(now);
        self.held = Some(validity);
        self.window_fixed = restored.window_fixed;
        self.current = now < validity.expires_at;
        if self.current {
            self.health = Health::Fresh;
        }
        if restored.current {
            self.plan();
            restored.open_intent && self.unanswered(now, Use::RefreshToken, Delivery::Unknown)
        } else {
            self.set_aside()
        }
    }

    /// Somebody wants a replacement now.
    pub(super) fn requested(&mut self, now: Instant) {
        let Phase::Resting(planned) = self.phase else {
            return;
        };
        let last = self.sent_at.unwrap_or_default();
        let due = match self.health {
            Health::Failing {
                reason: Reason::PasswordRefused,
                ..
            } if self.refusals > 1 && now < last + REFUSED_SPACING => {
                return;
            }
            Health::Failing { state, .. } => {
                self.seed_untried |= state == ErrorState::NeedsLogin;
                match self.next_use(now) {
                    // Nothing will be sent: whoever asks is told at once.
                    Err((ErrorState::NeedsLogin, _)) => now,
                    _ => now.max(last + FAILING_SPACING),
                }
            }
            // Only a person can replace it: until it ends, it lives on as it is.
            Health::Fresh if self.policy.grant.needs_person() && self.next_use(now).is_err() => {
                return;
            }
            Health::Fresh | Health::Pending => now,
        };
        let due = due.max(self.not_before());
        self.phase = Phase::Resting(Some(planned.map_or(due, |planned| planned.min(due))));
        self.asked = true;
    }

    /// Somebody has logged in. The slot has left its server.
    pub(super) fn logged_in(&mut self, now: Instant, validity: Validity) {
        self.held = Some(validity);
        self.current = now < validity.expires_at;
        self.health = Health::Fresh;
        self.settle();
        (self.seed_untried, self.window_fixed, self.reminded) = (false, false, None);
        self.logged_out = false;
        self.plan();
    }

    /// Somebody has logged out. The slot has left its server.
    pub(super) fn logged_out(&mut self, now: Instant, first: AttemptId) {
        self.first_attempt = first;
        (self.held, self.current) = (None, false);
        (self.seed_untried, self.logged_out) = (false, true);
        self.settle();
        self.health = Health::Pending;
        self.due_now(now);
    }

    /// It rests until a parent is replaced, which may be failing.
    pub(super) fn await_parent(&mut self, parent: TokenName, blame: Option<(ErrorState, Reason)>) {
        self.phase = Phase::Resting(None);
        self.awaits = Some(parent);
        if let Some((state, reason)) = blame {
            self.health = Health::Failing { state, reason };
        }
    }

    /// A parent was replaced.
    pub(super) fn parent_replaced(&mut self, now: Instant, parent: &TokenName) {
        self.renew |= self.policy.follows_parents && self.held.is_some();
        let awaited = self.awaits.as_ref() == Some(parent);
        // What failed for another reason than its parent fails with the next one, too: it keeps its pause.
        let promising = match self.streak {
            None | Some((FailureKind::GrantRefused, _)) => true,
            Some(_) => false,
        };
        let concerned = awaited || (self.renew && promising);
        if matches!(self.phase, Phase::Resting(_)) && concerned {
            self.awaits = None;
            self.due_now(now);
        }
    }

    /// A secret, a key or the like changed.
    pub(super) fn inputs_changed(&mut self, now: Instant) {
        self.seed_untried = true;
        self.refusals = 0;
        match (self.phase, self.health) {
            (Phase::InFlight { .. }, _) => self.outdated = true,
            (Phase::Resting(_), Health::Failing { .. }) => self.due_now(now),
            (Phase::Resting(_), _) if self.awaits.is_some() => self.due_now(now),
            _ => {}
        }
    }

    /// The policy changed, but not what is obtained.
    pub(super) fn replan(&mut self, now: Instant, policy: Policy) {
        self.policy = policy;
        self.inputs_changed(now);
        if let (Phase::Resting(_), Health::Fresh, None) = (self.phase, self.health, &self.awaits) {
            self.plan();
        }
    }

    /// What is obtained changed. The slot has left its server. Whether the refresh token, which belongs
    /// to what was, is to be set aside.
    pub(super) fn replace(&mut self, now: Instant, policy: Policy, first: AttemptId) -> bool {
        self.policy = policy;
        self.first_attempt = first;
        self.logged_out = false;
        self.health = if self.current {
            Health::Fresh
        } else {
            Health::Pending
        };
        self.settle();
        self.inputs_changed(now);
        self.due_now(now);
        self.set_aside()
    }
}

/// While a token fails, being asked for it repeats the request this often at most: a consumer that
/// asks in a loop must not undo the backoff.
const FAILING_SPACING: Duration = Duration::from_secs(10);
/// A password refused twice is tried this often at most, however often somebody asks.
const REFUSED_SPACING: Duration = Duration::from_secs(3600);
