//! One token: what is held, and what happens next. A failure changes only the latter, except that a
//! refused refresh token is not held any longer.

use std::time::Duration;

use super::backoff::FLOOR;
use super::event::{AttemptId, ErrorState, FailureKind, Use};
use super::limiter::Place;
use super::policy::{Grant, Part, Policy};
use super::reminder::Reminded;
use super::status::{Health, Reason};
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// One configured token.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) policy: Policy,
    pub(super) held: Option<Validity>,
    /// The access token held has not expired, as far as the shell was told.
    pub(super) current: bool,
    pub(super) phase: Phase,
    pub(super) health: Health,
    /// Consecutive failures.
    pub(super) failures: u32,
    /// Finished attempts.
    pub(super) attempts: u64,
    /// Results of attempts before this one belong to a configuration that is gone.
    pub(super) first_attempt: AttemptId,
    /// The timer set for it.
    pub(super) armed: Option<Instant>,
    /// Its share of the spread, for good.
    jitter: u64,
    pub(super) sent_at: Option<Instant>,
    /// When the refresh token held was sent first.
    pub(super) first_use: Option<Instant>,
    /// Until when `Retry-After` asks to wait.
    pub(super) held_off_until: Instant,
    /// How many failures of the same kind came last.
    pub(super) streak: Option<(FailureKind, u32)>,
    /// A use of the only refresh token stayed unanswered: it may be spent.
    pub(super) ambiguous: bool,
    /// The configured refresh token may be a new one. Only for [`Grant::RefreshToken`].
    pub(super) seed_untried: bool,
    /// Refusals of the password since an input changed.
    pub(super) refusals: u32,
    /// An input changed while the request under way was made with the old one.
    pub(super) outdated: bool,
    /// Somebody waits for a replacement of a token that is not expired.
    pub(super) asked: bool,
    /// The parent whose replacement it rests for.
    pub(super) awaits: Option<TokenName>,
    /// A parent that it follows was replaced: what the refresh token brings would be made from the old one.
    pub(super) renew: bool,
    /// The last refresh did not move the refresh token's end: nothing will.
    pub(super) window_fixed: bool,
    pub(super) reminded: Option<Reminded>,
    /// Somebody has logged out, and not in again: nobody is told to.
    pub(super) logged_out: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// A request is under way.
    InFlight {
        attempt: AttemptId,
        by: Use,
        deadline: Instant,
        /// Which token was held when it was sent, by its `obtained_at`.
        basis: Option<Instant>,
    },
    /// It is due, and waits for its authorization server's limiter.
    Queued(Place),
    /// It becomes due then; `None`: only a change helps.
    Resting(Option<Instant>),
}

impl Slot {
    /// A token not heard of before: due now.
    pub(super) fn new(policy: Policy, now: Instant, first_attempt: AttemptId, jitter: u64) -> Self {
        Self {
            policy,
            held: None,
            current: false,
            phase: Phase::Resting(Some(now)),
            health: Health::Pending,
            failures: 0,
            attempts: 0,
            first_attempt,
            armed: None,
            jitter,
            sent_at: None,
            first_use: None,
            held_off_until: Instant::BOOT,
            streak: None,
            ambiguous: false,
            seed_untried: true,
            refusals: 0,
            outdated: false,
            asked: false,
            awaits: None,
            renew: false,
            window_fixed: false,
            reminded: None,
            logged_out: false,
        }
    }

    /// The next instant at which something is to be done.
    pub(super) fn wake(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::InFlight { deadline, .. } => Some(deadline),
            Phase::Queued(_) => None,
            Phase::Resting(due) => due,
        };
        let expiry = self
            .held
            .filter(|_| self.current)
            .map(|held| held.expires_at);
        let all = [phase, expiry, self.remind_at(), self.way_ends_at()];
        all.into_iter().flatten().min()
    }

    /// When the refresh token ends that it waits to use, if then only a person helps: whatever it waits for,
    /// people are to know at once.
    pub(super) fn way_ends_at(&self) -> Option<Instant> {
        let waits = matches!(self.phase, Phase::Queued(_) | Phase::Resting(Some(_)));
        let refresh = self.held.filter(|_| waits)?.refresh?;
        let needs_person =
            |end: &Instant| matches!(self.next_use(*end), Err((ErrorState::NeedsLogin, _)));
        refresh.expires_at.filter(needs_person)
    }

    /// Whether it may be refreshed. One that may be spent is for when the password is no way.
    pub(super) fn is_refreshable(&self, now: Instant) -> bool {
        let refresh = self.held.and_then(|held| held.refresh);
        let other_way = self.policy.grant == Grant::Password && self.refusals == 0;
        refresh.is_some_and(|refresh| refresh.is_usable(now)) && !(self.ambiguous && other_way)
    }

    /// By which grant the next request goes, or why there is none.
    pub(super) fn next_use(&self, now: Instant) -> Result<Use, (ErrorState, Reason)> {
        let usable = self.is_refreshable(now);
        match self.policy.grant {
            Grant::ClientCredentials => Ok(Use::Primary),
            Grant::Exchange if self.renew || !usable => Ok(Use::Primary),
            _ if usable => Ok(Use::RefreshToken),
            Grant::Exchange => Ok(Use::Primary),
            Grant::Password if self.refusals == 0 || self.asked => Ok(Use::Primary),
            Grant::Password => Err((ErrorState::FixConfig, Reason::PasswordRefused)),
            Grant::RefreshToken if self.seed_untried => Ok(Use::Primary),
            Grant::Login | Grant::RefreshToken => match self.health {
                Health::Failing {
                    state: ErrorState::NeedsLogin,
                    reason,
                } => Err((ErrorState::NeedsLogin, reason)),
                _ if self.held.is_some_and(|held| held.refresh.is_some()) => {
                    Err((ErrorState::NeedsLogin, Reason::RefreshTokenExpired))
                }
                _ => Err((ErrorState::NeedsLogin, Reason::LoginRequired)),
            },
        }
    }

    /// There is no way to a token without a person.
    pub(super) fn stuck(&mut self, state: ErrorState, reason: Reason) {
        self.health = Health::Failing { state, reason };
        self.phase = Phase::Resting(None);
    }

    /// Whether a request that carries this part of it now finds it valid, slow as it may be.
    pub(super) fn supplies(&self, part: Part, now: Instant, lead: Duration) -> bool {
        let Some(held) = self.held else {
            return false;
        };
        let ends_at = match part {
            Part::AccessToken => Some(held.expires_at),
            Part::IdToken => held.id_token_expires_at,
            Part::RefreshToken => held
                .refresh
                .map(|refresh| refresh.expires_at.unwrap_or(now + 2 * lead)),
        };
        // A part that lives shortly has to do: the next one will not live longer.
        ends_at.is_some_and(|end| now + lead.min((end - held.obtained_at) / 4) < end)
    }

    /// Its place among those that wait: what expires first goes first. Who has nothing is as urgent as
    /// who loses it now; failures cost rank, lest a token that always fails keeps the others waiting.
    pub(super) fn place(&self, now: Instant) -> Place {
        let base = match self.held {
            Some(held) if self.current && !self.asked => held.expires_at,
            _ => now,
        };
        let penalty = match self.failures {
            0 => Duration::ZERO,
            failures => FLOOR.saturating_mul(1 << failures.min(16)).min(PENALTY_MAX),
        };
        Place {
            urgency: base + penalty,
            lost_at: self.lost_at(now),
        }
    }

    /// A request goes out.
    pub(super) fn sent(&mut self, now: Instant, attempt: AttemptId, by: Use) {
        let basis = self.held.map(|held| held.obtained_at);
        let deadline = now + self.policy.deadline;
        self.phase = Phase::InFlight {
            attempt,
            by,
            deadline,
            basis,
        };
        self.sent_at = Some(now);
        self.outdated = false;
        self.asked = false;
        self.renew = false;
        if by == Use::RefreshToken {
            self.first_use.get_or_insert(now);
        }
    }

    /// A token arrived and is the newest.
    pub(super) fn obtained(&mut self, now: Instant, attempt: AttemptId, validity: Validity) {
        let ends_at = |held: Validity| held.refresh?.expires_at;
        let ends = (self.held.and_then(ends_at), ends_at(validity));
        // Ends are counted in whole seconds, each from another request.
        self.window_fixed =
            matches!(ends, (Some(before), Some(now)) if now <= before + Duration::from_secs(2));
        self.awaits = None;
        self.reminded = self.reminded.filter(|_| self.window_fixed);
        self.held = Some(validity);
        self.current = now < validity.expires_at;
        self.health = Health::Fresh;
        self.logged_out = false;
        self.settle();
        self.seed_untried &= self.outdated || validity.refresh.is_none();
        match self.phase {
            Phase::InFlight {
                attempt: current,
                by,
                ..
            } if current == attempt => {
                self.attempts += 1;
                // A refresh says nothing about the password.
                if by == Use::Primary {
                    self.refusals = 0;
                }
                self.plan();
            }
            // The answer to an earlier attempt: the one under way brings a spent refresh token, and some
            // servers end the session for it.
            Phase::InFlight { .. } => self.ambiguous = true,
            Phase::Queued(_) | Phase::Resting(_) => self.plan(),
        }
    }

    pub(super) fn due_now(&mut self, now: Instant) {
        self.phase = Phase::Resting(Some(now.max(self.not_before())));
    }

    /// Resting until what is held is to be replaced.
    pub(super) fn plan(&mut self) {
        if let Some(held) = self.held {
            let due = match self.renew {
                true => Instant::BOOT,
                false => self.policy.refresh_due(&held, self.jitter),
            };
            self.phase = Phase::Resting(Some(due.max(self.not_before())));
        }
    }

    pub(super) fn not_before(&self) -> Instant {
        self.sent_at
            .map_or(Instant::BOOT, |sent_at| sent_at + FLOOR)
            .max(self.held_off_until)
    }
}

/// The most that failures cost in rank.
const PENALTY_MAX: Duration = Duration::from_secs(300);
