//! What must hold at every step.

use std::collections::VecDeque;
use std::time::Duration;

use bearerd_core::credential::Validity;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Failure, FailureKind, Limits, Policy, RefreshAt};

use super::world::LATENCY;

/// No two attempts of one token are closer.
const FLOOR: Duration = Duration::from_secs(1);
/// Nine attempts in vain take longer.
const BUSTLE: Duration = Duration::from_secs(20);
const RETRY_AFTER_CAP: Duration = Duration::from_secs(600);
const RATE_LIMITED_CAP: Duration = Duration::from_secs(300);
/// The longest wait for what only a person can mend.
const SLOWEST_RETRY: Duration = Duration::from_secs(15 * 60);
/// After the end of all trouble a token is there within the longest backoff.
const RECOVERY: Duration = Duration::from_secs(62);

/// What is remembered of one token. All instants are the world's, unlike those in a `Validity`.
pub struct Watch {
    last_sent: Option<Instant>,
    /// Attempts since there was something to lose, or somebody asked or mended something.
    in_vain: Vec<Instant>,
    /// Until when the server wants to be left alone.
    held_off_until: Instant,
    pub in_flight: Option<AttemptId>,
    /// The one that a login makes needless: that says nothing about its server.
    pub given_up: Option<AttemptId>,
    pub last_commit: Instant,
    /// Until when an expiry is not the core's fault.
    pub trouble_until: Instant,
    /// The same for what only a person can mend.
    pub broken_until: Instant,
    /// Nothing but a person can help.
    stuck: bool,
    /// When a person last mended it, until a request sent since then ends.
    pub mended_at: Option<Instant>,
    /// Until when it may back off because the server once wanted fewer requests.
    backs_off_until: Instant,
    /// A refresh token was sent and no answer kept.
    pub doubt: bool,
    /// The server refused the refresh token held.
    pub refused: bool,
    /// It refused the password, as far as the core was told.
    pub password_refused: bool,
    /// Attempts before it were made for another configuration.
    pub first_attempt: AttemptId,
}

impl Watch {
    pub fn new(now: Instant) -> Self {
        Self {
            last_sent: None,
            in_vain: Vec::new(),
            held_off_until: Instant::BOOT,
            in_flight: None,
            given_up: None,
            last_commit: now,
            trouble_until: now,
            broken_until: now,
            stuck: false,
            mended_at: None,
            backs_off_until: now,
            doubt: false,
            refused: false,
            password_refused: false,
            first_attempt: AttemptId(0),
        }
    }

    /// A process start, a reload that brings the token back: nothing is remembered of earlier
    /// attempts.
    pub fn forget_attempts(&mut self) {
        self.last_sent = None;
        self.held_off_until = Instant::BOOT;
        self.in_vain.clear();
        (self.in_flight, self.given_up) = (None, None);
    }

    /// Somebody asked for it, or changed something: another try is due.
    pub fn hurries(&mut self) {
        self.in_vain.clear();
    }

    pub fn suffers_until(&mut self, until: Instant) {
        self.trouble_until = self.trouble_until.max(until);
    }

    pub fn sent(&mut self, now: Instant, attempt: AttemptId, may_lose: bool) {
        assert!(
            self.in_flight.is_none(),
            "two attempts of one token in flight"
        );
        if let Some(last) = self.last_sent {
            assert!(now - last >= FLOOR, "attempts {:?} apart", now - last);
        }
        assert!(now >= self.held_off_until, "Retry-After is not heeded");
        self.last_sent = Some(now);
        self.in_flight = Some(attempt);
        if may_lose {
            self.in_vain.clear();
        }
        self.in_vain.push(now);
        // Delays of up to a minute: that eight in a row are so short has odds of one in 10^8.
        if let [.., ninth_last, _, _, _, _, _, _, _, last] = self.in_vain[..]
            && self.in_vain.len() > 12
        {
            assert!(last - ninth_last > BUSTLE, "no backoff: {:?}", self.in_vain);
        }
    }

    /// A token became durable and current.
    pub fn committed(&mut self, now: Instant) {
        self.last_commit = now;
        self.mended_at = None;
        self.in_vain.clear();
    }

    /// A failure reached the core.
    pub fn failed(&mut self, now: Instant, sent_at: Instant, failure: &Failure) {
        let pause = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_CAP);
        self.suffers_until(now + pause);
        self.held_off_until = now + pause;
        let outdated = self.mended_at.is_some_and(|mended_at| mended_at > sent_at);
        if !outdated {
            self.mended_at = None;
        }
        match failure.kind {
            FailureKind::RateLimited => self.backs_off_until = now + pause.max(RATE_LIMITED_CAP),
            FailureKind::Denied | FailureKind::Misconfigured | FailureKind::Unrecognized
                if !outdated =>
            {
                self.broken_until = self.broken_until.max(now + SLOWEST_RETRY);
            }
            _ => {}
        }
    }

    /// Whether nothing but a person can help.
    pub fn waits_for_a_person(&mut self, now: Instant, waits: bool) {
        let stuck = waits && self.mended_at.is_none();
        if self.stuck && !stuck {
            self.suffers_until(now);
        }
        self.stuck = stuck;
    }

    /// A person has mended it, and the core knows.
    pub fn mended(&mut self, now: Instant) {
        self.mended_at = Some(now);
        self.password_refused = false;
        (self.broken_until, self.stuck) = (now, false);
        self.suffers_until(now);
    }

    /// A token expired and none has followed.
    pub fn expired(
        &self,
        validity: &Validity,
        expired_at: Instant,
        policy: &Policy,
        meter: &Meter,
    ) {
        let lead = lead(
            policy.refresh_at,
            validity.expires_at - validity.obtained_at,
        );
        let well_for = self.well_before(expired_at, lead / 2, meter);
        assert!(
            well_for.is_none(),
            "expired without a successor although all was well for {well_for:?} of a lead of {lead:?}",
        );
    }

    /// The only refresh token ended unused.
    pub fn refresh_token_expired(&self, ended_at: Instant, life: Duration, meter: &Meter) {
        let well_for = self.well_before(ended_at, life / 8, meter);
        assert!(
            well_for.is_none(),
            "the refresh token expired although all was well for {well_for:?} of {life:?}",
        );
    }

    /// How long all was well before `end`, when that was at least `window` and enough to use it.
    fn well_before(&self, end: Instant, window: Duration, meter: &Meter) -> Option<Duration> {
        // One that arrived late has had less time to be replaced.
        let trouble_until = self
            .trouble_until
            .max(self.broken_until)
            .max(self.last_commit);
        let trouble_until = trouble_until.max(meter.trouble_until);
        let needed = (window / 4).max(FLOOR) + meter.delay();
        let well = !self.stuck && trouble_until <= end.saturating_sub(window) && needed < window;
        well.then(|| end - trouble_until)
    }

    /// However long the trouble was, it is overcome soon after.
    pub fn recovered(&self, now: Instant, lifetime: Duration, meter: &Meter) {
        let trouble_until = self
            .trouble_until
            .max(self.broken_until)
            .max(self.backs_off_until);
        let well_since = trouble_until
            .max(meter.trouble_until)
            .max(self.last_commit + lifetime);
        assert!(
            self.stuck || now <= well_since + RECOVERY + meter.delay(),
            "no token although all has been well for {:?}",
            now - well_since,
        );
    }
}

/// How long before expiry a replacement is begun at least, as the documentation has it.
fn lead(refresh_at: RefreshAt, lifetime: Duration) -> Duration {
    let wanted = match refresh_at {
        RefreshAt::Permille(permille) => lifetime - lifetime / 1000 * u32::from(permille),
        RefreshAt::BeforeExpiry(lead) => lead,
    };
    wanted
        .max(Duration::from_secs(30).min(lifetime / 4))
        .min(lifetime / 2)
}

/// What is remembered of one authorization server.
pub struct Meter {
    pub limits: Limits,
    pub tokens: u32,
    pub in_flight: u32,
    pub trouble_until: Instant,
    /// Until when it wants to be left alone.
    paused_until: Instant,
    sent: VecDeque<Instant>,
    /// Consecutive answers or silences that say it is down.
    down: u32,
    /// When that became five.
    down_since: Instant,
}

impl Meter {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tokens: 0,
            in_flight: 0,
            trouble_until: Instant::BOOT,
            paused_until: Instant::BOOT,
            sent: VecDeque::new(),
            down: 0,
            down_since: Instant::BOOT,
        }
    }

    /// A process start or a reload of the limits.
    pub fn forget_attempts(&mut self) {
        self.sent.clear();
        self.down = 0;
        self.paused_until = Instant::BOOT;
    }

    pub fn sent(&mut self, now: Instant) {
        assert!(
            self.in_flight < self.limits.max_in_flight,
            "too many requests in flight"
        );
        assert!(
            now >= self.paused_until,
            "Retry-After for the whole server is not heeded"
        );
        self.in_flight += 1;
        if let Some(last) = self.sent.back().filter(|last| **last > self.down_since)
            && self.down >= 5
        {
            assert!(now - *last >= FLOOR, "probes {:?} apart", now - *last);
        }
        self.sent.push_back(now);
        let minute_ago = now.saturating_sub(Duration::from_secs(60));
        while self.sent.len() > 2 && self.sent.front().is_some_and(|sent| *sent <= minute_ago) {
            self.sent.pop_front();
        }
        if let Some(per_minute) = self.limits.requests_per_minute {
            let within = self.sent.iter().filter(|sent| **sent > minute_ago).count();
            assert!(
                within <= per_minute as usize,
                "{within} requests within a minute"
            );
        }
    }

    pub fn ended(&mut self, now: Instant, failure: Option<&Failure>) {
        match failure.map(|failure| failure.kind) {
            Some(FailureKind::RateLimited) => {
                let pause = failure
                    .and_then(|failure| failure.retry_after)
                    .unwrap_or_default();
                self.paused_until = self.paused_until.max(now + pause.min(RETRY_AFTER_CAP));
            }
            Some(FailureKind::Unavailable) => {
                self.down += 1;
                if self.down == 5 {
                    self.down_since = now;
                }
            }
            _ => self.down = 0,
        }
    }

    /// How long a request may take on a server that is well, the others' requests before it
    /// included.
    fn delay(&self) -> Duration {
        let pace = match self.limits.requests_per_minute {
            Some(per_minute) => Duration::from_secs(67) / per_minute,
            None => Duration::ZERO,
        };
        (LATENCY + pace) * (self.tokens + 1)
    }
}
