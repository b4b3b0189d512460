//! The claims of an ID token whose signature is right (OpenID Connect Core 3.1.3.7).

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::error::{IdTokenError, shown};
use super::{Claims, Expected};
use crate::config::SignatureAlg;

pub(super) fn check(
    members: &Map<String, Value>,
    alg: SignatureAlg,
    expected: &Expected<'_>,
) -> Result<Claims, IdTokenError> {
    let claims = read(members)?;
    // Byte for byte: no two issuers are the same for being written alike.
    if claims.issuer != expected.issuer {
        return Err(IdTokenError::Issuer(shown(&claims.issuer)));
    }
    check_parties(&claims, expected.client_id)?;
    check_times(members, &claims, expected)?;
    if expected.nonce.is_some() {
        let nonce = claims.nonce.as_deref();
        nonce.ok_or(IdTokenError::Missing("nonce"))?;
        if nonce != expected.nonce {
            return Err(IdTokenError::Nonce);
        }
    }
    let at_hash = text(members, "at_hash")?;
    if let (Some(at_hash), Some(access_token)) = (at_hash, expected.access_token)
        && at_hash != half_hash(access_token, alg)
    {
        return Err(IdTokenError::AccessTokenHash);
    }
    Ok(claims)
}

pub(super) fn read(members: &Map<String, Value>) -> Result<Claims, IdTokenError> {
    let required = |name| text(members, name)?.ok_or(IdTokenError::Missing(name));
    let required_time = |name| time(members, name)?.ok_or(IdTokenError::Missing(name));
    let subject = required("sub")?;
    // OpenID Connect Core section 2: never over 255 characters.
    if subject.is_empty() || subject.len() > 255 {
        return Err(IdTokenError::Claim("sub"));
    }
    Ok(Claims {
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

fn check_parties(claims: &Claims, client_id: &str) -> Result<(), IdTokenError> {
    if !claims.audience.iter().any(|audience| audience == client_id) {
        return Err(IdTokenError::Audience);
    }
    match &claims.authorized_party {
        Some(party) if party == client_id => Ok(()),
        None if claims.audience.len() == 1 => Ok(()),
        _ => Err(IdTokenError::AuthorizedParty),
    }
}

fn check_times(
    members: &Map<String, Value>,
    claims: &Claims,
    expected: &Expected<'_>,
) -> Result<(), IdTokenError> {
    let Expected { now, leeway, .. } = *expected;
    let latest = now.saturating_add(leeway);
    if now >= claims.expires_at.saturating_add(leeway) {
        return Err(IdTokenError::Expired);
    }
    if claims.issued_at > latest {
        return Err(IdTokenError::IssuedInFuture);
    }
    if time(members, "nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(IdTokenError::NotYetValid);
    }
    let age = now.saturating_sub(claims.issued_at);
    match expected.max_age {
        Some(max_age) if age > max_age.saturating_add(leeway) => Err(IdTokenError::Stale),
        _ => Ok(()),
    }
}

fn text(members: &Map<String, Value>, name: &'static str) -> Result<Option<String>, IdTokenError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(IdTokenError::Claim(name)),
    }
}

/// A NumericDate (RFC 7519 section 2): a number, possibly with a fraction.
fn time(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Duration>, IdTokenError> {
    let Some(value) = members.get(name) else {
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

/// The left half of the access token's hash, by the hash of `alg` (OpenID Connect Core 3.1.3.6); Ed25519
/// signs with SHA-512.
fn half_hash(access_token: &SecretString, alg: SignatureAlg) -> String {
    let algorithm = match alg {
        SignatureAlg::ES256 | SignatureAlg::PS256 | SignatureAlg::RS256 => &digest::SHA256,
        SignatureAlg::ES384 | SignatureAlg::PS384 | SignatureAlg::RS384 => &digest::SHA384,
        SignatureAlg::ES512 | SignatureAlg::PS512 | SignatureAlg::RS512 | SignatureAlg::EdDSA => {
            &digest::SHA512
        }
    };
    let hash = digest::digest(algorithm, access_token.expose_secret().as_bytes());
    let (left, _) = hash.as_ref().split_at(algorithm.output_len / 2);
    URL_SAFE_NO_PAD.encode(left)
}

/// The end of the year 9999. What is later counts in milliseconds, or is nonsense.
const LAST_SECOND: f64 = 253_402_300_799.0;
