//! A token as a server issued it: what holds secrets.

use std::fmt;

use bearerd_core::credential::Validity;
use secrecy::SecretString;

/// A token as an authorization server issued it (RFC 6749 section 5.1).
#[derive(Clone)]
pub struct Token {
    /// `access_token`.
    pub access_token: SecretString,
    /// `token_type` as received; compared without regard to case (RFC 6749 section 5.1).
    pub token_type: String,
    /// `scope`, when the server says what it granted.
    pub scope: Option<String>,
    /// `id_token` (OpenID Connect Core section 3.1.3.3).
    pub id_token: Option<SecretString>,
    /// `refresh_token`. On a refresh that returned none, the one used stays (RFC 6749 section 6).
    pub refresh_token: Option<SecretString>,
    /// Its times.
    pub validity: Validity,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}
