//! What is written: a token with its name, and the time of writing.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;

use crate::token::Token;

/// A token that is to be written, and the time of writing.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The token's name.
    pub name: &'a TokenName,
    /// The token.
    pub token: &'a Token,
    /// The number of this token among all that were obtained under the name.
    pub generation: u64,
    /// The time of writing.
    pub now: Instant,
    /// The time of writing on the wall clock, as time since the epoch.
    pub unix_now: Duration,
}

impl Content<'_> {
    /// When the token expires, in seconds since the epoch.
    pub(super) fn expires_at_unix(&self) -> u64 {
        let expires_in = self.token.validity.expires_at - self.now;
        self.unix_now.saturating_add(expires_in).as_secs()
    }

    /// How many seconds after the writing the token expires.
    pub(super) fn expires_in(&self) -> u64 {
        (self.token.validity.expires_at - self.now).as_secs()
    }
}
