//! The tokens of ours that a request carries.

use std::collections::BTreeMap;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Delivery, Failure, FailureKind, Part};
use secrecy::SecretString;

use super::failure::failed;
use crate::token::Token;

/// The tokens of ours that a request carries.
#[derive(Clone, Debug, Default)]
pub struct InputTokens {
    /// The refresh token held, for [`bearerd_core::refresh::Use::RefreshToken`].
    pub refresh_token: Option<SecretString>,
    /// The scope that was granted with the refresh token, where the server named it.
    pub granted_scope: Option<String>,
    /// The ID token held: that of a refresh must go on from it (OpenID Connect Core section 12.2).
    pub id_token: Option<SecretString>,
    /// The parts of other tokens that this one is made from.
    pub of_parents: BTreeMap<(TokenName, Part), SecretString>,
}

impl InputTokens {
    /// Adds what another token has of this part, if it has any.
    pub fn add(&mut self, name: &TokenName, part: Part, token: &Token) {
        let secret = match part {
            Part::AccessToken => Some(&token.access_token),
            Part::IdToken => token.id_token.as_ref(),
            Part::RefreshToken => token.refresh_token.as_ref(),
        };
        if let Some(secret) = secret {
            self.of_parents.insert((name.clone(), part), secret.clone());
        }
    }

    /// What a request carries of another token.
    pub(super) fn of_parent(
        &self,
        name: &TokenName,
        part: Part,
    ) -> Result<SecretString, MissingInputToken> {
        let secret = self.of_parents.get(&(name.clone(), part)).cloned();
        secret.ok_or_else(|| MissingInputToken(name.clone()))
    }
}

/// A token that a request carries is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("token {0}, which it is made from, is not there")]
pub struct MissingInputToken(pub TokenName);

impl MissingInputToken {
    /// What it means for the schedule: it may come, and nothing was sent.
    #[must_use]
    pub fn failure(&self) -> Failure {
        failed(FailureKind::Unavailable, Delivery::NotSent)
    }
}
