//! What an ID token says, once it is sure that the provider says it, to this client, about this login
//! (OpenID Connect Core 1.0 sections 2 and 3.1.3.7, RFC 8725). Pure: the keys and the time come in.

mod claims;
mod error;
mod jws;

use std::time::Duration;

use secrecy::SecretString;

pub(super) use error::shown;
pub use error::{IdTokenError, Part};

use self::jws::Jws;
use crate::config::SignatureAlg;
use crate::oauth::provider::key_set::KeySet;

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

/// What a verified ID token says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`: who logged in, by the issuer's own name for them.
    pub subject: String,
    /// `aud`: whom it is for; this client among them.
    pub audience: Vec<String>,
    /// `azp`: whom it was issued to; this client.
    pub authorized_party: Option<String>,
    /// `exp`, since the epoch.
    pub expires_at: Duration,
    /// `iat`, since the epoch.
    pub issued_at: Duration,
    /// `auth_time`: when the user logged in, since the epoch.
    pub auth_time: Option<Duration>,
    /// `nonce`.
    pub nonce: Option<String>,
}

/// Verifies an ID token.
///
/// # Errors
/// [`IdTokenError`]. After [`NoKey`](IdTokenError::NoKey) a newer key set may help.
pub fn verify(token: &str, keys: &KeySet, expected: &Expected<'_>) -> Result<Claims, IdTokenError> {
    let jws = Jws::split(token)?;
    let header = jws.header()?;
    if !expected.algorithms.contains(&header.alg) {
        return Err(IdTokenError::Algorithm(format!("{:?}", header.alg)));
    }
    let key = keys.select(header.alg, header.kid.as_deref())?;
    if !key.has_signed(jws.signed, jws.signature, header.alg) {
        return Err(IdTokenError::Signature);
    }
    claims::check(&jws.claims()?, header.alg, expected)
}

impl Claims {
    /// Reads an ID token that has been verified before.
    ///
    /// # Errors
    /// [`IdTokenError`] when it is none.
    pub fn of_verified(token: &str) -> Result<Self, IdTokenError> {
        claims::read(&Jws::split(token)?.claims()?)
    }

    /// Whether an ID token that came by a refresh speaks of the same login as `original`
    /// (OpenID Connect Core 12.2). It needs no `nonce`.
    ///
    /// # Errors
    /// [`IdTokenError::Discontinuous`], naming the claim.
    pub fn continues(&self, original: &Self) -> Result<(), IdTokenError> {
        let same_audience = original.audience.iter().all(|a| self.audience.contains(a));
        let auth_times = self.auth_time.zip(original.auth_time);
        let checks = [
            ("iss", self.issuer == original.issuer),
            ("sub", self.subject == original.subject),
            ("aud", same_audience),
            ("azp", self.authorized_party == original.authorized_party),
            // The servers of one provider need not have one clock.
            ("iat", self.issued_at + LEEWAY >= original.issued_at),
            ("auth_time", auth_times.is_none_or(|(new, old)| new == old)),
            (
                "nonce",
                self.nonce.is_none() || self.nonce == original.nonce,
            ),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            Some((claim, _)) => Err(IdTokenError::Discontinuous(claim)),
            None => Ok(()),
        }
    }
}

/// How far two clocks may differ when both are set by the network.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// How long ago an ID token may have been issued that has just come: the time of a request, not of a login.
pub const MAX_AGE: Duration = Duration::from_secs(600);

/// Every algorithm known here: signatures with a key pair only. With an HMAC, whoever may verify may forge.
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
