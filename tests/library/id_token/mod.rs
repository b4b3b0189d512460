//! ID tokens that must be refused, each for its own reason, and ID tokens that must be taken.

mod accepted;
mod keys;
mod provider;
mod refused;

use std::time::Duration;

use bearerd::oauth::id_token::{ALGORITHMS, Claims, Expected, IdTokenError, LEEWAY, verify};
use bearerd::oauth::provider::KeySet;
use secrecy::SecretString;
use serde_json::Value;

use provider::{ACCESS_TOKEN, CLIENT, ISSUER, NONCE, NOW, PROVIDER};

fn expected(access_token: &SecretString) -> Expected<'_> {
    Expected {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: Some(NONCE),
        access_token: Some(access_token),
        algorithms: ALGORITHMS,
        now: Duration::from_secs(NOW),
        leeway: LEEWAY,
        max_age: Some(Duration::from_secs(600)),
    }
}

fn judge(token: &str) -> Result<Claims, IdTokenError> {
    let access_token = SecretString::from(ACCESS_TOKEN);
    verify(token, &PROVIDER.keys(), &expected(&access_token))
}

/// Tokens and keys of PyJWT 2.15.1, with the private keys thrown away.
#[test]
fn tokens_of_another_implementation() {
    let made: Value = serde_json::from_str(include_str!("pyjwt.json")).unwrap();
    let keys = KeySet::parse(made["jwks"].to_string().as_bytes()).unwrap();
    let access_token = SecretString::from(made["access_token"].as_str().unwrap());
    let mut seen = 0;
    for (list, taken) in [("accepted", true), ("refused", false)] {
        for row in made[list].as_array().unwrap() {
            let token = row["token"].as_str().unwrap();
            let verdict = verify(token, &keys, &expected(&access_token));
            assert_eq!(verdict.is_ok(), taken, "{}: {verdict:?}", row["alg"]);
            if taken {
                assert_eq!(verdict.unwrap().subject, "248289761001");
                let other = SecretString::from("another access token");
                let verdict = verify(token, &keys, &expected(&other));
                assert_eq!(verdict, Err(IdTokenError::AccessTokenHash));
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 13);
}
