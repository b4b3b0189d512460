//! The claims of an ID token (OpenID Connect Core section 2).

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::IdTokenError;
use super::expected::LEEWAY;
use super::jws::Jws;

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

impl Claims {
    /// Reads the claims of a payload.
    pub(super) fn read(members: &Map<String, Value>) -> Result<Self, IdTokenError> {
        let required = |name| text(members, name)?.ok_or(IdTokenError::Missing(name));
        let required_time = |name| time(members, name)?.ok_or(IdTokenError::Missing(name));
        let subject = required("sub")?;
        // OpenID Connect Core section 2: never over 255 characters.
        if subject.is_empty() || subject.len() > 255 {
            return Err(IdTokenError::Claim("sub"));
        }
        Ok(Self {
            issuer: required("iss")?,
            subject,
            audience: audience(members)?,
            authorized_party: text(members, "azp")?,
            expires_at: required_time("exp")?,
            issued_at: required_time("iat")?,
            auth_time: time(members, "auth_time")?,
            nonce: text(members, "nonce")?,
        })
    }

    /// Reads an ID token that has been verified before.
    ///
    /// # Errors
    /// [`IdTokenError`] when it is none.
    pub fn of_verified(token: &str) -> Result<Self, IdTokenError> {
        Self::read(&Jws::split(token)?.claims()?)
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

/// A claim that is a string.
pub(super) fn text(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, IdTokenError> {
    match members.get(name) {
        // Some providers write null for what they have nothing to say of.
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(IdTokenError::Claim(name)),
    }
}

/// A NumericDate (RFC 7519 section 2): a number, possibly with a fraction.
pub(super) fn time(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Duration>, IdTokenError> {
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|seconds| *seconds <= LAST_SECOND);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.map(Some).ok_or(IdTokenError::Claim(name))
}

/// A string, or an array of strings (RFC 7519 section 4.1.3).
fn audience(members: &Map<String, Value>) -> Result<Vec<String>, IdTokenError> {
    let malformed = IdTokenError::Claim("aud");
    match members.get("aud") {
        None => Err(IdTokenError::Missing("aud")),
        Some(Value::String(audience)) => Ok(vec![audience.clone()]),
        Some(Value::Array(audiences)) => audiences
            .iter()
            .map(|audience| audience.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or(malformed),
        Some(_) => Err(malformed),
    }
}

/// The end of the year 9999. What is later counts in milliseconds, or is nonsense.
const LAST_SECOND: f64 = 253_402_300_799.0;
