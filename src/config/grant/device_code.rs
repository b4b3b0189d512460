//! `[token.NAME.grant.device_code]`: RFC 8628. It has no keys.

use bearerd_core::refresh::Grant;

use super::params::LOGIN_HINT;
use super::profile::{LoginAt, Profile};

pub(super) fn profile() -> Profile<'static> {
    Profile {
        login: Some(LoginAt::DeviceAuthorization),
        ..Profile::new("device_code", Grant::Login)
    }
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] = &[("device_code", LOGIN_HINT)];
