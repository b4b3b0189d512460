//! The tokens of ours that a request carries.

use std::collections::BTreeMap;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::Part;
use secrecy::SecretString;

use super::error::SourceError;
use crate::token::Token;

/// The tokens of ours that a request carries.
#[derive(Clone, Debug, Default)]
pub struct InputTokens {
    /// The refresh token held, for [`bearerd_core::refresh::Use::RefreshToken`].
    pub refresh_token: Option<SecretString>,
    /// The ID token held: that of a refresh must go on from it (OpenID Connect Core section 12.2).
    pub id_token: Option<SecretString>,
    /// Of others, what this one is made from.
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

    pub(super) fn of_parent(
        &self,
        name: &TokenName,
        part: Part,
    ) -> Result<SecretString, SourceError> {
        let secret = self.of_parents.get(&(name.clone(), part)).cloned();
        secret.ok_or_else(|| SourceError::NoSource(name.clone()))
    }
}
