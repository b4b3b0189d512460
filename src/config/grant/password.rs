//! `[token.NAME.grant.password]`: RFC 6749 section 4.3.

use bearerd_core::refresh::Grant;

use super::super::keys::Keys;
use super::super::references::secret;
use super::super::secret_ref::SecretRef;
use super::super::units::text;
use super::profile::Profile;

/// `[token.NAME.grant.password]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PasswordGrant {
    /// `username`.
    pub username: String,
    /// `password`. It is read at each request.
    pub password: SecretRef,
}

impl PasswordGrant {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let username = keys.required("username", "the user that the token is for", text);
        let password = keys.required("password", PASSWORD_HINT, secret);
        keys.finish();
        Some(Self {
            username: username?,
            password: password?,
        })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        Profile {
            identity: vec![(&self.username).into()],
            secrets: vec![("password", &self.password)],
            ..Profile::new("password", Grant::Password)
        }
    }
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] = &[("password", TABLE), ("username", TABLE)];

const PASSWORD_HINT: &str = "write `password = { file = \"/etc/bearerd/secrets/NAME\" }`";
const TABLE: &str = "set it in `[token.NAME.grant.password]`";
