//! What an ID token must be.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::SignatureAlg;

/// What an ID token must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The issuer, as its metadata names it.
    pub issuer: &'a str,
    /// This client.
    pub client_id: &'a str,
    /// The nonce of the authentication request, if it had one.
    pub nonce: Option<&'a str>,
    /// The access token that came with it, for `at_hash`.
    pub access_token: Option<&'a SecretString>,
    /// What it may be signed with.
    pub algorithms: &'a [SignatureAlg],
    /// Time since the epoch, by the provider's clock if that is known.
    pub now: Duration,
    /// How far the two clocks may differ.
    pub leeway: Duration,
    /// How long ago it may have been issued, at most.
    pub max_age: Option<Duration>,
}

/// How far two clocks may differ when both are set by the network.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// How long ago an ID token may have been issued that has just come: the time of a request, not of
/// a login.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// Every algorithm known here: signatures with a key pair only. With an HMAC, whoever may verify
/// may forge.
pub const ALGORITHMS: &[SignatureAlg] = &[
    SignatureAlg::ES256,
    SignatureAlg::ES384,
    SignatureAlg::ES512,
    SignatureAlg::EdDSA,
    SignatureAlg::PS256,
    SignatureAlg::PS384,
    SignatureAlg::PS512,
    SignatureAlg::RS256,
    SignatureAlg::RS384,
    SignatureAlg::RS512,
];
