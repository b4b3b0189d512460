//! What is held of a token: its record, durable or on its way to the disk.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use secrecy::{ExposeSecret, SecretString};

use crate::config::TokenConfig;
use crate::store::Record;
use crate::token::Token;

/// What is held of a token.
#[derive(Default)]
pub(super) struct Held {
    record: Option<Record>,
    /// The number of the last token that was forgotten: the numbers of later ones go on from it.
    forgotten: u64,
    /// An earlier refresh stayed unanswered: the answer to a later one does not settle what became
    /// of it.
    earlier_intent_open: bool,
}

impl Held {
    pub(super) fn new(record: Option<Record>) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    pub(super) fn into_record(self) -> Option<Record> {
        self.record
    }

    /// The number of the token held.
    pub(super) fn generation(&self) -> Option<u64> {
        self.record.as_ref().map(|record| record.generation)
    }

    /// Adds to a new token what its reply may leave out, from the token held.
    pub(super) fn completed(&self, config: &TokenConfig, token: Token) -> Token {
        // What was obtained under another configuration adds nothing.
        let held = self
            .record
            .as_ref()
            .filter(|held| held.identity == config.identity);
        completed(held.map(|record| &*record.token), token)
    }

    /// Makes a new token the one held. Readers see it once it is published.
    pub(super) fn commit(
        &mut self,
        config: &TokenConfig,
        token: Token,
        window_fixed: bool,
    ) -> &Record {
        let old = self.record.take();
        // Some servers give one and the same token until it ends: that is no replacement.
        let again = old.as_ref().is_some_and(|old| {
            let held = old.token.access_token.expose_secret();
            old.identity == config.identity && held == token.access_token.expose_secret()
        });
        let old = old.map(|old| (old.generation, old.quarantined_refresh_tokens));
        let (generation, quarantined_refresh_tokens) = old.unwrap_or((self.forgotten, Vec::new()));
        self.record.insert(Record {
            name: config.name.clone(),
            generation: generation + u64::from(!again),
            identity: config.identity,
            token: Arc::new(token),
            window_fixed,
            open_intent: None,
            quarantined_refresh_tokens,
        })
    }

    /// Forgets the token and all its refresh tokens.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.record.take().map_or(0, |record| record.generation);
        self.earlier_intent_open = false;
    }

    /// Notes that the refresh token is about to be used. `None` if there is none.
    pub(super) fn open_intent(&mut self, now: Instant) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        self.earlier_intent_open = record.open_intent.is_some();
        record.open_intent.get_or_insert(now);
        Some(record)
    }

    /// Notes that the refresh under way has not spent the refresh token. `None` if that changes
    /// nothing.
    pub(super) fn close_intent(&mut self) -> Option<&Record> {
        if self.earlier_intent_open {
            return None;
        }
        let record = self
            .record
            .as_mut()
            .filter(|record| record.open_intent.is_some())?;
        record.open_intent = None;
        Some(record)
    }

    /// Sets the refresh token aside. `None` if there is none.
    pub(super) fn quarantine_refresh_token(&mut self) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        record.quarantine_refresh_token();
        Some(record)
    }
}

/// A refresh token that stays in use keeps its expiry, which the reply need not repeat (RFC 6749
/// section 6). The reply need not bring another ID token either (OpenID Connect Core section 12.2):
/// the one held stays until it expires.
fn completed(held: Option<&Token>, mut token: Token) -> Token {
    if let (None, Some(held)) = (&token.id_token, held) {
        token.id_token.clone_from(&held.id_token);
        token.validity.id_token_expires_at = held.validity.id_token_expires_at;
    }
    let refresh_of = |held: &Token| {
        let same = same(token.refresh_token.as_ref(), held.refresh_token.as_ref());
        held.validity.refresh.filter(|_| same)
    };
    let before = held.and_then(refresh_of);
    if let (Some(refresh), Some(before)) = (&mut token.validity.refresh, before) {
        refresh.expires_at = refresh.expires_at.or(before.expires_at);
    }
    token
}

fn same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use bearerd_core::credential::{RefreshValidity, Validity};

    fn token(refresh_token: &str, refresh_expires_in: Option<u64>) -> Token {
        let after = |seconds| Instant::BOOT + Duration::from_secs(seconds);
        let expires_at = refresh_expires_in.map(after);
        Token {
            access_token: "access".into(),
            token_type: "Bearer".into(),
            scope: None,
            id_token: None,
            refresh_token: Some(refresh_token.into()),
            validity: Validity {
                obtained_at: Instant::BOOT,
                expires_at: after(60),
                refresh: Some(RefreshValidity { expires_at }),
                id_token_expires_at: None,
            },
        }
    }

    #[test]
    fn a_refresh_token_that_stays_keeps_its_expiry() {
        let held = token("same", Some(3600));
        let refresh_expiry = |held: &Token, new: Token| {
            let refresh = completed(Some(held), new).validity.refresh;
            refresh.and_then(|refresh| refresh.expires_at)
        };
        let kept = held.validity.refresh.and_then(|refresh| refresh.expires_at);
        assert_eq!(refresh_expiry(&held, token("same", None)), kept);
        assert_eq!(refresh_expiry(&held, token("other", None)), None);
        assert_ne!(refresh_expiry(&held, token("same", Some(7200))), kept);
    }
}
