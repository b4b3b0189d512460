//! `[token.NAME.grant.client_credentials]`: RFC 6749 section 4.4. It has no keys.

use bearerd_core::refresh::Grant;

use super::profile::Profile;

pub(super) const fn profile() -> Profile<'static> {
    Profile::new("client_credentials", Grant::ClientCredentials)
}
