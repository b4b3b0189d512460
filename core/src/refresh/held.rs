//! The token held, and what is known of the refresh token that came with it.

use std::time::Duration;

use super::event::{Command, Restored};
use super::policy::{Grant, Part};
use crate::credential::{RefreshValidity, TokenName, Validity};
use crate::instant::Instant;

/// The token held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    validity: Validity,
    /// The access token has not expired, as far as the shell was told.
    current: bool,
    /// The last refresh did not move the end of the refresh token, so none will.
    window_fixed: bool,
    /// When the refresh token was sent first.
    first_use: Option<Instant>,
}

impl Held {
    /// A token that a login or a request has just brought.
    pub(super) fn new(now: Instant, validity: Validity) -> Self {
        Self {
            validity,
            current: now < validity.expires_at,
            window_fixed: false,
            first_use: None,
        }
    }

    /// A token from before a restart.
    pub(super) fn restored(now: Instant, restored: &Restored) -> Self {
        let mut validity = restored.validity;
        // What a broken file calls the future must not outrank every token obtained from now on.
        validity.obtained_at = validity.obtained_at.min(now);
        Self {
            window_fixed: restored.window_fixed,
            ..Self::new(now, validity)
        }
    }

    /// A token that takes the place of `before`.
    pub(super) fn replacing(before: Option<Self>, now: Instant, validity: Validity) -> Self {
        let ends_at = |validity: Validity| validity.refresh?.expires_at;
        let end_before = before.and_then(|before| ends_at(before.validity));
        // Ends are counted in whole seconds, each from another request.
        let window_fixed = matches!(
            (end_before, ends_at(validity)),
            (Some(before), Some(end)) if end <= before + Duration::from_secs(2)
        );
        Self {
            window_fixed,
            ..Self::new(now, validity)
        }
    }

    /// The times of the token.
    pub(super) fn validity(&self) -> Validity {
        self.validity
    }

    /// When the request was sent that brought the token.
    pub(super) fn obtained_at(&self) -> Instant {
        self.validity.obtained_at
    }

    /// The refresh token, unless it was set aside.
    pub(super) fn refresh(&self) -> Option<RefreshValidity> {
        self.validity.refresh
    }

    /// Whether the shell takes the access token for current.
    pub(super) fn is_current(&self) -> bool {
        self.current
    }

    /// Whether refreshes leave the end of the refresh token where it is.
    pub(super) fn is_window_fixed(&self) -> bool {
        self.window_fixed
    }

    /// When the shell has to be told that the access token has expired.
    pub(super) fn withdraw_at(&self) -> Option<Instant> {
        self.current.then_some(self.validity.expires_at)
    }

    /// The shell is told that the access token has expired.
    pub(super) fn withdraw(&mut self) {
        self.current = false;
    }

    /// The refresh token is sent.
    pub(super) fn refresh_sent(&mut self, now: Instant) {
        self.first_use.get_or_insert(now);
    }

    /// Sets the refresh token aside, if there is one.
    pub(super) fn set_aside(&mut self) -> Fate {
        match self.validity.refresh.take() {
            Some(_) => Fate::SetAside,
            None => Fate::Kept,
        }
    }

    /// Whether the refresh token was first used so recently that the server takes it again.
    pub(super) fn is_within_grace(&self, now: Instant, grace: Duration) -> bool {
        self.first_use
            .is_some_and(|first_use| now < first_use + grace)
    }

    /// When something held is lost: the access token, or the refresh token that only a person can
    /// replace.
    pub(super) fn lost_at(&self, now: Instant, grant: Grant) -> Option<Instant> {
        let refresh = self.validity.refresh.filter(|_| grant.needs_person());
        let refresh = refresh.and_then(|refresh| refresh.expires_at);
        [Some(self.validity.expires_at), refresh]
            .into_iter()
            .flatten()
            .filter(|end| now < *end)
            .min()
    }

    /// Whether a request that carries this part of the token now finds it valid, slow as it may be.
    pub(super) fn supplies(&self, part: Part, now: Instant, lead: Duration) -> bool {
        let ends_at = match part {
            Part::AccessToken => Some(self.validity.expires_at),
            Part::IdToken => self.validity.id_token_expires_at,
            Part::RefreshToken => self
                .validity
                .refresh
                .map(|refresh| refresh.expires_at.unwrap_or(now + 2 * lead)),
        };
        // A part that lives shortly has to do: the next one will not live longer.
        ends_at.is_some_and(|end| now + lead.min((end - self.validity.obtained_at) / 4) < end)
    }

    /// Whether this part came with the token at all.
    pub(super) fn came_with(&self, part: Part) -> bool {
        self.supplies(part, self.validity.obtained_at, Duration::ZERO)
    }
}

/// What becomes of the refresh token held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Fate {
    /// Nothing changes for it.
    Kept,
    /// It is set aside: it will not be used again.
    SetAside,
}

impl Fate {
    /// What the shell has to do about it.
    pub(super) fn command(self, name: &TokenName) -> Option<Command> {
        match self {
            Self::Kept => None,
            Self::SetAside => Some(Command::Quarantine { name: name.clone() }),
        }
    }
}
