//! Assertions that bearerd signs: what they say, and with which algorithm.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::keys::{Field, Keys};
use super::super::references::json;
use super::super::units::{boolean, duration_within, file_path, text};

/// The parts of an assertion that can be set (RFC 7523 section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AssertionConfig {
    /// `kid`.
    pub kid: Option<String>,
    /// `typ`. The default is `JWT`.
    pub typ: String,
    /// `aud`. The default is the token endpoint as used.
    pub audience: Option<String>,
    /// The time from `iat` to `exp`, in whole seconds.
    pub lifetime: Duration,
    /// The certificate that `x5t` and `x5t#S256` are made from.
    pub certificate: Option<PathBuf>,
    /// Whether the assertion has `x5t` (SHA-1).
    pub x5t: bool,
    /// Whether the assertion has `x5t#S256` (SHA-256).
    pub x5t_s256: bool,
    /// Further claims. The registered ones (`iss sub aud exp iat jti`) cannot be set here.
    pub claims: BTreeMap<String, serde_json::Value>,
}

impl AssertionConfig {
    /// Reads the settings of an assertion, which stand beside its key.
    pub(in crate::config) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let lifetime = keys.optional("lifetime", lifetime);
        let config = Self {
            kid: keys.optional("kid", text),
            typ: keys.optional("typ", text).unwrap_or_else(|| "JWT".into()),
            audience: keys.optional("audience", text),
            lifetime: lifetime.unwrap_or(Duration::from_secs(60)),
            certificate: keys.optional("certificate", file_path),
            x5t: keys.optional("x5t", boolean).unwrap_or(false),
            x5t_s256: keys.optional("x5t#S256", boolean).unwrap_or(false),
            claims: keys.optional("claims", claims).unwrap_or_default(),
        };
        config.check_thumbprints(&keys);
        keys.finish();
        Some(config)
    }

    /// Thumbprints are made from the certificate, and it serves nothing else.
    fn check_thumbprints(&self, keys: &Keys<'_>) {
        let wanted = [("x5t", self.x5t), ("x5t#S256", self.x5t_s256)];
        if keys.has("certificate") {
            if wanted.iter().all(|(key, _)| !keys.has(key)) {
                let hint = "add `x5t = true` or `\"x5t#S256\" = true`";
                keys.refuse(
                    "certificate",
                    "`certificate` is for `x5t` and `x5t#S256`, and neither is set",
                    hint,
                );
            }
            return;
        }
        for (key, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
            let hint = "add `certificate = \"/etc/bearerd/keys/NAME.crt\"`";
            keys.refuse(key, format!("`{key}` needs `certificate`"), hint);
        }
    }
}

/// JWS MAC algorithms (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum HmacAlg {
    HS256,
    HS384,
    HS512,
}

/// JWS signature algorithms (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum SignatureAlg {
    ES256,
    ES384,
    ES512,
    EdDSA,
    PS256,
    PS384,
    PS512,
    RS256,
    RS384,
    RS512,
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
    for field in keys.all() {
        check_claim(&keys, field.key);
        if let Some(value) = json(field) {
            claims.insert(field.key.to_owned(), value);
        }
    }
    Some(claims)
}

/// Claims that bearerd sets itself (RFC 7523 section 3) cannot be set beside it.
fn check_claim(keys: &Keys<'_>, name: &str) {
    let hint = match name {
        "aud" => "set `audience` beside `key` instead",
        "exp" => "set `lifetime` beside `key` instead",
        "iss" | "sub" => "it is the `client_id`; with `jwt_bearer` set `issuer` and `subject`",
        "iat" | "jti" => "it is made anew for every request",
        _ => return,
    };
    keys.refuse(name, format!("the claim `{name}` cannot be set here"), hint);
}

/// The algorithms of `client_secret_jwt`, by name.
pub(super) const HMAC_ALGS: [(&str, HmacAlg); 3] = [
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

pub(in crate::config) const ALG_HINT: &str =
    "the algorithm that the key was registered for, such as `alg = \"RS512\"`";
pub(in crate::config) const KEY_HINT: &str =
    "the private key, PEM: `key = { file = \"/etc/bearerd/keys/NAME.pem\" }`";
