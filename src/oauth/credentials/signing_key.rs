//! Keys that sign assertions.
//!
//! Signed by `aws-lc-rs` rather than by `jsonwebtoken`, which knows no ES512 and reads no SEC1 key.

use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{hmac, rand};
use rustls::pki_types::PrivateKeyDer;
use secrecy::{ExposeSecret, SecretString};

use super::error::CredentialsError;
use super::private_key::KeyError;
use crate::config::{HmacAlg, SignatureAlg};

/// A key that signs assertions.
pub(super) enum SigningKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair, SignatureAlg),
}

impl SigningKey {
    /// The private key of a key pair, for one algorithm.
    pub(super) fn parse(der: &PrivateKeyDer<'_>, alg: SignatureAlg) -> Result<Self, KeyError> {
        let parsed = match alg {
            SignatureAlg::ES256 => {
                ecdsa(der, &signature::ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::Ecdsa)
            }
            SignatureAlg::ES384 => {
                ecdsa(der, &signature::ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::Ecdsa)
            }
            SignatureAlg::ES512 => {
                ecdsa(der, &signature::ECDSA_P521_SHA512_FIXED_SIGNING).map(Self::Ecdsa)
            }
            SignatureAlg::EdDSA => ed25519(der).map(Self::Ed25519),
            SignatureAlg::PS256
            | SignatureAlg::PS384
            | SignatureAlg::PS512
            | SignatureAlg::RS256
            | SignatureAlg::RS384
            | SignatureAlg::RS512 => rsa(der).ok().map(|key| Self::Rsa(key, alg)),
        };
        parsed.ok_or_else(|| match kind(der) {
            Err(error) => error,
            Ok(found) => KeyError::WrongKind { found, alg },
        })
    }

    /// A client's secret: its UTF-8 octets are the key (OpenID Connect Core section 9).
    pub(super) fn of_secret(secret: &SecretString, alg: HmacAlg) -> Self {
        let mac = match alg {
            HmacAlg::HS256 => hmac::HMAC_SHA256,
            HmacAlg::HS384 => hmac::HMAC_SHA384,
            HmacAlg::HS512 => hmac::HMAC_SHA512,
        };
        let octets = secret.expose_secret().as_bytes();
        Self::Hmac(Box::new(hmac::Key::new(mac, octets)))
    }

    /// Whether a signature takes milliseconds.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::Rsa(..))
    }

    /// The signature over `message`, in the form that RFC 7518 section 3 gives it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CredentialsError> {
        let rng = rand::SystemRandom::new();
        let failed = |_| CredentialsError::Signing;
        match self {
            Self::Ecdsa(key) => Ok(key.sign(&rng, message).map_err(failed)?.as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Rsa(key, alg) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(rsa_encoding(*alg)?, &rng, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

fn rsa_encoding(alg: SignatureAlg) -> Result<&'static dyn RsaEncoding, CredentialsError> {
    match alg {
        SignatureAlg::PS256 => Ok(&signature::RSA_PSS_SHA256),
        SignatureAlg::PS384 => Ok(&signature::RSA_PSS_SHA384),
        SignatureAlg::PS512 => Ok(&signature::RSA_PSS_SHA512),
        SignatureAlg::RS256 => Ok(&signature::RSA_PKCS1_SHA256),
        SignatureAlg::RS384 => Ok(&signature::RSA_PKCS1_SHA384),
        SignatureAlg::RS512 => Ok(&signature::RSA_PKCS1_SHA512),
        SignatureAlg::ES256 | SignatureAlg::ES384 | SignatureAlg::ES512 | SignatureAlg::EdDSA => {
            Err(CredentialsError::Signing)
        }
    }
}

fn rsa(der: &PrivateKeyDer<'_>) -> Result<RsaKeyPair, KeyError> {
    let parsed = match der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(KeyError::Malformed),
    };
    parsed.map_err(|error| match error.description_() {
        "TooSmall" => KeyError::RsaTooSmall,
        _ => KeyError::Malformed,
    })
}

fn ecdsa(
    der: &PrivateKeyDer<'_>,
    curve: &'static signature::EcdsaSigningAlgorithm,
) -> Option<EcdsaKeyPair> {
    match der {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(curve, der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_private_key_der(curve, der.secret_sec1_der()).ok()
        }
        _ => None,
    }
}

fn ed25519(der: &PrivateKeyDer<'_>) -> Option<Ed25519KeyPair> {
    match der {
        PrivateKeyDer::Pkcs8(der) => Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
        _ => None,
    }
}

/// What kind of key it is, for the error that says it is the wrong one.
fn kind(der: &PrivateKeyDer<'_>) -> Result<&'static str, KeyError> {
    if ecdsa(der, &signature::ECDSA_P256_SHA256_FIXED_SIGNING).is_some() {
        Ok("a P-256 key")
    } else if ecdsa(der, &signature::ECDSA_P384_SHA384_FIXED_SIGNING).is_some() {
        Ok("a P-384 key")
    } else if ecdsa(der, &signature::ECDSA_P521_SHA512_FIXED_SIGNING).is_some() {
        Ok("a P-521 key")
    } else if ed25519(der).is_some() {
        Ok("an Ed25519 key")
    } else {
        rsa(der).map(|_| "an RSA key")
    }
}
