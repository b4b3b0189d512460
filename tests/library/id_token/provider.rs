//! A provider that signs whatever it is told to, right or wrong.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
    RsaPublicKeyComponents,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::oauth::provider::KeySet;
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://op.example/realm";
pub(crate) const CLIENT: &str = "s6BhdRkqt3";
pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";
pub(crate) const ACCESS_TOKEN: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
/// Sunday, 22 November 2026 19:00:00 GMT.
pub(crate) const NOW: u64 = 1_795_374_000;

pub(crate) struct Provider {
    pub(crate) rsa: RsaKeyPair,
    pub(crate) p256: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) p521: EcdsaKeyPair,
    pub(crate) ed25519: Ed25519KeyPair,
    /// Not in the key set.
    pub(crate) stranger: RsaKeyPair,
}

pub(crate) static PROVIDER: LazyLock<Provider> = LazyLock::new(|| {
    let ec = |curve| EcdsaKeyPair::generate(curve).unwrap();
    Provider {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        p256: ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        p384: ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        p521: ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        ed25519: Ed25519KeyPair::generate().unwrap(),
        stranger: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    }
});

/// What signs.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Ec(&'a EcdsaKeyPair),
    Ed(&'a Ed25519KeyPair),
    Hmac(&'a [u8]),
    Rsa(&'a RsaKeyPair, &'static dyn signature::RsaEncoding),
    /// These bytes stand for a signature.
    Raw(&'a [u8]),
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Replaces a member (`name`), adds one even if it is there (`+name`), or, with an empty value, takes it
/// away. Values are JSON.
pub(crate) type Changes<'a> = &'a [(&'a str, &'a str)];

fn object(mut members: Vec<(String, String)>, changes: Changes<'_>) -> String {
    for (name, value) in changes {
        let added = name.strip_prefix('+');
        if added.is_none() {
            members.retain(|(found, _)| found != name);
        }
        if !value.is_empty() {
            members.push((added.unwrap_or(name).to_string(), value.to_string()));
        }
    }
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

pub(crate) fn header(alg: &str, kid: &str, changes: Changes<'_>) -> String {
    let members = [("alg", alg), ("kid", kid), ("typ", "JWT")]
        .map(|(name, value)| (name.to_owned(), format!("\"{value}\"")));
    object(members.to_vec(), changes)
}

pub(crate) fn payload(changes: Changes<'_>) -> String {
    let text = |text: &str| format!("\"{text}\"");
    let members = [
        ("iss", text(ISSUER)),
        ("sub", text("248289761001")),
        ("aud", text(CLIENT)),
        ("nonce", text(NONCE)),
        ("exp", (NOW + 300).to_string()),
        ("iat", NOW.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    object(members.to_vec(), changes)
}

pub(crate) fn sign(header: &str, payload: &str, by: By<'_>) -> String {
    let signed = format!("{}.{}", b64(header), b64(payload));
    let signature = signature_of(&signed, by);
    format!("{signed}.{signature}")
}

pub(crate) fn signature_of(signed: &str, by: By<'_>) -> String {
    let random = SystemRandom::new();
    let message = signed.as_bytes();
    match by {
        By::Ec(key) => b64(key.sign(&random, message).unwrap()),
        By::Ed(key) => b64(key.sign(message)),
        By::Hmac(secret) => b64(hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            message,
        )),
        By::Rsa(key, encoding) => {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &random, message, &mut signature)
                .unwrap();
            b64(signature)
        }
        By::Raw(bytes) => b64(bytes),
    }
}

/// A token by the provider's RSA key, as RS256.
pub(crate) fn rs256(header: &str, payload: &str) -> String {
    sign(
        header,
        payload,
        By::Rsa(&PROVIDER.rsa, &signature::RSA_PKCS1_SHA256),
    )
}

/// A good header over these claims.
pub(crate) fn claiming(changes: Changes<'_>) -> String {
    rs256(&header("RS256", "rsa", &[]), &payload(changes))
}

/// These changes of the header over good claims.
pub(crate) fn headed(changes: Changes<'_>) -> String {
    rs256(&header("RS256", "rsa", changes), &payload(&[]))
}

pub(crate) fn at_hash(algorithm: &'static digest::Algorithm) -> String {
    let hash = digest::digest(algorithm, ACCESS_TOKEN.as_bytes());
    b64(&hash.as_ref()[..algorithm.output_len / 2])
}

impl Provider {
    /// One token for each algorithm, with its `at_hash`.
    pub(crate) fn one_of_each(&self) -> Vec<(&'static str, String)> {
        let rsa = |encoding| By::Rsa(&self.rsa, encoding);
        let (sha256, sha384, sha512) = (&digest::SHA256, &digest::SHA384, &digest::SHA512);
        let rows: [(&str, &str, &digest::Algorithm, By<'_>); 11] = [
            ("RS256", "rsa", sha256, rsa(&signature::RSA_PKCS1_SHA256)),
            ("RS384", "rsa", sha384, rsa(&signature::RSA_PKCS1_SHA384)),
            ("RS512", "rsa", sha512, rsa(&signature::RSA_PKCS1_SHA512)),
            ("PS256", "rsa", sha256, rsa(&signature::RSA_PSS_SHA256)),
            ("PS384", "rsa", sha384, rsa(&signature::RSA_PSS_SHA384)),
            ("PS512", "rsa", sha512, rsa(&signature::RSA_PSS_SHA512)),
            ("ES256", "p256", sha256, By::Ec(&self.p256)),
            ("ES384", "p384", sha384, By::Ec(&self.p384)),
            ("ES512", "p521", sha512, By::Ec(&self.p521)),
            ("EdDSA", "ed25519", sha512, By::Ed(&self.ed25519)),
            ("Ed25519", "ed25519", sha512, By::Ed(&self.ed25519)),
        ];
        let token = |(alg, kid, hash, by)| {
            let at_hash = format!("\"{}\"", at_hash(hash));
            let claims = payload(&[("at_hash", &at_hash)]);
            (alg, sign(&header(alg, kid, &[]), &claims, by))
        };
        rows.map(token).to_vec()
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    /// The keys that sign, among keys that must not, and things that are no keys.
    pub(crate) fn jwks(&self) -> Value {
        let rsa = rsa_jwk(&self.rsa);
        let mut point = ec_jwk(&self.p256);
        point["y"] = point["x"].clone();
        let mut long = ec_jwk(&self.p256);
        let x = URL_SAFE_NO_PAD.decode(long["x"].as_str().unwrap()).unwrap();
        long["x"] = json!(b64([&[0], x.as_slice()].concat()));
        let mut shifted = ec_jwk(&self.p256);
        let y = URL_SAFE_NO_PAD
            .decode(shifted["y"].as_str().unwrap())
            .unwrap();
        shifted["x"] = json!(b64([x.as_slice(), &y[..1]].concat()));
        shifted["y"] = json!(b64(&y[1..]));
        let mut wrong_curve = ec_jwk(&self.p256);
        wrong_curve["crv"] = json!("P-384");
        json!({"keys": [
            with(&rsa, json!({"kid": "rsa", "x5c": "no array", "x5t": 1})),
            with(&ec_jwk(&self.p256), json!({"kid": "p256", "use": "sig", "alg": "ES256"})),
            with(&ec_jwk(&self.p384), json!({"kid": "p384", "key_ops": ["verify"]})),
            with(&ec_jwk(&self.p521), json!({"kid": "p521", "use": "sig", "alg": "ES512"})),
            with(&ed_jwk(&self.ed25519), json!({"kid": "ed25519"})),
            with(&rsa, json!({"kid": "enc", "use": "enc"})),
            with(&rsa, json!({"kid": "ops", "key_ops": ["encrypt", "wrapKey"]})),
            with(&rsa, json!({"kid": "both", "use": "enc", "key_ops": ["verify"]})),
            with(&rsa, json!({"kid": "ps384 only", "alg": "PS384"})),
            with(&rsa, json!({"kid": "oaep", "alg": "RSA-OAEP-512"})),
            with(&rsa, json!({"kid": "twin"})),
            with(&rsa_jwk(&self.stranger), json!({"kid": "twin"})),
            with(&rsa, json!({"kid": "sign byte", "n": sign_byte(&rsa)})),
            with(&rsa, json!({"kid": 7})),
            with(&rsa, json!({"kid": "array use", "use": ["sig"]})),
            with(&rsa, json!({"kid": "short", "n": b64([0xff; 128])})),
            with(&rsa, json!({"kid": "2047", "n": b64([&[0x7f], [0xff; 255].as_slice()].concat())})),
            with(&rsa, json!({"kid": "huge", "n": b64([0xff; 2048])})),
            with(&rsa, json!({"kid": "e1", "e": "AQ"})),
            with(&rsa, json!({"kid": "e even", "e": "AQAA"})),
            with(&rsa, json!({"kid": "e zero", "e": "AA"})),
            with(&rsa, json!({"kid": "e long", "e": "AQAAAAE"})),
            with(&rsa, json!({"kid": "zero", "n": "AAAA"})),
            with(&rsa, json!({"kid": "padded", "e": "AQAB=="})),
            with(&point, json!({"kid": "off the curve"})),
            with(&long, json!({"kid": "long"})),
            with(&shifted, json!({"kid": "shifted"})),
            with(&wrong_curve, json!({"kid": "wrong curve"})),
            with(&ed_jwk(&self.ed25519), json!({"kid": "ed448", "crv": "Ed448"})),
            with(&ed_jwk(&self.ed25519), json!({"kid": "x25519", "crv": "X25519"})),
            with(&ed_jwk(&self.ed25519), json!({"kid": "ed short", "x": "AAAA"})),
            {"kty": "EC", "crv": "secp256k1", "kid": "k1", "x": b64([1; 32]), "y": b64([1; 32])},
            {"kty": "oct", "kid": "oct", "k": b64("secret")},
            {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "pq"},
            {}, [], null, "key", 1,
        ], "more": true})
    }
}

fn sign_byte(rsa: &Value) -> String {
    let n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    b64([&[0], n.as_slice()].concat())
}

pub(crate) fn with(key: &Value, members: Value) -> Value {
    let mut key = key.clone();
    let Value::Object(members) = members else {
        panic!("no object")
    };
    key.as_object_mut().unwrap().extend(members);
    key
}

pub(crate) fn rsa_jwk(key: &RsaKeyPair) -> Value {
    let parts = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    json!({"kty": "RSA", "n": b64(parts.n), "e": b64(parts.e)})
}

pub(crate) fn ec_jwk(key: &EcdsaKeyPair) -> Value {
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let crv = match x.len() {
        32 => "P-256",
        48 => "P-384",
        _ => "P-521",
    };
    json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)})
}

pub(crate) fn ed_jwk(key: &Ed25519KeyPair) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key())})
}

pub(crate) fn generate(curve: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    EcdsaKeyPair::generate(curve).unwrap()
}
