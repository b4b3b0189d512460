//! When people are to be told that somebody has to log in: early, at once when it is too late, and
//! again with growing pauses.

use std::time::Duration;

use super::policy::Policy;
use super::status::Health;
use crate::instant::Instant;

/// What people have been told.
#[derive(Debug, Default)]
pub(super) struct Reminders {
    /// The last reminder since the last login.
    last: Option<Reminder>,
    /// Somebody has logged out, and not in again: nobody is told to.
    logged_out: bool,
}

impl Reminders {
    /// When people are to be told next.
    pub(super) fn next(&self, need: Need) -> Option<Instant> {
        if self.logged_out {
            return None;
        }
        match need {
            Need::None => None,
            Need::Until { end, notice } => {
                let notice = end.saturating_sub(notice);
                let at = notice.max(self.again(Occasion::Early));
                // When the end has come, what then fails says so.
                (at < end).then_some(at)
            }
            Need::Now => Some(self.again(Occasion::TooLate)),
        }
    }

    /// Takes note that people are being told.
    pub(super) fn told(&mut self, now: Instant, need: Need) {
        let occasion = match need {
            Need::None | Need::Until { .. } => Occasion::Early,
            Need::Now => Occasion::TooLate,
        };
        let before = self.last_of(occasion);
        self.last = Some(Reminder {
            at: now,
            times: before.map_or(1, |before| before.times.saturating_add(1)),
            occasion,
        });
    }

    /// Somebody has logged in: what people were told is settled.
    pub(super) fn logged_in(&mut self) {
        *self = Self::default();
    }

    /// Somebody has logged out, and knows that nobody is logged in.
    pub(super) fn logged_out(&mut self) {
        self.logged_out = true;
    }

    /// A token was obtained. Where that does not move the end on, what people were told of it
    /// holds.
    pub(super) fn obtained(&mut self, window_fixed: bool) {
        self.last = self.last.filter(|_| window_fixed);
        self.logged_out = false;
    }

    /// Something else is obtained from now on, which nobody has logged out of.
    pub(super) fn replaced(&mut self) {
        self.logged_out = false;
    }

    /// From when on people may be told of this occasion again.
    fn again(&self, occasion: Occasion) -> Instant {
        self.last_of(occasion)
            .map_or(Instant::BOOT, |last| last.at + pause(last.times))
    }

    fn last_of(&self, occasion: Occasion) -> Option<Reminder> {
        self.last.filter(|last| last.occasion == occasion)
    }
}

/// Whether a person has to log in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    /// Nobody has to, as far as is known.
    None,
    /// Somebody has to until then, and wants to know this long before.
    Until { end: Instant, notice: Duration },
    /// Somebody has to log in now: the token fails for want of a login.
    Now,
}

impl Need {
    /// The need of a token of this policy and health, for which a person has to log in by `end`, if
    /// that is known.
    pub(super) fn new(policy: &Policy, health: Health, end: Option<Instant>) -> Self {
        if !policy.grant.needs_person() {
            return Self::None;
        }
        if health.login_reason().is_some() {
            return Self::Now;
        }
        let notice = policy.login_notice;
        end.map_or(Self::None, |end| Self::Until { end, notice })
    }
}

#[derive(Clone, Copy, Debug)]
struct Reminder {
    at: Instant,
    /// How many times people have been told of this occasion.
    times: u32,
    occasion: Occasion,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Occasion {
    /// What is held will end.
    Early,
    /// The token fails for want of a login.
    TooLate,
}

fn pause(times: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << times.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
