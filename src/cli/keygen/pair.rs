//! A key pair: PKCS#8 for bearerd and other tools, JWK members for registration (RFC 7518 section
//! 6, RFC 8037).

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::SignatureAlgorithm;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::config::SignatureAlg;

/// A private key and its public key.
pub(super) struct Pair {
    /// The private key as PKCS#8 of version 1, which every OpenSSL reads.
    pkcs8: Zeroizing<Vec<u8>>,
    /// The algorithm that signs certificates: with SHA-256 for RSA, whatever assertions use.
    certificate_alg: &'static SignatureAlgorithm,
    /// The members of the public key that RFC 7638 takes the thumbprint of.
    pub(super) public: Map<String, Value>,
}

impl Pair {
    /// Makes a key for the algorithm; `bits` is the size of an RSA key.
    pub(super) fn generate(alg: SignatureAlg, bits: &str) -> Generated {
        match alg {
            SignatureAlg::ES256 => elliptic(
                "P-256",
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                &rcgen::PKCS_ECDSA_P256_SHA256,
            ),
            SignatureAlg::ES384 => elliptic(
                "P-384",
                &ECDSA_P384_SHA384_ASN1_SIGNING,
                &rcgen::PKCS_ECDSA_P384_SHA384,
            ),
            SignatureAlg::ES512 => elliptic(
                "P-521",
                &ECDSA_P521_SHA512_ASN1_SIGNING,
                &rcgen::PKCS_ECDSA_P521_SHA512,
            ),
            SignatureAlg::EdDSA => ed25519(),
            SignatureAlg::PS256
            | SignatureAlg::PS384
            | SignatureAlg::PS512
            | SignatureAlg::RS256
            | SignatureAlg::RS384
            | SignatureAlg::RS512 => rsa(match bits {
                "2048" => KeySize::Rsa2048,
                "3072" => KeySize::Rsa3072,
                _ => KeySize::Rsa4096,
            }),
        }
    }

    /// Returns the thumbprint of RFC 7638: SHA-256 of the required members, sorted by name and
    /// without blanks, as `Map` writes them.
    pub(super) fn thumbprint(&self) -> String {
        let canonical = json!(self.public).to_string();
        encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    }

    /// Returns the key as `rcgen` signs with it.
    pub(super) fn signer(&self) -> Result<rcgen::KeyPair, rcgen::Error> {
        let der = PrivatePkcs8KeyDer::from(self.pkcs8.as_slice());
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, self.certificate_alg)
    }
}

type Generated = Result<Pair, Unspecified>;

fn rsa(size: KeySize) -> Generated {
    let pair = RsaKeyPair::generate(size)?;
    let public = pair.public_key();
    let modulus = public.modulus().big_endian_without_leading_zero();
    let exponent = public.exponent().big_endian_without_leading_zero();
    Ok(Pair {
        public: members([
            ("e", encode(exponent)),
            ("kty", "RSA".into()),
            ("n", encode(modulus)),
        ]),
        certificate_alg: &rcgen::PKCS_RSA_SHA256,
        pkcs8: pair.as_der()?.as_ref().to_vec().into(),
    })
}

fn elliptic(
    curve: &str,
    alg: &'static EcdsaSigningAlgorithm,
    certificate_alg: &'static SignatureAlgorithm,
) -> Generated {
    let pair = EcdsaKeyPair::generate(alg)?;
    // SEC 1 section 2.3.3: 4, then both coordinates at full length, as RFC 7518 section 6.2.1.2
    // wants them.
    let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    Ok(Pair {
        public: members([
            ("crv", curve.into()),
            ("kty", "EC".into()),
            ("x", encode(x)),
            ("y", encode(y)),
        ]),
        certificate_alg,
        pkcs8: pair.to_pkcs8v1()?.as_ref().to_vec().into(),
    })
}

fn ed25519() -> Generated {
    let pair = Ed25519KeyPair::generate()?;
    Ok(Pair {
        public: members([
            ("crv", "Ed25519".into()),
            ("kty", "OKP".into()),
            ("x", encode(pair.public_key().as_ref())),
        ]),
        certificate_alg: &rcgen::PKCS_ED25519,
        pkcs8: pair.to_pkcs8v1()?.as_ref().to_vec().into(),
    })
}

fn members<const N: usize>(members: [(&str, String); N]) -> Map<String, Value> {
    let members = members.into_iter();
    members.map(|(name, v)| (name.into(), v.into())).collect()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
