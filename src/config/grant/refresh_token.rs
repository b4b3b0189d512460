//! `[token.NAME.grant.refresh_token]`: RFC 6749 section 6, with a first token from elsewhere.

use bearerd_core::refresh::Grant;

use super::super::keys::Keys;
use super::super::references::secret;
use super::super::secret_ref::SecretRef;
use super::profile::Profile;

/// `[token.NAME.grant.refresh_token]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshTokenGrant {
    /// The first refresh token. It is used once; from then on the one in the state is used.
    pub refresh_token: SecretRef,
}

impl RefreshTokenGrant {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let refresh_token = keys.required("refresh_token", SEED_HINT, secret);
        keys.finish();
        let refresh_token = refresh_token?;
        Some(Self { refresh_token })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        Profile {
            secrets: vec![("refresh_token", &self.refresh_token)],
            ..Profile::new("refresh_token", Grant::RefreshToken)
        }
    }
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] = &[(
    "refresh_token",
    "set it in `[token.NAME.grant.refresh_token]`",
)];

const SEED_HINT: &str = "write `refresh_token = { file = \"/etc/bearerd/secrets/NAME\" }`";
