//! Whatever comes as an ID token, or as a key set: no panic, nothing unprintable in an error, and what is
//! taken is from the issuer and for the client.
//!
//! Input: one byte that says what the rest is: a token, claims that get signed, a header that gets signed,
//! or a key set.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::oauth::id_token::{ALGORITHMS, Expected, LEEWAY, verify};
use bearerd::oauth::provider::KeySet;
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<(Ed25519KeyPair, KeySet)> = LazyLock::new(|| {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
    (key, KeySet::parse(set.as_bytes()).unwrap())
});

fn signed(header: &[u8], claims: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = KEY.0.sign(message.as_bytes());
    format!("{message}.{}", encode(signature.as_ref()))
}

fuzz_target!(|input: &[u8]| {
    let Some((what, rest)) = input.split_first() else {
        return;
    };
    let good = br#"{"iss":"i","sub":"s","aud":"c","exp":1795374300,"iat":1795374000}"#;
    let token = match what % 4 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        1 => signed(br#"{"alg":"EdDSA"}"#, rest),
        2 => signed(rest, good),
        _ => {
            let _ = KeySet::parse(rest);
            return;
        }
    };
    let expected = Expected {
        issuer: "i",
        client_id: "c",
        nonce: None,
        access_token: None,
        algorithms: ALGORITHMS,
        now: Duration::from_secs(1_795_374_000),
        leeway: LEEWAY,
        max_age: Some(Duration::from_secs(600)),
    };
    match verify(&token, &KEY.1, &expected) {
        Ok(claims) => {
            assert!(what % 4 != 0, "a token that nobody signed");
            assert_eq!(claims.issuer, "i");
            assert!(claims.audience.iter().any(|audience| audience == "c"));
            assert!(!claims.subject.is_empty());
            assert!(claims.expires_at + LEEWAY > expected.now);
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 300 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()));
            let _ = error.hint();
        }
    }
});
