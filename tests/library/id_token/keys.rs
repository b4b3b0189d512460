//! Key sets as documents.

use bearerd::oauth::provider::{KeySet, KeySetProblem};
use serde_json::{Value, json};

use super::provider::{PROVIDER, rsa_jwk, with};

fn problem(set: &str) -> Option<KeySetProblem> {
    KeySet::parse(set.as_bytes()).err()
}

#[test]
fn key_sets() {
    let key = rsa_jwk(&PROVIDER.rsa);
    let of = |keys: Vec<Value>| json!({ "keys": keys }).to_string();
    for (set, expected) in [
        (of(vec![key.clone(); 100]), None),
        (of(vec![key.clone(); 101]), Some(KeySetProblem::TooManyKeys)),
        (
            of(vec![with(&key, json!({"use": null, "alg": null}))]),
            None,
        ),
        (of(vec![]), Some(KeySetProblem::NoUsableKey)),
        (
            of(vec![with(&key, json!({"use": "enc"}))]),
            Some(KeySetProblem::NoUsableKey),
        ),
        (
            of(vec![json!({"kty": "oct", "k": "c2VjcmV0"})]),
            Some(KeySetProblem::NoUsableKey),
        ),
        (key.to_string(), Some(KeySetProblem::NotAKeySet)),
        (r#"{"keys":{}}"#.into(), Some(KeySetProblem::NotAKeySet)),
        ("<html>".into(), Some(KeySetProblem::NotAKeySet)),
        (String::new(), Some(KeySetProblem::NotAKeySet)),
        (
            format!("{{\"keys\":{}", "[".repeat(100_000)),
            Some(KeySetProblem::NotAKeySet),
        ),
    ] {
        assert_eq!(problem(&set), expected, "{}", &set[..set.len().min(80)]);
    }
}
