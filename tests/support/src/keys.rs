//! Key pairs and certificates made for one run.

use std::sync::Arc;

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA512, RsaKeySize,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

/// An RSA key pair for signing assertions.
pub struct SigningKey {
    /// PKCS#8 PEM.
    pub private_pem: String,
    /// PKCS#1 `RSAPublicKey`, DER: what is registered with the authorization server.
    pub public_der: Vec<u8>,
}

impl SigningKey {
    /// Makes a 2048-bit one.
    #[must_use]
    pub fn rsa() -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, RsaKeySize::_2048).expect("a key");
        Self {
            private_pem: pair.serialize_pem(),
            public_der: pair.public_key_raw().to_vec(),
        }
    }
}

/// A certificate authority and a server certificate for 127.0.0.1 from it.
pub struct Tls {
    /// The authority's certificate, PEM: what clients trust.
    pub ca_pem: String,
    /// The server's side.
    pub acceptor: TlsAcceptor,
}

impl Tls {
    /// Makes both.
    #[must_use]
    pub fn new() -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::CommonName, "loopback test authority");
        let ca_pem = ca.self_signed(&ca_key).expect("a certificate").pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate().expect("a key");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = CertificateParams::new(names)
            .and_then(|leaf| leaf.signed_by(&key, &issuer))
            .expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key in DER");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a key that fits its certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self { ca_pem, acceptor }
    }
}

/// Random text of this many characters.
#[must_use]
pub fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = vec![0_u8; length];
    rand::fill(&mut bytes).expect("randomness");
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}
