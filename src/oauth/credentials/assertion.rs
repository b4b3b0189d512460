//! Assertions: the JWTs of `private_key_jwt`, `client_secret_jwt` and `jwt_bearer` (RFC 7523
//! section 3).
//!
//! The key is parsed once; every assertion has its own `jti`, because servers remember them (RFC
//! 7523 section 3, point 7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroize;

use super::error::CredentialsError;
use super::private_key::KeyError;
use super::signing_key::SigningKey;
use super::{certificate, private_key};
use crate::config::{AssertionConfig, HmacAlg, SignatureAlg};

/// Signs assertions in one name. It has no state that changes, and so may sign on any thread.
pub(in crate::oauth) struct Signer {
    key: SigningKey,
    /// The encoded JOSE header, which is the same for every assertion.
    header: String,
    issuer: String,
    subject: Option<String>,
    /// `None` stands for the token endpoint in use.
    audience: Option<String>,
    lifetime: Duration,
    claims: BTreeMap<String, serde_json::Value>,
}

/// In whose name assertions are signed.
pub(in crate::oauth) struct Party<'a> {
    pub(in crate::oauth) issuer: &'a str,
    pub(in crate::oauth) subject: Option<&'a str>,
    /// The configuration key that an error about the signing key names.
    pub(in crate::oauth) what: &'static str,
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
    /// Signs with a private key in PEM.
    pub(in crate::oauth) fn with_private_key(
        pem: &SecretString,
        alg: SignatureAlg,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, CredentialsError> {
        let what = party.what;
        let unusable = |cause| CredentialsError::Key { what, cause };
        let mut der = private_key::read(pem).map_err(unusable)?;
        let matched = match &config.certificate {
            Some(path) => certificate::matches(&certificate::read(path)?, &der),
            None => true,
        };
        let key = SigningKey::parse(&der, alg);
        der.zeroize();
        let key = key.map_err(unusable)?;
        if !matched {
            return Err(unusable(KeyError::CertificateMismatch));
        }
        Self::new(key, &format!("{alg:?}"), party, config)
    }

    /// Signs with a client's secret, for `client_secret_jwt`.
    pub(in crate::oauth) fn with_secret(
        secret: &SecretString,
        alg: HmacAlg,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, CredentialsError> {
        let key = SigningKey::of_secret(secret, alg);
        Self::new(key, &format!("{alg:?}"), party, config)
    }

    fn new(
        key: SigningKey,
        alg: &str,
        party: &Party<'_>,
        config: &AssertionConfig,
    ) -> Result<Self, CredentialsError> {
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

    /// Does the same as [`Signer::sign`], but not on the thread that answers readers when that
    /// would hold it up.
    pub(in crate::oauth) async fn sign_aside(
        self: &Arc<Self>,
        audience: Option<&str>,
        now: Duration,
    ) -> Result<SecretString, CredentialsError> {
        if !self.key.is_slow() {
            return self.sign(audience, now);
        }
        let (signer, audience) = (Arc::clone(self), audience.map(str::to_owned));
        tokio::task::spawn_blocking(move || signer.sign(audience.as_deref(), now))
            .await
            .map_err(|_| CredentialsError::Signing)?
    }

    /// A new assertion for `audience` unless another is configured, issued at `now`: time since the
    /// epoch by the *server's* clock, since NHS England allows no skew.
    pub(in crate::oauth) fn sign(
        &self,
        audience: Option<&str>,
        now: Duration,
    ) -> Result<SecretString, CredentialsError> {
        let mut jti = [0_u8; 16];
        rand::fill(&mut jti).map_err(|_| CredentialsError::Signing)?;
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

fn encode<T: Serialize>(value: &T) -> Result<String, CredentialsError> {
    let json = serde_json::to_vec(value).map_err(|_| CredentialsError::Signing)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
        UnparsedPublicKey,
    };
    use base64::engine::general_purpose::STANDARD;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use secrecy::ExposeSecret;
    use serde_json::{Map, Value, json};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const ENDPOINT: &str = "https://as.example/token/";
    const PARTY: Party<'static> = Party {
        issuer: "client-1",
        subject: Some("client-1"),
        what: "private_key_jwt.key",
    };

    fn config() -> AssertionConfig {
        AssertionConfig {
            kid: Some("test-1".into()),
            typ: "JWT".into(),
            audience: None,
            lifetime: Duration::from_secs(60),
            certificate: None,
            x5t: false,
            x5t_s256: false,
            claims: BTreeMap::new(),
        }
    }

    fn pem(label: &str, der: &[u8]) -> SecretString {
        let encoded = STANDARD.encode(der);
        let lines: Vec<&str> = (0..encoded.len())
            .step_by(64)
            .map(|at| &encoded[at..encoded.len().min(at + 64)])
            .collect();
        let body = lines.join("\n");
        SecretString::from(format!(
            "-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
        ))
    }

    fn load(pem: &SecretString, alg: SignatureAlg) -> Result<Signer, CredentialsError> {
        Signer::with_private_key(pem, alg, &PARTY, &config())
    }

    fn part(jwt: &SecretString, index: usize) -> Map<String, Value> {
        let part = jwt.expose_secret().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// Verifies by `jsonwebtoken`, which shares no code with the signer above the primitives.
    fn verify(jwt: &SecretString, alg: Algorithm, key: &DecodingKey) {
        let mut validation = Validation::new(alg);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.set_audience(&[ENDPOINT]);
        let decoded =
            jsonwebtoken::decode::<Map<String, Value>>(jwt.expose_secret(), key, &validation)
                .unwrap();
        assert_eq!(decoded.claims["sub"], "client-1");
    }

    struct RsaForms {
        pkcs1: SecretString,
        pkcs8: SecretString,
        public: DecodingKey,
    }

    fn rsa_forms() -> RsaForms {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
        // PrivateKeyInfo: version, algorithm, then the PKCS#1 key in an octet string.
        let (_, inner, _) = certificate::element(pkcs8.as_ref()).unwrap();
        let (_, _, rest) = certificate::element(inner).unwrap();
        let (_, _, rest) = certificate::element(rest).unwrap();
        let (_, pkcs1, _) = certificate::element(rest).unwrap();
        let public = key.public_key();
        RsaForms {
            pkcs1: pem("RSA PRIVATE KEY", pkcs1),
            pkcs8: pem("PRIVATE KEY", pkcs8.as_ref()),
            public: DecodingKey::from_rsa_components(
                &URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero()),
                &URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero()),
            )
            .unwrap(),
        }
    }

    /// PKCS#8, SEC1, SEC1 after its parameters as `openssl ecparam -genkey` writes it; and the
    /// public point.
    fn ec_forms(curve: &'static EcdsaSigningAlgorithm) -> ([SecretString; 3], Vec<u8>) {
        let key = EcdsaKeyPair::generate(curve).unwrap();
        let private_key = key.private_key();
        let sec1: EcPrivateKeyRfc5915Der<'_> = private_key.as_der().unwrap();
        let pkcs8 = key.to_pkcs8v1().unwrap();
        let sec1 = pem("EC PRIVATE KEY", sec1.as_ref());
        let parameters = pem("EC PARAMETERS", b"\x06\x05\x2b\x81\x04\x00\x23");
        let both = format!("{}{}", parameters.expose_secret(), sec1.expose_secret());
        let forms = [
            pem("PRIVATE KEY", pkcs8.as_ref()),
            sec1,
            SecretString::from(both),
        ];
        (forms, key.public_key().as_ref().to_vec())
    }

    #[test]
    fn rsa_signatures_verify() {
        let forms = rsa_forms();
        for (alg, verified_as) in [
            (SignatureAlg::PS256, Algorithm::PS256),
            (SignatureAlg::PS384, Algorithm::PS384),
            (SignatureAlg::PS512, Algorithm::PS512),
            (SignatureAlg::RS256, Algorithm::RS256),
            (SignatureAlg::RS384, Algorithm::RS384),
            (SignatureAlg::RS512, Algorithm::RS512),
        ] {
            for key in [&forms.pkcs1, &forms.pkcs8] {
                let signer = load(key, alg).unwrap();
                assert!(signer.key.is_slow());
                let jwt = signer.sign(Some(ENDPOINT), NOW).unwrap();
                verify(&jwt, verified_as, &forms.public);
            }
        }
    }

    #[test]
    fn ec_signatures_verify() {
        for (alg, verified_as, curve) in [
            (
                SignatureAlg::ES256,
                Algorithm::ES256,
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            ),
            (
                SignatureAlg::ES384,
                Algorithm::ES384,
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            ),
        ] {
            let (forms, point) = ec_forms(curve);
            let (x, y) = point[1..].split_at(point.len() / 2);
            let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
            let public = DecodingKey::from_ec_components(&encode(x), &encode(y)).unwrap();
            for key in &forms {
                let jwt = load(key, alg).unwrap().sign(Some(ENDPOINT), NOW).unwrap();
                verify(&jwt, verified_as, &public);
            }
        }
    }

    #[test]
    fn es512_signatures_verify() {
        let (forms, point) = ec_forms(&signature::ECDSA_P521_SHA512_FIXED_SIGNING);
        let public = UnparsedPublicKey::new(&signature::ECDSA_P521_SHA512_FIXED, point);
        for key in &forms {
            let jwt = load(key, SignatureAlg::ES512)
                .unwrap()
                .sign(Some(ENDPOINT), NOW)
                .unwrap();
            let (message, signed) = jwt.expose_secret().rsplit_once('.').unwrap();
            let signed = URL_SAFE_NO_PAD.decode(signed).unwrap();
            // RFC 7518 section 3.4: R and S of 66 octets each, no DER.
            assert_eq!(signed.len(), 132);
            public.verify(message.as_bytes(), &signed).unwrap();
        }
    }

    #[test]
    fn eddsa_signatures_verify() {
        let key = Ed25519KeyPair::generate().unwrap();
        let public = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        let public = DecodingKey::from_ed_components(&public).unwrap();
        // Version 1 is what `openssl genpkey` writes; version 2 also holds the public key (RFC
        // 5958).
        for document in [key.to_pkcs8v1().unwrap(), key.to_pkcs8().unwrap()] {
            let signer = load(&pem("PRIVATE KEY", document.as_ref()), SignatureAlg::EdDSA).unwrap();
            verify(
                &signer.sign(Some(ENDPOINT), NOW).unwrap(),
                Algorithm::EdDSA,
                &public,
            );
        }
    }

    #[test]
    fn hmac_signatures_verify() {
        for (alg, verified_as) in [
            (HmacAlg::HS256, Algorithm::HS256),
            (HmacAlg::HS384, Algorithm::HS384),
            (HmacAlg::HS512, Algorithm::HS512),
        ] {
            let secret = SecretString::from("s\u{fc}crets are octets");
            let signer = Signer::with_secret(&secret, alg, &PARTY, &config()).unwrap();
            let public = DecodingKey::from_secret(secret.expose_secret().as_bytes());
            verify(
                &signer.sign(Some(ENDPOINT), NOW).unwrap(),
                verified_as,
                &public,
            );
        }
    }

    #[test]
    fn header_and_claims() {
        let secret = SecretString::from("secret");
        let signer = Signer::with_secret(&secret, HmacAlg::HS256, &PARTY, &config()).unwrap();
        let jwt = signer.sign(Some(ENDPOINT), NOW).unwrap();
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": "test-1"});
        assert_eq!(Value::Object(part(&jwt, 0)), header);
        let mut claims = part(&jwt, 1);
        let jti = claims.remove("jti").unwrap();
        assert_eq!(jti.as_str().unwrap().len(), 22);
        let expected = json!({
            "iss": "client-1", "sub": "client-1", "aud": ENDPOINT,
            "iat": 1_700_000_000_u64, "exp": 1_700_000_060_u64,
        });
        assert_eq!(Value::Object(claims), expected);
        // NHS England remembers a jti for 30 days
        let again = signer.sign(Some(ENDPOINT), NOW).unwrap();
        assert_ne!(part(&again, 1)["jti"], jti);
    }

    #[test]
    fn what_can_be_set() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leaf.crt");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, leaf.pem()).unwrap();
        let config = AssertionConfig {
            kid: None,
            typ: "client-authentication+jwt".into(),
            audience: Some("https://as.example".into()),
            lifetime: Duration::from_secs(300),
            certificate: Some(path),
            x5t: true,
            x5t_s256: true,
            claims: BTreeMap::from([("nbf".into(), json!(1)), ("env".into(), json!({"a": [1]}))]),
        };
        let pem = SecretString::from(key.serialize_pem());
        let signer = Signer::with_private_key(&pem, SignatureAlg::ES256, &PARTY, &config).unwrap();
        let jwt = signer.sign(Some(ENDPOINT), NOW).unwrap();
        let thumbprint =
            |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, leaf.der()).as_ref());
        let header = json!({
            "alg": "ES256",
            "typ": "client-authentication+jwt",
            "x5t": thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            "x5t#S256": thumbprint(&digest::SHA256),
        });
        assert_eq!(Value::Object(part(&jwt, 0)), header);
        let claims = part(&jwt, 1);
        assert_eq!(claims["aud"], "https://as.example");
        assert_eq!(claims["exp"], 1_700_000_300_u64);
        assert_eq!(
            (&claims["nbf"], &claims["env"]),
            (&json!(1), &json!({"a": [1]}))
        );

        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let other = SecretString::from(other);
        let error = Signer::with_private_key(&other, SignatureAlg::ES256, &PARTY, &config);
        assert!(matches!(
            error,
            Err(CredentialsError::Key {
                cause: KeyError::CertificateMismatch,
                ..
            })
        ));
    }

    #[test]
    fn keys_that_do_not_fit() {
        let rsa = rsa_forms().pkcs8;
        let (p256, _) = ec_forms(&signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let (p384, _) = ec_forms(&signature::ECDSA_P384_SHA384_FIXED_SIGNING);
        let (p521, _) = ec_forms(&signature::ECDSA_P521_SHA512_FIXED_SIGNING);
        let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let ed25519 = pem("PRIVATE KEY", ed25519.as_ref());
        for (key, alg, message) in [
            (
                &rsa,
                SignatureAlg::ES512,
                "it is an RSA key, and alg ES512 needs a P-521 key",
            ),
            (
                &p256[1],
                SignatureAlg::ES512,
                "it is a P-256 key, and alg ES512 needs a P-521 key",
            ),
            (
                &p384[0],
                SignatureAlg::ES256,
                "it is a P-384 key, and alg ES256 needs a P-256 key",
            ),
            (
                &p521[2],
                SignatureAlg::RS512,
                "it is a P-521 key, and alg RS512 needs an RSA key",
            ),
            (
                &ed25519,
                SignatureAlg::PS256,
                "it is an Ed25519 key, and alg PS256 needs an RSA key",
            ),
            (
                &rsa,
                SignatureAlg::EdDSA,
                "it is an RSA key, and alg EdDSA needs an Ed25519 key",
            ),
        ] {
            assert_eq!(refused(key, alg).to_string(), message);
        }
    }

    #[test]
    fn files_that_hold_no_usable_key() {
        let small = std::process::Command::new("openssl")
            .args(["genrsa", "1024"])
            .output()
            .unwrap();
        let small = SecretString::from(String::from_utf8(small.stdout).unwrap());
        let leaf = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&leaf)
            .unwrap();
        for (text, error) in [
        (small, KeyError::RsaTooSmall),
        (SecretString::from(certificate.pem()), KeyError::Certificate),
        (SecretString::from(leaf.public_key_pem()), KeyError::PublicKey),
        (pem("ENCRYPTED PRIVATE KEY", b"x"), KeyError::Encrypted),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n".into(),
            KeyError::Encrypted,
        ),
        (pem("OPENSSH PRIVATE KEY", b"x"), KeyError::OpenSsh),
        (pem("PRIVATE KEY", b"\x30\x03\x02\x01\x00"), KeyError::Malformed),
        ("-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----\n".into(), KeyError::Malformed),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n".into(), KeyError::Malformed),
        ("{\"kty\":\"RSA\"}".into(), KeyError::NoKey),
        ("".into(), KeyError::NoKey),
    ] {
        assert_eq!(refused(&text, SignatureAlg::RS512), error);
    }
    }

    fn refused(key: &SecretString, alg: SignatureAlg) -> KeyError {
        match load(key, alg) {
            Err(CredentialsError::Key { cause, .. }) => cause,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    }
}
