//! One token: what is held, and what happens next. A failure changes only the latter, except that a
//! refused refresh token is not held any longer.

use std::time::Duration;

use super::event::{AttemptId, Command, Delivery, ErrorState, Failure, FailureKind, Restored, Use};
use super::held::{Fate, Held};
use super::limiter::Place;
use super::pace::Pace;
use super::phase::{InFlight, Phase};
use super::policy::Policy;
use super::primary::{Primary, Seed};
use super::prng::Prng;
use super::reminder::{Need, Reminders};
use super::status::{Health, Reason, Status};
use super::verdict::judge;
use super::ways::Ways;
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// One configured token.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) policy: Policy,
    /// What happens next.
    pub(super) phase: Phase,
    pub(super) health: Health,
    pub(super) pace: Pace,
    pub(super) ways: Ways,
    reminders: Reminders,
    /// Somebody waits for a replacement of a token that is not expired.
    asked: bool,
    /// The parent whose replacement the token rests for.
    awaits: Option<TokenName>,
    /// Results of attempts before this one belong to a configuration that is gone.
    pub(super) first_attempt: AttemptId,
    /// When the timer that is set for the token goes off.
    pub(super) armed: Option<Instant>,
    /// The share of the spread that the token has for good.
    jitter: u64,
}

impl Slot {
    /// A token that was not heard of before. It is due now.
    pub(super) fn new(policy: Policy, now: Instant, first_attempt: AttemptId, jitter: u64) -> Self {
        Self {
            phase: Phase::Resting(Some(now)),
            health: Health::Pending,
            pace: Pace::default(),
            ways: Ways::new(policy.grant),
            reminders: Reminders::default(),
            asked: false,
            awaits: None,
            first_attempt,
            armed: None,
            jitter,
            policy,
        }
    }

    /// How the token stands.
    pub(super) fn status(&self) -> Status {
        Status {
            validity: self.ways.held.map(|held| held.validity()),
            health: self.health,
            in_flight: matches!(self.phase, Phase::InFlight(_)),
            queued: matches!(self.phase, Phase::Queued(_)),
            waits_for_parent: self.awaits.is_some(),
            login_due_at: self.ways.login_due_at(self.policy.grant),
            next_attempt_at: self.phase.due(),
            failures: self.pace.failures(),
            attempts: self.pace.attempts(),
        }
    }

    /// The next instant at which something is to be done.
    pub(super) fn wake(&self) -> Option<Instant> {
        let phase = self.phase.ends_at();
        let expiry = self.ways.held.and_then(|held| held.withdraw_at());
        let reminder = self.reminders.next(self.need());
        let all = [phase, expiry, reminder, self.way_ends_at()];
        all.into_iter().flatten().min()
    }

    /// When the refresh token ends that it waits to use, if then only a person helps: whatever it
    /// waits for, people are to know at once.
    pub(super) fn way_ends_at(&self) -> Option<Instant> {
        let waits = matches!(self.phase, Phase::Queued(_) | Phase::Resting(Some(_)));
        let refresh = self.ways.refresh().filter(|_| waits)?;
        let needs_person =
            |end: &Instant| matches!(self.next_use(*end), Err((ErrorState::NeedsLogin, _)));
        refresh.expires_at.filter(needs_person)
    }

    /// By which grant the next request goes, or why there is none.
    pub(super) fn next_use(&self, now: Instant) -> Result<Use, (ErrorState, Reason)> {
        self.ways.next_use(now, self.asked, self.health)
    }

    /// Whether it rests until this parent is replaced.
    pub(super) fn is_waiting_for(&self, parent: &TokenName) -> bool {
        self.awaits.as_ref() == Some(parent) && self.phase == Phase::Resting(None)
    }

    /// Whether what this attempt brought is newer than what is held, and of the configuration in
    /// force.
    pub(super) fn is_news(&self, attempt: AttemptId, validity: &Validity) -> bool {
        let held_since = self.ways.obtained_at();
        attempt >= self.first_attempt && held_since.is_none_or(|held| held < validity.obtained_at)
    }

    /// Gives up an access token that has expired, once.
    pub(super) fn withdraw(&mut self, now: Instant, name: &TokenName) -> Option<Command> {
        let held = self.ways.held.as_mut()?;
        held.withdraw_at().filter(|at| *at <= now)?;
        held.withdraw();
        Some(Command::withdraw(name))
    }

    /// Has people told that somebody has to log in, if it is time.
    pub(super) fn remind(&mut self, now: Instant, name: &TokenName) -> Option<Command> {
        let need = self.need();
        self.reminders.next(need).filter(|at| *at <= now)?;
        self.reminders.told(now, need);
        let until = self.ways.works_until(self.policy.grant);
        Some(Command::AskForLogin {
            name: name.clone(),
            until: until.filter(|until| now < *until),
        })
    }

    /// It waits for its server from now on. Returns its place among those that wait: what expires
    /// first goes first, and a token that is missing is as urgent as one that expires now.
    pub(super) fn enqueue(&mut self, now: Instant) -> Place {
        let expiry = self.ways.held.and_then(|held| held.withdraw_at());
        let base = expiry.filter(|_| !self.asked).unwrap_or(now);
        let place = Place {
            urgency: base + self.pace.penalty(),
            lost_at: self.ways.lost_at(now, self.policy.grant),
        };
        self.phase = Phase::Queued(place);
        place
    }

    /// There is no way to a token without a person.
    pub(super) fn stuck(&mut self, state: ErrorState, reason: Reason) {
        self.health = Health::Failing { state, reason };
        self.phase = Phase::Resting(None);
    }

    /// A request goes out.
    pub(super) fn sent(&mut self, now: Instant, attempt: AttemptId, by: Use) {
        self.phase = Phase::InFlight(InFlight {
            attempt,
            by,
            deadline: now + self.policy.deadline,
            basis: self.ways.obtained_at(),
        });
        self.pace.sent(now);
        self.ways.sent(now, by);
        self.asked = false;
    }

    /// A token arrived and is the newest.
    pub(super) fn obtained(&mut self, now: Instant, attempt: AttemptId, validity: Validity) {
        let held = Held::replacing(self.ways.held, now, validity);
        self.reminders.obtained(held.is_window_fixed());
        self.ways.held = Some(held);
        self.awaits = None;
        self.settle(Health::Fresh);
        if held.refresh().is_some() && !self.pace.is_outdated() {
            self.ways.primary.set_seed(Seed::Tried);
        }
        match self.phase {
            Phase::InFlight(request) if request.attempt == attempt => {
                self.pace.ended();
                // A refresh says nothing about the password.
                if request.by == Use::Primary {
                    self.ways.primary.accepted();
                }
                self.plan();
            }
            // The answer to an earlier attempt: the one under way brings a spent refresh token, and
            // some servers end the session for it.
            Phase::InFlight(_) => self.ways.overtaken(),
            Phase::Queued(_) | Phase::Resting(_) => self.plan(),
        }
    }

    /// The request under way failed.
    pub(super) fn failed(&mut self, now: Instant, failure: &Failure, prng: &mut Prng) -> Fate {
        let Phase::InFlight(InFlight { by, basis, .. }) = self.phase else {
            return Fate::Kept;
        };
        self.pace.ended();
        self.pace.hold_off(now, failure.retry_after);
        let refused = (by, failure.kind) == (Use::Primary, FailureKind::GrantRefused)
            && !self.pace.is_outdated();
        if refused {
            // The server counts it, whatever has become of the token meanwhile.
            self.ways.primary.password_refused();
        }
        if basis != self.ways.obtained_at() {
            // A late success has replaced what this attempt was about.
            self.plan();
            return Fate::Kept;
        }
        if refused {
            self.ways.primary.set_seed(Seed::Tried);
        }
        let streak = self.pace.count_failure(failure.kind);
        let verdict = judge(
            (by, self.policy.grant, failure.kind),
            streak,
            self.ways.is_maybe_spent(),
            self.ways.primary.has_untried_seed(),
        );
        // What its parent has become is still to be followed, as long as that may succeed.
        if by == Use::Primary && verdict.state == ErrorState::Transient {
            self.ways.follow(&self.policy);
        }
        self.health = verdict.health();
        let lost_at = self.ways.lost_at(now, self.policy.grant);
        let runway = lost_at.map_or(Duration::MAX, |lost_at| lost_at - now);
        self.phase = Phase::Resting(self.pace.retry_at(now, verdict.retry, runway, prng));
        if failure.delivery == Delivery::Unknown && self.unanswered(now, by) == Fate::SetAside {
            return Fate::SetAside;
        }
        match verdict.refresh_token {
            Fate::Kept => Fate::Kept,
            Fate::SetAside => self.ways.set_aside(),
        }
    }

    /// The token of the state file is told at start. It counts only where nothing is held.
    pub(super) fn restored(&mut self, now: Instant, restored: &Restored) -> Fate {
        if self.ways.held.is_some() {
            return Fate::Kept;
        }
        let held = Held::restored(now, restored);
        self.ways.held = Some(held);
        if held.is_current() {
            self.health = Health::Fresh;
        }
        if !restored.current {
            return self.ways.set_aside();
        }
        self.plan();
        if restored.open_intent {
            return self.unanswered(now, Use::RefreshToken);
        }
        Fate::Kept
    }

    /// Somebody wants a replacement now.
    pub(super) fn requested(&mut self, now: Instant) {
        let Phase::Resting(planned) = self.phase else {
            return;
        };
        if self.health.login_reason().is_some() {
            self.ways.primary.set_seed(Seed::Untried);
        }
        let by = self.next_use(now);
        let too_often =
            self.ways.primary.is_refused_again() && now < self.pace.may_repeat_refused_at();
        let due = match self.health {
            Health::Failing {
                reason: Reason::PasswordRefused,
                ..
            } if too_often => return,
            // Nothing will be sent: whoever asks is told at once.
            Health::Failing { .. } if matches!(by, Err((ErrorState::NeedsLogin, _))) => now,
            Health::Failing { .. } => now.max(self.pace.may_repeat_at()),
            // Only a person can replace it: until it ends, it lives on as it is.
            Health::Fresh if self.policy.grant.needs_person() && by.is_err() => return,
            Health::Fresh | Health::Pending => now,
        };
        let due = due.max(self.pace.not_before());
        self.phase = Phase::Resting(Some(planned.map_or(due, |planned| planned.min(due))));
        self.asked = true;
    }

    /// Somebody has logged in. The slot has left its server.
    pub(super) fn logged_in(&mut self, now: Instant, validity: Validity) {
        self.ways.held = Some(Held::new(now, validity));
        self.settle(Health::Fresh);
        self.ways.primary.set_seed(Seed::Tried);
        self.reminders.logged_in();
        self.plan();
    }

    /// Somebody has logged out. The slot has left its server.
    pub(super) fn logged_out(&mut self, now: Instant, first: AttemptId) {
        self.first_attempt = first;
        self.ways.held = None;
        self.settle(Health::Pending);
        self.ways.primary.set_seed(Seed::Tried);
        self.reminders.logged_out();
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
        self.ways.follow(&self.policy);
        let awaited = self.awaits.as_ref() == Some(parent);
        // What failed for another reason than its parent fails with the next one, too: it keeps its
        // pause.
        let promising = match self.pace.last_failure() {
            None | Some(FailureKind::GrantRefused) => true,
            Some(_) => false,
        };
        let concerned = awaited || (self.ways.is_to_renew() && promising);
        if matches!(self.phase, Phase::Resting(_)) && concerned {
            self.awaits = None;
            self.due_now(now);
        }
    }

    /// A secret, a key or the like changed.
    pub(super) fn inputs_changed(&mut self, now: Instant) {
        self.ways.primary = Primary::new(self.policy.grant);
        match (self.phase, self.health) {
            (Phase::InFlight(_), _) => self.pace.outdate(),
            (Phase::Resting(_), Health::Failing { .. }) => self.due_now(now),
            (Phase::Resting(_), _) if self.awaits.is_some() => self.due_now(now),
            (Phase::Queued(_) | Phase::Resting(_), _) => {}
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

    /// What is obtained changed, and the refresh token belongs to what was. The slot has left its
    /// server.
    pub(super) fn replace(&mut self, now: Instant, policy: Policy, first: AttemptId) -> Fate {
        self.policy = policy;
        self.first_attempt = first;
        self.reminders.replaced();
        self.settle(match self.ways.held {
            Some(held) if held.is_current() => Health::Fresh,
            Some(_) | None => Health::Pending,
        });
        self.inputs_changed(now);
        self.due_now(now);
        self.ways.set_aside()
    }

    /// Whether a person has to log in, and whether people are to be told before.
    fn need(&self) -> Need {
        let end = self.ways.login_due_at(self.policy.grant);
        Need::new(&self.policy, self.health, end)
    }

    /// What a request without an answer means for the refresh token held.
    fn unanswered(&mut self, now: Instant, by: Use) -> Fate {
        self.ways.unanswered(now, by, self.policy.rotation_grace)
    }

    /// No failure counts any more.
    fn settle(&mut self, health: Health) {
        self.health = health;
        self.pace.settle();
        self.ways.settle();
    }

    fn due_now(&mut self, now: Instant) {
        self.phase = Phase::Resting(Some(now.max(self.pace.not_before())));
    }

    /// It rests until what is held is to be replaced.
    fn plan(&mut self) {
        if let Some(held) = self.ways.held {
            let due = match self.ways.is_to_renew() {
                true => Instant::BOOT,
                false => self.policy.refresh_due(&held.validity(), self.jitter),
            };
            self.phase = Phase::Resting(Some(due.max(self.pace.not_before())));
        }
    }
}
