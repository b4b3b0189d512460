//! ID tokens verified with keys fetched from a loopback provider.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::clock;
use bearerd::config::{Endpoint, GrantConfig};
use bearerd::oauth::id_token::Claims;
use bearerd::oauth::{IdTokenError, InputTokens, ObtainError};
use bearerd_core::refresh::{FailureKind, Use};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::configuration::{Setup, client, password, url};
use support::script::{Act, Seen, Server, answer};

static KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key_set(kid: &str) -> String {
    let x = b64(KEY.public_key());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x}]}).to_string()
}

/// A provider with these metadata besides, whose key sets are `script`'s, by the number of the request.
async fn provider(
    metadata: Value,
    script: impl Fn(usize) -> Act + Send + Sync + 'static,
) -> (Server, Setup) {
    granting(metadata, json!({}), script).await
}

/// The same, whose ID tokens have these claims besides.
async fn granting(
    metadata: Value,
    claims: Value,
    script: impl Fn(usize) -> Act + Send + Sync + 'static,
) -> (Server, Setup) {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        let host = seen
            .head
            .lines()
            .find_map(|line| line.strip_prefix("host: "));
        let base = format!("http://{}", host.unwrap());
        if path(seen) == "/jwks" {
            return script(asked.fetch_add(1, Ordering::Relaxed));
        }
        if seen.head.starts_with("POST") {
            let id_token = signed("1", &base, &claims);
            let id_token = secrecy::ExposeSecret::expose_secret(&id_token);
            let body = json!({"access_token": "token-1", "expires_in": 60, "token_type": "Bearer",
                "refresh_token": "refresh-2", "id_token": id_token});
            return answer(200, "", &body.to_string());
        }
        let mut members =
            json!({"issuer": base, "token_endpoint": base, "jwks_uri": format!("{base}/jwks")});
        let more = metadata.as_object().unwrap().clone();
        members.as_object_mut().unwrap().extend(more);
        answer(200, "", &members.to_string())
    });
    let server = server.await;
    let mut config = client("http://127.0.0.1:1/unused");
    config.endpoint = Endpoint::Issuer(url(&server.url("")));
    (server, Setup::new(config, password()))
}

fn path(seen: &Seen) -> &str {
    seen.head.split(' ').nth(1).unwrap()
}

fn key_requests(server: &mut Server) -> usize {
    let seen = server.seen();
    seen.iter().filter(|seen| path(seen) == "/jwks").count()
}

fn id_token(server: &Server, kid: &str) -> SecretString {
    signed(kid, &server.url(""), &json!({"nonce": "n"}))
}

fn signed(kid: &str, issuer: &str, more: &Value) -> SecretString {
    let now = clock::unix_now().as_secs();
    let mut claims = json!({
        "iss": issuer, "sub": "u", "aud": "id", "iat": now, "exp": now + 60,
    });
    let more = more.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(more);
    let header = json!({"alg": "EdDSA", "kid": kid});
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = b64(KEY.sign(signed.as_bytes()));
    SecretString::from(format!("{signed}.{signature}"))
}

async fn verify(setup: &Setup, id_token: &SecretString) -> Result<Claims, ObtainError> {
    let access_token = SecretString::from("token-1");
    let registration = Arc::clone(&setup.registration);
    registration
        .verify_id_token(id_token, &access_token, Some("n"))
        .await
}

#[tokio::test]
async fn keys_are_fetched_once_whoever_asks() {
    let (mut server, setup) = provider(json!({}), |_| answer(200, "", &key_set("1"))).await;
    let token = id_token(&server, "1");
    let all = [(); 8].map(|()| verify(&setup, &token));
    let [a, b, c, d, e, f, g, h] = all;
    let verdicts = tokio::join!(a, b, c, d, e, f, g, h);
    assert_eq!(verdicts.0.unwrap().subject, "u");
    assert!(verdicts.1.is_ok() && verdicts.7.is_ok());
    assert_eq!(verify(&setup, &token).await.unwrap().subject, "u");
    assert_eq!(key_requests(&mut server), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_odd_kids_are_no_flood() {
    let sets = |n| answer(200, "", &key_set(if n == 0 { "old" } else { "new" }));
    let (mut server, setup) = provider(json!({}), sets).await;
    verify(&setup, &id_token(&server, "old")).await.unwrap();
    verify(&setup, &id_token(&server, "new")).await.unwrap();
    assert_eq!(key_requests(&mut server), 2);
    for n in 0..20 {
        let token = id_token(&server, &format!("odd {n}"));
        let error = verify(&setup, &token).await.unwrap_err();
        assert!(matches!(
            error,
            ObtainError::IdToken(IdTokenError::NoKey { .. })
        ));
        assert_eq!(
            error.to_string(),
            format!(
                "the ID token is refused: no key of the provider's key set fits EdDSA and has kid \"odd{n}\""
            )
        );
        assert_eq!(error.failure().kind, FailureKind::Unrecognized);
    }
    verify(&setup, &id_token(&server, "new")).await.unwrap();
    assert_eq!(key_requests(&mut server), 0);
}

#[tokio::test]
async fn a_wrong_signature_asks_nobody() {
    let (mut server, setup) = provider(json!({}), |_| answer(200, "", &key_set("1"))).await;
    let mut token = secrecy::ExposeSecret::expose_secret(&id_token(&server, "1")).to_owned();
    let at = token.rfind('.').unwrap() + 1;
    let other = if token[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    token.replace_range(at..=at, other);
    for _ in 0..3 {
        let error = verify(&setup, &token.as_str().into()).await.unwrap_err();
        assert!(matches!(
            error,
            ObtainError::IdToken(IdTokenError::Signature)
        ));
    }
    assert_eq!(key_requests(&mut server), 1);
}

#[tokio::test]
async fn the_last_good_keys_are_kept() {
    let sets = |n| match n {
        0 => answer(200, "", &key_set("1")),
        _ => answer(500, "", ""),
    };
    let (mut server, setup) = provider(json!({}), sets).await;
    let token = id_token(&server, "1");
    verify(&setup, &token).await.unwrap();
    for _ in 0..3 {
        let error = verify(&setup, &id_token(&server, "2")).await.unwrap_err();
        assert!(matches!(
            error,
            ObtainError::IdToken(IdTokenError::NoKey { .. })
        ));
        verify(&setup, &token).await.unwrap();
    }
    assert_eq!(key_requests(&mut server), 2);
}

#[tokio::test]
async fn key_sets_of_no_use() {
    type Script = fn(usize) -> Act;
    let rows: [(Script, &str, FailureKind); 6] = [
        (
            |_| answer(500, "", ""),
            "the server answered 500",
            FailureKind::Unavailable,
        ),
        (
            |_| answer(429, "", ""),
            "the server answered 429",
            FailureKind::RateLimited,
        ),
        (
            |_| answer(302, "location: http://127.0.0.1:1/\r\n", ""),
            "the server answered 302",
            FailureKind::Unavailable,
        ),
        (
            |_| answer(200, "", "<html>"),
            "it is no JSON object with an array of keys",
            FailureKind::Unavailable,
        ),
        (
            |_| answer(200, "", r#"{"keys":[]}"#),
            "it has no key that can verify a signature",
            FailureKind::Unavailable,
        ),
        (
            |_| Act::Endless("HTTP/1.1 200 X\r\n\r\n"),
            "the answer is larger than 1 MiB",
            FailureKind::Unavailable,
        ),
    ];
    for (script, text, kind) in rows {
        let (server, setup) = provider(json!({}), script).await;
        let error = verify(&setup, &id_token(&server, "1")).await.unwrap_err();
        let shown = error.to_string();
        assert!(shown.ends_with(text), "{shown}");
        assert!(shown.contains(&server.address.to_string()), "{shown}");
        assert_eq!(error.failure().kind, kind);
    }
}

#[tokio::test]
async fn what_the_metadata_says_counts() {
    let keys = |_| answer(200, "", &key_set("1"));
    let (server, setup) = provider(json!({"jwks_uri": "http://op.example/jwks"}), keys).await;
    let error = verify(&setup, &id_token(&server, "1")).await.unwrap_err();
    assert!(error.to_string().ends_with("names no usable jwks_uri"));
    assert_eq!(error.failure().kind, FailureKind::Misconfigured);
    let algs = json!({"id_token_signing_alg_values_supported": ["RS256"]});
    let (server, setup) = provider(algs, keys).await;
    let error = verify(&setup, &id_token(&server, "1")).await.unwrap_err();
    assert!(matches!(
        error,
        ObtainError::IdToken(IdTokenError::Algorithm(_))
    ));
    assert!(error.hint().unwrap().contains("sign ID tokens"));
    let without_issuer = client("http://127.0.0.1:1/t");
    let setup = Setup::new(without_issuer, GrantConfig::ClientCredentials);
    let error = verify(&setup, &id_token(&server, "1")).await.unwrap_err();
    assert!(matches!(error, ObtainError::NoIssuer));
    assert_eq!(error.hint(), Some("set issuer instead of token_endpoint"));
}

/// Whatever the grant: what others are made from has been verified, or is not there.
#[tokio::test]
async fn an_id_token_that_cannot_be_verified_is_left_out() {
    type Keys = fn() -> Act;
    let good = || answer(200, "", &key_set("1"));
    let rows: [(Value, Keys, bool); 6] = [
        (json!({}), good, true),
        (json!({"aud": "another client"}), good, false),
        (json!({"iss": "https://another.example"}), good, false),
        (json!({"exp": 1_700_000_000}), good, false),
        (json!({}), || answer(200, "", &key_set("2")), false),
        (json!({}), || answer(500, "", ""), false),
    ];
    for (claims, keys, holds) in rows {
        let (_server, setup) = granting(json!({}), claims.clone(), move |_| keys()).await;
        let refreshed = setup.refresh("refresh-1").await.unwrap();
        for token in [setup.primary().await.unwrap(), refreshed] {
            assert_eq!(token.id_token.is_some(), holds, "{claims}");
            let expires = token.validity.id_token_expires_at.is_some();
            assert_eq!(expires, holds, "{claims}");
            assert!(token.refresh_token.is_some());
        }
    }
}

/// There is nothing to verify it with; TLS says whose it is (OpenID Connect Core section 3.1.3.7).
#[tokio::test]
async fn without_an_issuer_an_id_token_is_as_good_as_its_token_endpoint() {
    let keys = |_| answer(500, "", "");
    let (server, _) = granting(json!({}), json!({"aud": "another client"}), keys).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    assert!(setup.primary().await.unwrap().id_token.is_some());
}

#[tokio::test]
async fn a_refresh_that_speaks_of_another_person_is_refused() {
    let keys = |_| answer(200, "", &key_set("1"));
    let (server, setup) = granting(json!({}), json!({"sub": "another"}), keys).await;
    let carried = |sub: &str| InputTokens {
        refresh_token: Some("refresh-1".into()),
        id_token: Some(signed("1", &server.url(""), &json!({"sub": sub}))),
        ..InputTokens::default()
    };
    let error = setup.obtain_with(Use::RefreshToken, carried("u")).await;
    let Err(ObtainError::IdToken(IdTokenError::Discontinuous("sub"))) = error else {
        panic!("{:?}", error.err());
    };
    let same = setup.obtain_with(Use::RefreshToken, carried("another"));
    assert!(same.await.unwrap().id_token.is_some());
}

#[tokio::test]
async fn who_waits_for_keys_in_vain_hears_why() {
    let (mut server, setup) = provider(json!({}), |_| answer(500, "", "")).await;
    let token = id_token(&server, "1");
    let [a, b, c, d] = [(); 4].map(|()| verify(&setup, &token));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let errors = [a, b, c, d].map(|verdict| verdict.unwrap_err());
    for error in &errors {
        assert!(error.to_string().ends_with("answered 500"), "{error}");
        assert_eq!(error.failure().kind, FailureKind::Unavailable);
    }
    let echoes = errors.iter().filter(|error| error.failure().echo);
    assert_eq!(echoes.count(), 3, "{errors:?}");
    assert_eq!(key_requests(&mut server), 1);
    verify(&setup, &token).await.unwrap_err();
    assert_eq!(key_requests(&mut server), 1, "later it is asked again");
}
