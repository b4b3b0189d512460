//! Assertions: the JWTs of `private_key_jwt`, `client_secret_jwt` and `jwt_bearer` (RFC 7523 section 3).
//!
//! Signed here rather than by `jsonwebtoken`, which knows no ES512 and reads no SEC1 key. The key is parsed
//! once; every assertion has its own `jti`, because servers remember them (RFC 7523 section 3, point 7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::Zeroize;

use super::certificate;
use super::error::SourceError;
use crate::config::{AssertionConfig, HmacAlg, SignatureAlg};

/// Signs assertions in one name. Without interior state: it may sign on any thread.
pub(super) struct Signer {
    key: Key,
    /// The encoded JOSE header: the same for every assertion.
    header: String,
    issuer: String,
    subject: Option<String>,
    /// `None`: the token endpoint in use.
    audience: Option<String>,
    lifetime: Duration,
    claims: BTreeMap<String, serde_json::Value>,
}

/// In whose name assertions are signed.
pub(super) struct Party<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: Option<&'a str>,
    /// The configuration key that an error about the signing key names.
    pub(super) what: &'static str,
}

enum Key {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair, SignatureAlg),
}

/// Why a private key is of no use. Never holds any of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// A certificate stands where the key should.
    #[error("it is a certificate, not a private key")]
    Certificate,
    /// The certificate for `x5t` is for another key.
    #[error("the certificate is for another key")]
    CertificateMismatch,
    /// Protected by a passphrase.
    #[error("it is encrypted")]
    Encrypted,
    /// PEM, but not of a key we can parse.
    #[error("it is damaged or of an unsupported kind")]
    Malformed,
    /// No PEM block of a private key.
    #[error("it holds no PEM private key")]
    NoKey,
    /// OpenSSH's own format.
    #[error("it is in OpenSSH's own format")]
    OpenSsh,
    /// Public.
    #[error("it is a public key, not a private key")]
    PublicKey,
    /// Under 2048 bits.
    #[error("it is an RSA key of less than 2048 bits")]
    RsaTooSmall,
    /// Another kind than the algorithm's.
    #[error("it is {found}, and alg {alg:?} needs {}", needs(*alg))]
    WrongKind {
        /// What it is.
        found: &'static str,
        /// What it should sign with.
        alg: SignatureAlg,
    },
}

impl KeyError {
    pub(super) fn hint(self) -> Option<&'static str> {
        match self {
            Self::CertificateMismatch => Some("set the assertion's certificate to the key's own"),
            Self::Encrypted => Some("decrypt it with `openssl pkey`; the file's mode protects it"),
            Self::OpenSsh => Some("convert it with `ssh-keygen -p -m PKCS8`"),
            Self::RsaTooSmall => Some("make a new key of at least 2048 bits"),
            Self::WrongKind { .. } => Some("set alg to one that fits the key"),
            _ => None,
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5t: Option<String>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    x5t_s256: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    jti: String,
    iat: u64,
    exp: u64,
    #[serde(flatten)]
    further: &'a BTreeMap<String, serde_json::Value>,
}

impl Signer {
    /// With a private key, PEM.
    pub(super) fn with_private_key(
        pem: &SecretString,
        alg: SignatureAlg,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, SourceError> {
        let what = party.what;
        let unusable = |cause| SourceError::Key { what, cause };
        let mut der = private_key(pem).map_err(unusable)?;
        let matched = match &config.certificate {
            Some(path) => certificate::matches(&certificate::read(path)?, &der),
            None => true,
        };
        let key = Key::parse(&der, alg);
        der.zeroize();
        let key = key.map_err(unusable)?;
        if !matched {
            return Err(unusable(KeyError::CertificateMismatch));
        }
        Self::new(key, &format!("{alg:?}"), party, config)
    }

    /// For `client_secret_jwt`: the secret's UTF-8 octets are the key (OpenID Connect Core section 9).
    pub(super) fn with_secret(
        secret: &SecretString,
        alg: HmacAlg,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, SourceError> {
        let mac = match alg {
            HmacAlg::HS256 => hmac::HMAC_SHA256,
            HmacAlg::HS384 => hmac::HMAC_SHA384,
            HmacAlg::HS512 => hmac::HMAC_SHA512,
        };
        let key = Key::Hmac(Box::new(hmac::Key::new(
            mac,
            secret.expose_secret().as_bytes(),
        )));
        Self::new(key, &format!("{alg:?}"), party, config)
    }

    fn new(
        key: Key,
        alg: &str,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, SourceError> {
        let leaf = config
            .certificate
            .as_deref()
            .map(certificate::read)
            .transpose()?;
        let thumbprint = |wanted: bool, algorithm| {
            leaf.as_ref()
                .filter(|_| wanted)
                .map(|der| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, der)))
        };
        let header = Header {
            alg,
            typ: &config.typ,
            kid: config.kid.as_deref(),
            x5t: thumbprint(config.x5t, &digest::SHA1_FOR_LEGACY_USE_ONLY),
            x5t_s256: thumbprint(config.x5t_s256, &digest::SHA256),
        };
        Ok(Self {
            key,
            header: encode(&header)?,
            issuer: party.issuer.into(),
            subject: party.subject.map(Into::into),
            audience: config.audience.clone(),
            lifetime: config.lifetime,
            claims: config.claims.clone(),
        })
    }

    /// Whether a signature takes milliseconds.
    fn is_slow(&self) -> bool {
        matches!(self.key, Key::Rsa(..))
    }

    /// As [`Signer::sign`], but not on the thread that answers readers when that would hold it up.
    pub(super) async fn sign_aside(
        self: &Arc<Self>,
        audience: Option<&str>,
        now: Duration,
    ) -> Result<SecretString, SourceError> {
        if !self.is_slow() {
            return self.sign(audience, now);
        }
        let (signer, audience) = (Arc::clone(self), audience.map(str::to_owned));
        tokio::task::spawn_blocking(move || signer.sign(audience.as_deref(), now))
            .await
            .map_err(|_| SourceError::AssertionSigning)?
    }

    /// A new assertion for `audience` unless another is configured, issued at `now`: time since the epoch by
    /// the *server's* clock, since NHS England allows no skew.
    pub(super) fn sign(
        &self,
        audience: Option<&str>,
        now: Duration,
    ) -> Result<SecretString, SourceError> {
        let mut jti = [0_u8; 16];
        rand::fill(&mut jti).map_err(|_| SourceError::AssertionSigning)?;
        let claims = Claims {
            iss: &self.issuer,
            sub: self.subject.as_deref(),
            aud: self.audience.as_deref().or(audience),
            jti: URL_SAFE_NO_PAD.encode(jti),
            iat: now.as_secs(),
            exp: now.as_secs().saturating_add(self.lifetime.as_secs()),
            further: &self.claims,
        };
        let mut jwt = format!("{}.{}", self.header, encode(&claims)?);
        let signature = self.key.sign(jwt.as_bytes())?;
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
        Ok(SecretString::from(jwt))
    }
}

impl Key {
    fn parse(der: &PrivateKeyDer<'_>, alg: SignatureAlg) -> Result<Self, KeyError> {
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
            _ => rsa(der).ok().map(|key| Self::Rsa(key, alg)),
        };
        parsed.ok_or_else(|| match kind(der) {
            Err(error) => error,
            Ok(found) => KeyError::WrongKind { found, alg },
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SourceError> {
        let rng = rand::SystemRandom::new();
        let failed = |_| SourceError::AssertionSigning;
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

fn rsa_encoding(alg: SignatureAlg) -> Result<&'static dyn RsaEncoding, SourceError> {
    match alg {
        SignatureAlg::PS256 => Ok(&signature::RSA_PSS_SHA256),
        SignatureAlg::PS384 => Ok(&signature::RSA_PSS_SHA384),
        SignatureAlg::PS512 => Ok(&signature::RSA_PSS_SHA512),
        SignatureAlg::RS256 => Ok(&signature::RSA_PKCS1_SHA256),
        SignatureAlg::RS384 => Ok(&signature::RSA_PKCS1_SHA384),
        SignatureAlg::RS512 => Ok(&signature::RSA_PKCS1_SHA512),
        SignatureAlg::ES256 | SignatureAlg::ES384 | SignatureAlg::ES512 | SignatureAlg::EdDSA => {
            Err(SourceError::AssertionSigning)
        }
    }
}

/// The first private key of a PEM file.
pub(super) fn private_key(pem: &SecretString) -> Result<PrivateKeyDer<'static>, KeyError> {
    let text = pem.expose_secret();
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => misplaced(text),
        _ => KeyError::Malformed,
    })
}

fn misplaced(text: &str) -> KeyError {
    if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        KeyError::OpenSsh
    } else if CertificateDer::from_pem_slice(text.as_bytes()).is_ok() {
        KeyError::Certificate
    } else if text.contains("PUBLIC KEY-----") {
        KeyError::PublicKey
    } else {
        KeyError::NoKey
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

fn needs(alg: SignatureAlg) -> &'static str {
    match alg {
        SignatureAlg::ES256 => "a P-256 key",
        SignatureAlg::ES384 => "a P-384 key",
        SignatureAlg::ES512 => "a P-521 key",
        SignatureAlg::EdDSA => "an Ed25519 key",
        _ => "an RSA key",
    }
}

fn encode<T: Serialize>(value: &T) -> Result<String, SourceError> {
    let json = serde_json::to_vec(value).map_err(|_| SourceError::AssertionSigning)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests;
