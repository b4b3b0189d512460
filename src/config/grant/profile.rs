//! What follows from a grant, for all that need not know which grant it is.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use bearerd_core::refresh::{Grant, Parent};

use super::super::references::TokenRef;
use super::super::secret_ref::SecretRef;
use super::super::transport::TlsConfig;

/// What follows from a grant, for all that need not know which grant it is.
pub(in crate::config) struct Profile<'a> {
    /// The grant as the core knows it.
    pub(in crate::config) core: Grant,
    /// The grant's name in a token's identity.
    pub(in crate::config) name: &'static str,
    /// The texts in the grant's table that decide what is obtained. No secret is among them.
    pub(in crate::config) identity: Vec<Cow<'a, str>>,
    /// Where a person logs in, if that is how the token is obtained.
    pub(in crate::config) login: Option<LoginAt>,
    /// The grant's own secrets, each with the key that refers to it.
    pub(in crate::config) secrets: Vec<(&'a str, &'a SecretRef)>,
    /// The tokens that the request carries, each with the key that refers to it.
    pub(in crate::config) carried: Vec<(&'static str, &'a TokenRef)>,
    /// The certificate that an assertion's thumbprints are made from.
    pub(in crate::config) certificate: Option<&'a PathBuf>,
    /// TLS towards the server, where no client says it.
    pub(in crate::config) tls: Option<&'a TlsConfig>,
    /// The origin of the server, where no client says it. A program has none.
    pub(in crate::config) origin: Option<String>,
    /// How long obtaining a token may take, where no client's timeouts say it.
    pub(in crate::config) longest: Duration,
}

impl<'a> Profile<'a> {
    /// The profile of a grant that has no keys.
    pub(super) const fn new(name: &'static str, core: Grant) -> Self {
        Self {
            core,
            name,
            identity: Vec::new(),
            login: None,
            secrets: Vec::new(),
            carried: Vec::new(),
            certificate: None,
            tls: None,
            origin: None,
            longest: Duration::ZERO,
        }
    }

    /// All secrets that a request needs, each with the key that refers to it.
    pub(in crate::config) fn all_secrets(&self) -> impl Iterator<Item = (&'a str, &'a SecretRef)> {
        let carried = self.carried.iter();
        let carried = carried.filter_map(|(key, token)| Some((*key, token.secret()?)));
        self.secrets.iter().copied().chain(carried)
    }

    /// The tokens of bearerd that the token is made from.
    pub(in crate::config) fn parents(&self) -> impl Iterator<Item = Parent> {
        let carried = self.carried.iter();
        carried.filter_map(|(_, token)| token.parent(false))
    }
}

/// The endpoint at which a person logs in.
#[derive(Clone, Copy)]
pub(in crate::config) enum LoginAt {
    /// `authorization_endpoint` (RFC 6749 section 3.1).
    Authorization,
    /// `device_authorization_endpoint` (RFC 8628 section 3.1).
    DeviceAuthorization,
}
