//! A provider's public keys (JWK Set, RFC 7517), and which of them may have signed a token. Pure.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd_core::refresh::FailureKind;
use http::StatusCode;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::config::SignatureAlg;

/// The keys of a provider that can verify a signature.
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWK Set; the caller bounds its size. A key that is of no use, for whatever reason,
    /// does not spoil the others.
    ///
    /// # Errors
    /// [`KeySetProblem`].
    pub fn parse(json: &[u8]) -> Result<Self, KeySetProblem> {
        let mut set: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| KeySetProblem::NotAKeySet)?;
        let Some(Value::Array(keys)) = set.remove("keys") else {
            return Err(KeySetProblem::NotAKeySet);
        };
        if keys.len() > MAX_KEYS {
            return Err(KeySetProblem::TooManyKeys);
        }
        // The same key listed twice is one key.
        let mut different: Vec<Value> = Vec::new();
        for mut key in keys {
            unpad(&mut key);
            if !different.contains(&key) {
                different.push(key);
            }
        }
        let keys: Vec<Key> = different.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(KeySetProblem::NoUsableKey);
        }
        Ok(Self(keys))
    }

    /// The one key that may have signed by `alg`: of the named `kid`, or without one the only key
    /// that fits.
    pub(in crate::oauth) fn select(
        &self,
        alg: SignatureAlg,
        kid: Option<&str>,
    ) -> Result<&Key, Unfit> {
        let named = |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.0.iter().filter(named).filter(|key| key.fits(alg));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Unfit::Several),
            (None, _) => Err(Unfit::All),
        }
    }
}

/// Takes the padding off a key's numbers: RFC 7515 section 2 has none, some providers do.
fn unpad(key: &mut Value) {
    for name in ["n", "e", "x", "y"] {
        if let Some(Value::String(number)) = key.get_mut(name) {
            number.truncate(number.trim_end_matches('=').len());
        }
    }
}

/// Why a key set is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeySetProblem {
    /// The metadata does not say where it is.
    #[error("the provider's metadata names no usable jwks_uri")]
    NoAddress,
    /// There is not one that can verify.
    #[error("it has no key that can verify a signature")]
    NoUsableKey,
    /// It is not a JSON object with an array of keys.
    #[error("it is no JSON object with an array of keys")]
    NotAKeySet,
    /// The server failed.
    #[error("the server answered {}", .0.as_u16())]
    Status(StatusCode),
    /// There are more keys than a provider has.
    #[error("it has more than 100 keys")]
    TooManyKeys,
}

impl KeySetProblem {
    pub(super) fn kind(self) -> FailureKind {
        match self {
            Self::NoAddress => FailureKind::Misconfigured,
            Self::Status(StatusCode::TOO_MANY_REQUESTS) => FailureKind::RateLimited,
            Self::NoUsableKey | Self::NotAKeySet | Self::Status(_) | Self::TooManyKeys => {
                FailureKind::Unavailable
            }
        }
    }
}

/// Why no key of a key set can be chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::oauth) enum Unfit {
    /// There is none that fits.
    All,
    /// There is more than one that fits.
    Several,
}

/// A public key that may verify.
pub(in crate::oauth) struct Key {
    kid: Option<String>,
    /// The one algorithm it is for, if it names one.
    alg: Option<String>,
    material: Material,
}

enum Material {
    Ed25519(DecodingKey),
    P256(DecodingKey),
    P384(DecodingKey),
    /// It is beyond `jsonwebtoken`.
    P521(ParsedPublicKey),
    Rsa(DecodingKey),
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else {
            return None;
        };
        // Of no interest, and enough to spoil the key if they are odd.
        for certificate in ["x5c", "x5t", "x5t#S256", "x5u"] {
            members.remove(certificate);
        }
        let alg = members.get("alg").and_then(Value::as_str);
        let alg = alg.map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(Value::Object(members)).ok()?;
        let verifies = match (&jwk.common.public_key_use, &jwk.common.key_operations) {
            (None | Some(PublicKeyUse::Signature), None) => true,
            (None | Some(PublicKeyUse::Signature), Some(may)) => {
                may.contains(&KeyOperations::Verify)
            }
            _ => false,
        };
        if !verifies {
            return None;
        }
        Some(Self {
            kid: jwk.common.key_id,
            alg,
            material: Material::read(&jwk.algorithm)?,
        })
    }

    /// RFC 8725 section 3.1: a key has one algorithm, or at least one family.
    fn fits(&self, alg: SignatureAlg) -> bool {
        let of_family = match self.material {
            Material::Ed25519(_) => alg == SignatureAlg::EdDSA,
            Material::P256(_) => alg == SignatureAlg::ES256,
            Material::P384(_) => alg == SignatureAlg::ES384,
            Material::P521(_) => alg == SignatureAlg::ES512,
            Material::Rsa(_) => matches!(
                alg,
                SignatureAlg::PS256
                    | SignatureAlg::PS384
                    | SignatureAlg::PS512
                    | SignatureAlg::RS256
                    | SignatureAlg::RS384
                    | SignatureAlg::RS512
            ),
        };
        let named = self.alg.as_deref();
        of_family && named.is_none_or(|named| algorithm(named) == Some(alg))
    }

    /// Whether `signature`, in base64url, is this key's over `message`.
    pub(in crate::oauth) fn has_signed(
        &self,
        message: &str,
        signature: &str,
        alg: SignatureAlg,
    ) -> bool {
        let message = message.as_bytes();
        let (key, algorithm) = match (&self.material, alg) {
            (Material::Ed25519(key), SignatureAlg::EdDSA) => (key, Algorithm::EdDSA),
            (Material::P256(key), SignatureAlg::ES256) => (key, Algorithm::ES256),
            (Material::P384(key), SignatureAlg::ES384) => (key, Algorithm::ES384),
            (Material::P521(key), SignatureAlg::ES512) => {
                return URL_SAFE_NO_PAD
                    .decode(signature)
                    .is_ok_and(|signature| key.verify_sig(message, &signature).is_ok());
            }
            (Material::Rsa(key), SignatureAlg::PS256) => (key, Algorithm::PS256),
            (Material::Rsa(key), SignatureAlg::PS384) => (key, Algorithm::PS384),
            (Material::Rsa(key), SignatureAlg::PS512) => (key, Algorithm::PS512),
            (Material::Rsa(key), SignatureAlg::RS256) => (key, Algorithm::RS256),
            (Material::Rsa(key), SignatureAlg::RS384) => (key, Algorithm::RS384),
            (Material::Rsa(key), SignatureAlg::RS512) => (key, Algorithm::RS512),
            _ => return false,
        };
        jsonwebtoken::crypto::verify(signature, message, key, algorithm).unwrap_or(false)
    }
}

impl Material {
    /// `None` for a kind of key unknown to us, and for one that is weak or no key at all.
    fn read(parameters: &AlgorithmParameters) -> Option<Self> {
        match parameters {
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => {
                    point(&key.x, &key.y, 32, &signature::ECDSA_P256_SHA256_FIXED)?;
                    let key = DecodingKey::from_ec_components(&key.x, &key.y);
                    key.ok().map(Self::P256)
                }
                EllipticCurve::P384 => {
                    point(&key.x, &key.y, 48, &signature::ECDSA_P384_SHA384_FIXED)?;
                    let key = DecodingKey::from_ec_components(&key.x, &key.y);
                    key.ok().map(Self::P384)
                }
                EllipticCurve::P521 => {
                    let curve = &signature::ECDSA_P521_SHA512_FIXED;
                    point(&key.x, &key.y, 66, curve).map(Self::P521)
                }
                _ => None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                let x = URL_SAFE_NO_PAD.decode(&key.x).ok()?;
                ParsedPublicKey::new(&signature::ED25519, &x).ok()?;
                (x.len() == 32).then(|| Self::Ed25519(DecodingKey::from_ed_der(&x)))
            }
            AlgorithmParameters::RSA(key) => rsa(&key.n, &key.e).map(Self::Rsa),
            _ => None,
        }
    }
}

/// The algorithm of that name (RFC 7518 section 3.1, RFC 8037, RFC 9864), if it is one with a key
/// pair.
pub(in crate::oauth) fn algorithm(name: &str) -> Option<SignatureAlg> {
    match name {
        "ES256" => Some(SignatureAlg::ES256),
        "ES384" => Some(SignatureAlg::ES384),
        "ES512" => Some(SignatureAlg::ES512),
        "Ed25519" | "EdDSA" => Some(SignatureAlg::EdDSA),
        "PS256" => Some(SignatureAlg::PS256),
        "PS384" => Some(SignatureAlg::PS384),
        "PS512" => Some(SignatureAlg::PS512),
        "RS256" => Some(SignatureAlg::RS256),
        "RS384" => Some(SignatureAlg::RS384),
        "RS512" => Some(SignatureAlg::RS512),
        _ => None,
    }
}

/// A point on the curve, its coordinates `length` bytes each (RFC 7518 section 6.2.1.2).
fn point(
    x: &str,
    y: &str,
    length: usize,
    curve: &'static signature::EcdsaVerificationAlgorithm,
) -> Option<ParsedPublicKey> {
    let (x, y) = (
        URL_SAFE_NO_PAD.decode(x).ok()?,
        URL_SAFE_NO_PAD.decode(y).ok()?,
    );
    if x.len() != length || y.len() != length {
        return None;
    }
    // Uncompressed, SEC 1 section 2.3.3. Parsing fails off the curve.
    ParsedPublicKey::new(curve, [&[4], x.as_slice(), y.as_slice()].concat()).ok()
}

fn rsa(n: &str, e: &str) -> Option<DecodingKey> {
    let (n, e) = (
        URL_SAFE_NO_PAD.decode(n).ok()?,
        URL_SAFE_NO_PAD.decode(e).ok()?,
    );
    let (n, e) = (trimmed(&n), trimmed(&e));
    let unused = n.first()?.leading_zeros();
    let bits = 8 * n.len() - usize::try_from(unused).ok()?;
    if !(2048..=8192).contains(&bits) {
        return None;
    }
    // With 1 as exponent, everybody can sign.
    let sound = e.len() <= 4 && e.last().is_some_and(|last| last % 2 == 1) && e != [1];
    sound.then(|| DecodingKey::from_rsa_raw_components(n, e))
}

/// Some providers write a sign byte, against RFC 7518 section 6.3.1.1.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// More are no provider's.
const MAX_KEYS: usize = 100;
