//! `[token.NAME.grant.jwt_bearer]`: RFC 7523 section 2.1.

use bearerd_core::refresh::Grant;

use super::super::client::KEY_HINT;
use super::super::keys::Keys;
use super::super::references::{TokenRef, platform_token_ref};
use super::profile::Profile;
use super::signed::SignedAssertion;

/// `[token.NAME.grant.jwt_bearer]` (RFC 7523 section 2.1): the `assertion`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JwtBearer {
    /// The assertion of somebody else, whom the authorization server trusts.
    Made(TokenRef),
    /// An assertion that bearerd signs for every request.
    Signed(SignedAssertion),
}

impl JwtBearer {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        if !keys.has("assertion") {
            let hint = "for one that somebody else makes: `assertion = { file = \"…\" }`";
            let hint = format!("{KEY_HINT}; {hint}");
            return SignedAssertion::read(keys, &hint).map(Self::Signed);
        }
        let assertion = keys.optional("assertion", platform_token_ref);
        if keys.has("key") {
            let message = format!("`{}` has both `assertion` and `key`", keys.name);
            keys.refuse(
                "key",
                message,
                "with `key` bearerd signs the assertion itself",
            );
            return None;
        }
        keys.finish();
        assertion.map(Self::Made)
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        match self {
            Self::Made(assertion) => Profile {
                carried: vec![("assertion", assertion)],
                ..Profile::new("jwt_bearer", Grant::Exchange)
            },
            Self::Signed(signed) => Profile {
                identity: signed.identity(),
                secrets: vec![("key", &signed.key)],
                certificate: signed.assertion.certificate.as_ref(),
                ..Profile::new("jwt_bearer", Grant::ClientCredentials)
            },
        }
    }
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] =
    &[("assertion", "set it in `[token.NAME.grant.jwt_bearer]`")];
