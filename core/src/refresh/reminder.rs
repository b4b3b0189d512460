//! When people are to be told that somebody has to log in: early, at once when it is too late, and again
//! with growing pauses.

use std::time::Duration;

use super::event::ErrorState;
use super::policy::Grant;
use super::slot::Slot;
use super::status::Health;
use crate::instant::Instant;

/// What people have been told since the last login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reminded {
    last: Instant,
    times: u32,
    /// The token was failing for want of a login by then.
    too_late: bool,
}

impl Slot {
    /// When a person has to log in, as far as that is known.
    pub(super) fn login_due_at(&self) -> Option<Instant> {
        let held = self.held.filter(|_| self.policy.grant.needs_person())?;
        match held.refresh {
            // A seed that has not been tried may be another way.
            None if self.policy.grant == Grant::RefreshToken && self.seed_untried => None,
            None => Some(held.expires_at),
            // While each refresh moves the end on, there is none.
            Some(refresh) => refresh.expires_at.filter(|_| self.window_fixed),
        }
    }

    /// Until when what is held brings working access tokens, or is one.
    pub(super) fn works_until(&self) -> Option<Instant> {
        self.login_due_at()
            .or(self.held.map(|held| held.expires_at))
    }

    /// When people are to be told next.
    pub(super) fn remind_at(&self) -> Option<Instant> {
        if !self.policy.grant.needs_person() || self.logged_out {
            return None;
        }
        let again = |too_late| {
            let reminded = self.reminded.filter(|told| told.too_late == too_late);
            reminded.map_or(Instant::BOOT, |told| told.last + pause(told.times))
        };
        if self.too_late() {
            return Some(again(true));
        }
        let end = self.login_due_at()?;
        let notice = end.saturating_sub(self.policy.login_notice);
        let at = notice.max(again(false));
        // When the end has come, what then fails says so.
        (at < end).then_some(at)
    }

    /// Takes note that people are being told.
    pub(super) fn remind(&mut self, now: Instant) {
        let too_late = self.too_late();
        let before = self
            .reminded
            .filter(|reminded| reminded.too_late == too_late);
        self.reminded = Some(Reminded {
            last: now,
            times: before.map_or(1, |reminded| reminded.times.saturating_add(1)),
            too_late,
        });
    }

    fn too_late(&self) -> bool {
        matches!(
            self.health,
            Health::Failing {
                state: ErrorState::NeedsLogin,
                ..
            }
        )
    }
}

fn pause(times: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
