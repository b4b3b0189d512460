//! ID tokens (OpenID Connect Core section 2), and the key set that verifies them (RFC 7517).

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use crate::clock;
use aws_lc_rs::io::Positive;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::fault::Reply;
use super::state::State;

/// Those that were made.
pub type IdTokens = BTreeSet<String>;

/// One for all realms: to make one takes a while.
static KEY: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"));
const KID: &str = "mock-1";

/// The key set.
pub fn keys() -> Value {
    let public = KEY.public_key();
    let number = |number: Positive<'_>| {
        BASE64_URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero())
    };
    let jwk = json!({
        "kid": KID, "kty": "RSA", "alg": "RS256", "use": "sig",
        "n": number(public.modulus()), "e": number(public.exponent()),
    });
    json!({"keys": [jwk]})
}

/// Makes one and remembers it.
pub fn issue(state: &mut State, issuer: &str, audience: &str, lifetime: Duration) -> String {
    let now = clock::unix_now().as_secs();
    let claims = json!({
        "iss": issuer, "sub": "656005750104", "aud": audience,
        "iat": now, "exp": now + lifetime.as_secs(),
    });
    let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let header = encode(&json!({"alg": "RS256", "typ": "JWT", "kid": KID}));
    let signed = format!("{header}.{}", encode(&claims));
    let mut signature = vec![0; KEY.public_modulus_len()];
    let (random, message) = (SystemRandom::new(), signed.as_bytes());
    KEY.sign(
        &signature::RSA_PKCS1_SHA256,
        &random,
        message,
        &mut signature,
    )
    .expect("a signature");
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    state.id_tokens.insert(token.clone());
    token
}

/// Whether NHS England takes this one as a subject token: the refusal, if not. There is no leeway.
pub fn accept(state: &State, token: &str) -> Result<(), (u16, &'static str)> {
    if token.is_empty() {
        return Err((400, "Missing subject_token"));
    }
    let claims = token.split('.').nth(1).and_then(|claims| {
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        serde_json::from_slice::<Value>(&claims).ok()
    });
    let Some(claims) = claims else {
        return Err((400, "Malformed JWT in subject_token"));
    };
    match claims["exp"].as_u64() {
        None => Err((
            400,
            "Missing or non-integer 'exp' claim in subject_token JWT",
        )),
        Some(exp) if clock::unix_now().as_secs() > exp => Err((
            400,
            "Invalid 'exp' claim in subject_token JWT - JWT has expired",
        )),
        Some(_) if !state.id_tokens.contains(token) => Err((
            401,
            "Invalid 'kid' header in subject_token JWT - no matching public key",
        )),
        Some(_) => Ok(()),
    }
}

/// The refusal as NHS England words it.
pub fn refusal((status, description): (u16, &str)) -> Reply {
    Reply::error(status, "invalid_request", description)
}
