//! ID tokens that must be taken, and that one changed byte makes worthless.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use bearerd::config::SignatureAlg;
use bearerd::oauth::id_token::{Claims, Expected, IdTokenError, verify};
use proptest::prelude::*;
use secrecy::SecretString;

use super::provider::{
    ACCESS_TOKEN, By, CLIENT, ISSUER, NONCE, NOW, PROVIDER, at_hash, claiming, headed, header,
    payload, rs256, sign,
};
use super::{expected, judge};

fn take(rows: &[(&str, String)]) {
    for (name, token) in rows {
        if let Err(error) = judge(token) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn every_algorithm() {
    take(&PROVIDER.one_of_each());
}

#[test]
fn claims_are_read() {
    let token = claiming(&[
        ("aud", &format!("[\"{CLIENT}\",\"api\"]")),
        ("azp", &format!("\"{CLIENT}\"")),
        ("auth_time", "1795373990"),
    ]);
    let expected = Claims {
        issuer: ISSUER.into(),
        subject: "248289761001".into(),
        audience: vec![CLIENT.into(), "api".into()],
        authorized_party: Some(CLIENT.into()),
        expires_at: Duration::from_secs(NOW + 300),
        issued_at: Duration::from_secs(NOW),
        auth_time: Some(Duration::from_secs(NOW - 10)),
        nonce: Some(NONCE.into()),
    };
    assert_eq!(judge(&token), Ok(expected));
}

#[test]
fn all_that_is_allowed() {
    let seconds = |name: &'static str, at: u64| claiming(&[(name, &at.to_string())]);
    let azp = format!("\"{CLIENT}\"");
    let half = format!("\"{}\"", at_hash(&digest::SHA256));
    let only_key = sign(
        &header("ES384", "", &[("kid", "")]),
        &payload(&[]),
        By::Ec(&PROVIDER.p384),
    );
    take(&[
        ("plain", claiming(&[])),
        (
            "a key with a sign byte",
            rs256(&header("RS256", "sign byte", &[]), &payload(&[])),
        ),
        (
            "a key whose exponent is padded",
            rs256(&header("RS256", "padded", &[]), &payload(&[])),
        ),
        ("azp null", claiming(&[("azp", "null")])),
        ("auth_time null", claiming(&[("auth_time", "null")])),
        ("no typ", headed(&[("typ", "")])),
        ("typ in lower case", headed(&[("typ", "\"jwt\"")])),
        (
            "typ as a media type",
            headed(&[("typ", "\"application/jwt\"")]),
        ),
        // Nobody looks at them: the key is the provider's.
        (
            "with jwk",
            headed(&[("jwk", "{\"kty\":\"oct\",\"k\":\"\"}")]),
        ),
        (
            "with jku and x5u",
            headed(&[("jku", "\"http://x\""), ("x5u", "1")]),
        ),
        (
            "with x5c and x5t",
            headed(&[("x5c", "[\"MIIB\"]"), ("x5t", "\"a\"")]),
        ),
        ("unknown header", headed(&[("org.example", "[{}]")])),
        ("no kid, one key fits", only_key),
        (
            "aud in a list",
            claiming(&[("aud", &format!("[\"{CLIENT}\"]"))]),
        ),
        ("azp without need", claiming(&[("azp", &azp)])),
        (
            "aud twice, with azp",
            claiming(&[("aud", &format!("[{azp},{azp}]")), ("azp", &azp)]),
        ),
        ("exp with a fraction", claiming(&[("exp", "1795374300.5")])),
        (
            "exp in another notation",
            claiming(&[("exp", "1.7953743e9")]),
        ),
        ("just not expired", seconds("exp", NOW - 59)),
        ("a clock that is ahead", seconds("iat", NOW + 60)),
        ("a slow server", seconds("iat", NOW - 660)),
        ("nbf on a clock that is ahead", seconds("nbf", NOW + 60)),
        ("with at_hash", claiming(&[("at_hash", &half)])),
        (
            "the same member in two objects",
            claiming(&[("a", "{\"k\":{\"k\":1}}")]),
        ),
        (
            "a name in another script",
            claiming(&[("name", "\"Łukasz \\ud83d\\ude00\"")]),
        ),
        (
            "a long sub",
            claiming(&[("sub", &format!("\"{}\"", "s".repeat(255)))]),
        ),
        (
            "many claims",
            claiming(&[("groups", &format!("[{}1]", "1,".repeat(20_000)))]),
        ),
    ]);
}

#[test]
fn what_the_client_does_not_expect() {
    let access_token = SecretString::from(ACCESS_TOKEN);
    let all = expected(&access_token);
    let keys = PROVIDER.keys();
    let token = claiming(&[]);
    let only_es256 = Expected {
        algorithms: &[SignatureAlg::ES256],
        ..all
    };
    let verdict = verify(&token, &keys, &only_es256);
    assert_eq!(verdict, Err(IdTokenError::Algorithm("RS256".into())));
    // A nonce that nobody asked for does no harm; without a limit, an old token neither.
    let refreshed = Expected {
        nonce: None,
        access_token: None,
        max_age: None,
        ..all
    };
    let old = claiming(&[("iat", "1"), ("at_hash", "\"any\"")]);
    assert!(verify(&old, &keys, &refreshed).is_ok());
    assert!(verify(&claiming(&[("nonce", "")]), &keys, &refreshed).is_ok());
    // The leeway ends at its second.
    for (seconds, taken) in [(359, true), (360, false)] {
        let now = Duration::from_secs(NOW + seconds);
        assert_eq!(
            verify(&token, &keys, &Expected { now, ..all }).is_ok(),
            taken
        );
    }
}

#[test]
fn a_refresh_continues_a_login() {
    let login = judge(&claiming(&[("auth_time", "1795373990")])).unwrap();
    let later = Duration::from_secs(NOW + 60);
    let refreshed = Claims {
        issued_at: later,
        nonce: None,
        auth_time: None,
        ..login.clone()
    };
    assert_eq!(refreshed.continues(&login), Ok(()));
    assert_eq!(login.continues(&login), Ok(()));
    let more = [CLIENT.to_owned(), "api".to_owned()].to_vec();
    let wider = Claims {
        audience: more,
        ..refreshed.clone()
    };
    assert_eq!(wider.continues(&login), Ok(()));
    type Change = fn(&mut Claims);
    let rows: [(&str, Change); 7] = [
        ("iss", |claims| claims.issuer.push('/')),
        ("sub", |claims| claims.subject = "other".into()),
        ("aud", |claims| claims.audience = vec!["api".into()]),
        ("azp", |claims| {
            claims.authorized_party = Some(CLIENT.into())
        }),
        ("iat", |claims| {
            claims.issued_at = Duration::from_secs(NOW - 61)
        }),
        ("auth_time", |claims| {
            claims.auth_time = Some(Duration::from_secs(NOW))
        }),
        ("nonce", |claims| claims.nonce = Some("other".into())),
    ];
    for (claim, change) in rows {
        let mut changed = refreshed.clone();
        change(&mut changed);
        let verdict = changed.continues(&login);
        assert_eq!(verdict, Err(IdTokenError::Discontinuous(claim)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Of a good token, no other spelling is good.
    #[test]
    fn one_changed_byte(which in 0..11_usize, at in any::<prop::sample::Index>(), to in 0..128_u8) {
        thread_local! {
            static GOOD: Vec<(&'static str, String)> = PROVIDER.one_of_each();
        }
        let good = GOOD.with(|tokens| tokens[which].1.clone());
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(judge(&changed).is_ok(), changed == good);
    }

    /// Whatever is signed is read without a panic, and taken only from the issuer for the client.
    #[test]
    fn any_claims(claims in "\\PC{0,60}|(\\{(\"(iss|sub|aud|exp|iat)\":(\"\\PC{0,5}\"|[-0-9.e]{1,9}|null|\\[\\]),?){0,6}\\}?)") {
        let by = By::Rsa(&PROVIDER.rsa, &RSA_PKCS1_SHA256);
        let token = sign(&header("RS256", "rsa", &[]), &claims, by);
        prop_assert!(judge(&token).is_err());
    }
}
