//! Whether an ID token is the provider's, and for this client and this login (OpenID Connect Core
//! 3.1.3.7).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::claims::{Claims, text, time};
use super::error::{IdTokenError, shown};
use super::expected::Expected;
use super::jws::Jws;
use crate::config::SignatureAlg;
use crate::oauth::provider::KeySet;
use crate::oauth::provider::key_set::Unfit;

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
    let key = keys.select(header.alg, header.kid.as_deref());
    let key = key.map_err(|unfit| match unfit {
        Unfit::All => IdTokenError::NoKey {
            alg: header.alg,
            kid: header.kid.as_deref().map(shown),
        },
        Unfit::Several => IdTokenError::AmbiguousKey,
    })?;
    if !key.has_signed(jws.signed, jws.signature, header.alg) {
        return Err(IdTokenError::Signature);
    }
    check(&jws.claims()?, header.alg, expected)
}

fn check(
    members: &Map<String, Value>,
    alg: SignatureAlg,
    expected: &Expected<'_>,
) -> Result<Claims, IdTokenError> {
    let claims = Claims::read(members)?;
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

/// The left half of the access token's hash, by the hash of `alg` (OpenID Connect Core 3.1.3.6);
/// Ed25519 signs with SHA-512.
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
