//! What is held, and which ways lead to the next token: the refresh token held, or the configured
//! grant.

use std::time::Duration;

use super::event::{ErrorState, Use};
use super::held::{Fate, Held};
use super::policy::{Grant, Part, Policy};
use super::primary::Primary;
use super::status::{Health, Reason};
use crate::credential::RefreshValidity;
use crate::instant::Instant;

/// What is held, and which ways lead to the next token.
#[derive(Debug)]
pub(super) struct Ways {
    /// The token held, if there is one.
    pub(super) held: Option<Held>,
    /// The configured grant.
    pub(super) primary: Primary,
    /// A use of the refresh token, or of the seed, stayed unanswered: it may be spent.
    maybe_spent: bool,
    /// A parent was replaced that the token follows: what the refresh token brings would still be
    /// made from the old one.
    renew: bool,
}

impl Ways {
    /// Nothing is held, and nothing was tried.
    pub(super) fn new(grant: Grant) -> Self {
        Self {
            held: None,
            primary: Primary::new(grant),
            maybe_spent: false,
            renew: false,
        }
    }

    /// A parent may have been replaced: a token that follows it, and is held, is to be made anew.
    pub(super) fn follow(&mut self, policy: &Policy) {
        self.renew |= policy.follows_parents && self.held.is_some();
    }

    /// A request goes out that is made from the parents as they are.
    pub(super) fn sent(&mut self, now: Instant, by: Use) {
        self.renew = false;
        if let (Use::RefreshToken, Some(held)) = (by, &mut self.held) {
            held.refresh_sent(now);
        }
    }

    /// The answer to an earlier request came: the one under way brings a spent refresh token.
    pub(super) fn overtaken(&mut self) {
        self.maybe_spent = true;
    }

    /// Nothing is wrong any more.
    pub(super) fn settle(&mut self) {
        self.maybe_spent = false;
    }

    /// Sets the refresh token aside, if one is held.
    pub(super) fn set_aside(&mut self) -> Fate {
        self.held.as_mut().map_or(Fate::Kept, Held::set_aside)
    }

    /// A request stayed unanswered, which may have spent the refresh token. For `grace` after its
    /// first use, the server takes one that it has rotated.
    ///
    /// Keycloak ends the session when a spent one comes again, so where another way leads to a
    /// token it is not risked; where none does, trying is all that is left.
    pub(super) fn unanswered(&mut self, now: Instant, by: Use, grace: Duration) -> Fate {
        let rotated_is_taken = self
            .held
            .is_some_and(|held| held.is_within_grace(now, grace));
        match (by, self.primary) {
            (_, Primary::Login | Primary::RefreshToken(_)) => {
                self.maybe_spent = true;
                Fate::Kept
            }
            (Use::RefreshToken, _) if rotated_is_taken => Fate::Kept,
            (Use::RefreshToken, Primary::Password { refusals: 1.. }) => {
                self.maybe_spent = true;
                Fate::Kept
            }
            (
                Use::RefreshToken,
                Primary::ClientCredentials | Primary::Exchange | Primary::Password { .. },
            ) => self.set_aside(),
            (
                Use::Primary,
                Primary::ClientCredentials | Primary::Exchange | Primary::Password { .. },
            ) => Fate::Kept,
        }
    }

    /// By which grant the next request goes, or why there is none. `asked`: somebody waits for it.
    pub(super) fn next_use(
        &self,
        now: Instant,
        asked: bool,
        health: Health,
    ) -> Result<Use, (ErrorState, Reason)> {
        let primary_first = match self.primary {
            Primary::ClientCredentials => true,
            Primary::Exchange => self.renew,
            Primary::Login | Primary::Password { .. } | Primary::RefreshToken(_) => false,
        };
        if self.is_refreshable(now) && !primary_first {
            return Ok(Use::RefreshToken);
        }
        let login = health.login_reason().unwrap_or(match self.refresh() {
            Some(_) => Reason::RefreshTokenExpired,
            None => Reason::LoginRequired,
        });
        match self.primary.obstacle(asked, login) {
            None => Ok(Use::Primary),
            Some(obstacle) => Err(obstacle),
        }
    }

    /// Whether the refresh token held may be used. One that may be spent is for when the password
    /// is no way.
    pub(super) fn is_refreshable(&self, now: Instant) -> bool {
        let risky = self.maybe_spent && self.primary.has_unrefused_password();
        self.refresh()
            .is_some_and(|refresh| refresh.is_usable(now) && !risky)
    }

    /// Whether the token is to be made anew from its parents.
    pub(super) fn is_to_renew(&self) -> bool {
        self.renew
    }

    /// Whether a use of the refresh token, or of the seed, stayed unanswered.
    pub(super) fn is_maybe_spent(&self) -> bool {
        self.maybe_spent
    }

    /// The refresh token held.
    pub(super) fn refresh(&self) -> Option<RefreshValidity> {
        self.held?.refresh()
    }

    /// When the token held was obtained, which names it.
    pub(super) fn obtained_at(&self) -> Option<Instant> {
        self.held.map(|held| held.obtained_at())
    }

    /// Whether a request that carries this part of the token now finds it valid, slow as it may be.
    pub(super) fn supplies(&self, part: Part, now: Instant, lead: Duration) -> bool {
        self.held.is_some_and(|held| held.supplies(part, now, lead))
    }

    /// When something held is lost: the access token, or the refresh token that only a person can
    /// replace.
    pub(super) fn lost_at(&self, now: Instant, grant: Grant) -> Option<Instant> {
        self.held?.lost_at(now, grant)
    }

    /// Until when what is held brings working access tokens, or is one.
    pub(super) fn works_until(&self, grant: Grant) -> Option<Instant> {
        let expiry = self.held.map(|held| held.validity().expires_at);
        self.login_due_at(grant).or(expiry)
    }

    /// When a person has to log in, as far as that is known.
    pub(super) fn login_due_at(&self, grant: Grant) -> Option<Instant> {
        let held = self.held.filter(|_| grant.needs_person())?;
        match held.refresh() {
            // A seed that has not been tried may be another way.
            None if self.primary.has_untried_seed() => None,
            None => Some(held.validity().expires_at),
            // While each refresh moves the end on, there is none.
            Some(refresh) => refresh.expires_at.filter(|_| held.is_window_fixed()),
        }
    }
}
