//! `[client.NAME.auth.*]`: how a client proves who it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::{self, Documents};
use super::keys::{Field, Keys};
use super::model::{AssertionConfig, ClientAuth, HmacAlg, SignatureAlg};
use super::references::{secret, token_ref};
use super::secret_ref::SecretRef;
use super::units::{boolean, duration_within, file_path, one_of, text};
use super::validate;

/// Reads `auth` or `refresh_auth`.
pub(super) fn client_auth(field: Field<'_>, documents: &Documents) -> Option<ClientAuth> {
    let (table, field) = field.kind(&METHODS, "client authentication method")?;
    let field = Field {
        table: &table,
        ..field
    };
    let mut keys = field.keys()?;
    let secret_here = |field: Field<'_>| document::client_secret(field, documents);
    match field.key {
        "client_assertion" => {
            let assertion = keys.required("client_assertion", ASSERTION_HINT, token_ref);
            keys.finish();
            assertion.map(|client_assertion| ClientAuth::ClientAssertion { client_assertion })
        }
        "client_secret_basic" => {
            let client_secret = only_secret(keys, secret_here)?;
            Some(ClientAuth::ClientSecretBasic { client_secret })
        }
        "client_secret_basic_raw" => {
            let client_secret = only_secret(keys, secret_here)?;
            Some(ClientAuth::ClientSecretBasicRaw { client_secret })
        }
        "client_secret_post" => {
            let client_secret = only_secret(keys, secret_here)?;
            Some(ClientAuth::ClientSecretPost { client_secret })
        }
        "client_secret_jwt" => {
            let client_secret = keys.required("client_secret", SECRET_HINT, secret_here);
            let alg = match keys.has("alg") {
                true => keys.optional("alg", |alg| one_of(alg, &HMAC_ALGS)),
                false => Some(HmacAlg::HS256),
            };
            let assertion = assertion(keys);
            Some(ClientAuth::ClientSecretJwt {
                client_secret: client_secret?,
                alg: alg?,
                assertion: assertion?,
            })
        }
        "private_key_jwt" => {
            let key = keys.required("key", KEY_HINT, secret);
            let alg = keys.required("alg", ALG_HINT, |alg| one_of(alg, &SIGNATURE_ALGS));
            let assertion = assertion(keys);
            Some(ClientAuth::PrivateKeyJwt {
                key: key?,
                alg: alg?,
                assertion: assertion?,
            })
        }
        "none" => {
            keys.finish();
            Some(ClientAuth::None)
        }
        // RFC 8705 registers two names; on this side of the connection they are the same.
        _ => {
            keys.finish();
            Some(ClientAuth::TlsClientAuth)
        }
    }
}

fn only_secret(
    mut keys: Keys<'_>,
    read: impl FnOnce(Field<'_>) -> Option<SecretRef>,
) -> Option<SecretRef> {
    let client_secret = keys.required("client_secret", SECRET_HINT, read);
    keys.finish();
    client_secret
}

/// The settings of an assertion stand beside its key.
pub(super) fn assertion(mut keys: Keys<'_>) -> Option<AssertionConfig> {
    let lifetime = keys.optional("lifetime", lifetime);
    let config = AssertionConfig {
        kid: keys.optional("kid", text),
        typ: keys.optional("typ", text).unwrap_or_else(|| "JWT".into()),
        audience: keys.optional("audience", text),
        lifetime: lifetime.unwrap_or(Duration::from_secs(60)),
        certificate: keys.optional("certificate", file_path),
        x5t: keys.optional("x5t", boolean).unwrap_or(false),
        x5t_s256: keys.optional("x5t#S256", boolean).unwrap_or(false),
        claims: keys.optional("claims", claims).unwrap_or_default(),
    };
    validate::thumbprint(&keys, &config);
    keys.finish();
    Some(config)
}

fn lifetime(field: Field<'_>) -> Option<Duration> {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    let lifetime = duration_within(field, &range, "between 1s and 1h")?;
    // `iat` and `exp` are sent as whole seconds, which every server reads.
    match lifetime.subsec_nanos() {
        0 => Some(lifetime),
        _ => field.must_be("whole seconds", ""),
    }
}

fn claims(field: Field<'_>) -> Option<BTreeMap<String, serde_json::Value>> {
    let keys = field.keys()?;
    let mut claims = BTreeMap::new();
    for claim in keys.all() {
        validate::claim(&keys, claim.key);
        if let Some(value) = super::references::json(claim) {
            claims.insert(claim.key.to_owned(), value);
        }
    }
    Some(claims)
}

/// Sub-tables of `auth`, by their registered names (RFC 7591, RFC 8705).
const METHODS: [&str; 9] = [
    "client_assertion",
    "client_secret_basic",
    "client_secret_basic_raw",
    "client_secret_jwt",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
];

const HMAC_ALGS: [(&str, HmacAlg); 3] = [
    ("HS256", HmacAlg::HS256),
    ("HS384", HmacAlg::HS384),
    ("HS512", HmacAlg::HS512),
];

/// The algorithms of `private_key_jwt`, by name.
pub const SIGNATURE_ALGS: [(&str, SignatureAlg); 10] = [
    ("RS256", SignatureAlg::RS256),
    ("RS384", SignatureAlg::RS384),
    ("RS512", SignatureAlg::RS512),
    ("PS256", SignatureAlg::PS256),
    ("PS384", SignatureAlg::PS384),
    ("PS512", SignatureAlg::PS512),
    ("ES256", SignatureAlg::ES256),
    ("ES384", SignatureAlg::ES384),
    ("ES512", SignatureAlg::ES512),
    ("EdDSA", SignatureAlg::EdDSA),
];

const ASSERTION_HINT: &str = "an assertion made elsewhere: `client_assertion = { file = \"/var/run/secrets/…\" }`, or \
     `{ token = \"NAME\" }`";
pub(super) const ALG_HINT: &str =
    "the algorithm that the key was registered for, such as `alg = \"RS512\"`";
pub(super) const KEY_HINT: &str =
    "the private key, PEM: `key = { file = \"/etc/bearerd/keys/NAME.pem\" }`";
const SECRET_HINT: &str = "write `client_secret = { file = \"/etc/bearerd/secrets/NAME\" }`";
