//! Private keys, as PEM files hold them.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

use crate::config::SignatureAlg;

/// Why a private key is of no use. Never holds any of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// A certificate stands where the key should.
    #[error("it is a certificate, not a private key")]
    Certificate,
    /// The certificate for `x5t` is for another key.
    #[error("the certificate is for another key")]
    CertificateMismatch,
    /// It is protected by a passphrase.
    #[error("it is encrypted")]
    Encrypted,
    /// It is PEM, but not of a key that can be parsed here.
    #[error("it is damaged or of an unsupported kind")]
    Malformed,
    /// There is no PEM block of a private key.
    #[error("it holds no PEM private key")]
    NoKey,
    /// It is written in OpenSSH's own format.
    #[error("it is in OpenSSH's own format")]
    OpenSsh,
    /// It is the public half.
    #[error("it is a public key, not a private key")]
    PublicKey,
    /// It is an RSA key of under 2048 bits.
    #[error("it is an RSA key of less than 2048 bits")]
    RsaTooSmall,
    /// It is of another kind than the algorithm needs.
    #[error("it is {found}, and alg {alg:?} needs {}", needs(*alg))]
    WrongKind {
        /// The kind that it is of.
        found: &'static str,
        /// The algorithm that it should sign with.
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
            Self::Certificate | Self::Malformed | Self::NoKey | Self::PublicKey => None,
        }
    }
}

/// The first private key of a PEM file.
pub(in crate::oauth) fn read(pem: &SecretString) -> Result<PrivateKeyDer<'static>, KeyError> {
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

/// The kind of key that an algorithm needs.
fn needs(alg: SignatureAlg) -> &'static str {
    match alg {
        SignatureAlg::ES256 => "a P-256 key",
        SignatureAlg::ES384 => "a P-384 key",
        SignatureAlg::ES512 => "a P-521 key",
        SignatureAlg::EdDSA => "an Ed25519 key",
        SignatureAlg::PS256
        | SignatureAlg::PS384
        | SignatureAlg::PS512
        | SignatureAlg::RS256
        | SignatureAlg::RS384
        | SignatureAlg::RS512 => "an RSA key",
    }
}
