//! Assertions as grants and as client authentication (RFC 7521, RFC 7523), in the shapes of Google, Salesforce
//! and Microsoft Entra.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::clock;
use bearerd::config::{
    AssertionConfig, ClientAuth, GrantConfig, JwtBearer, SecretRef, SignatureAlg, SignedAssertion,
    TokenRef,
};
use bearerd::oauth::{InputTokens, ObtainError};
use bearerd::token::Token;
use bearerd_core::credential::{TokenName, Validity};
use bearerd_core::refresh::{FailureKind, Part, Use};
use jsonwebtoken::{Algorithm, DecodingKey};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::configuration::{Setup, TOKEN, assertion, client, write};
use support::script::{Seen, Server, answer};

const SERVICE_ACCOUNT: &str = "reports@project.iam.gserviceaccount.com";

fn file(path: &Path) -> TokenRef {
    TokenRef::Secret(SecretRef::File(path.into()))
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn google(key: &Path) -> GrantConfig {
    let scope = json!("https://www.googleapis.com/auth/devstorage.read_only");
    GrantConfig::JwtBearer(Box::new(JwtBearer::Signed(SignedAssertion {
        key: SecretRef::File(key.into()),
        alg: SignatureAlg::RS256,
        issuer: Some(SERVICE_ACCOUNT.into()),
        subject: None,
        assertion: AssertionConfig {
            kid: Some("key-1".into()),
            lifetime: Duration::from_secs(3600),
            claims: BTreeMap::from([("scope".into(), scope)]),
            ..assertion()
        },
    })))
}

/// <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>: nothing but the grant
/// type and the assertion, in whose claims the scope is.
#[tokio::test]
async fn a_google_service_account() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    write(&path, &key.serialize_pem());
    let body =
        r#"{"access_token":"1/8xbJqaOZXKrPeFSnEBAVDyN7","expires_in":3600,"token_type":"Bearer"}"#;
    let mut server = Server::start(move |_| answer(200, "", body)).await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::None;
    let mut setup = Setup::new(config, google(&path));
    std::sync::Arc::make_mut(&mut setup.token).scope.clear();
    setup.primary().await.unwrap();
    setup.primary().await.unwrap();
    let seen = server.seen();
    let sent: Vec<_> = url::form_urlencoded::parse(seen[0].body.as_bytes()).collect();
    let [(grant_type, kind), (name, jwt)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((&**grant_type, &**name), ("grant_type", "assertion"));
    assert_eq!(kind, "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let public = DecodingKey::from_rsa_der(key.public_key_raw());
    let good =
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public, Algorithm::RS256);
    assert!(good.unwrap());
    let said = claims(jwt);
    assert_eq!(said["iss"], SERVICE_ACCOUNT);
    assert_eq!(said["aud"], server.url("/token"));
    assert_eq!(said.get("sub"), None);
    assert!(said["scope"].as_str().unwrap().ends_with("read_only"));
    let age = said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap();
    assert_eq!(age, 3600);
    let again = claims(&seen[1].parameter("assertion").unwrap());
    assert_ne!(said["jti"], again["jti"], "signed for each request");

    // The key is read at each request, and an error names it.
    write(&path, "no key");
    let error = setup.primary().await.unwrap_err();
    assert_eq!(error.to_string(), "grant.jwt_bearer.key cannot be used");
    assert_eq!(error.failure().kind, FailureKind::Misconfigured);
}

/// Google says `invalid_grant` when the assertion is from another time.
#[tokio::test]
async fn a_wrong_clock_is_corrected_for_grants_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    write(&path, &key.serialize_pem());
    let mut server = Server::start(|seen: &Seen| {
        let now = clock::unix_now() + Duration::from_secs(7200);
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + now);
        let said = claims(&seen.parameter("assertion").unwrap());
        let refused = r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#;
        let late = said["exp"].as_u64().unwrap() < now.as_secs();
        let (status, body) = if late { (400, refused) } else { (200, TOKEN) };
        answer(status, &format!("date: {date}\r\n"), body)
    })
    .await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::None;
    let setup = Setup::new(config, google(&path));
    setup.primary().await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

/// As with `private_key_jwt` at Salesforce: the client's id is the issuer, the user the subject. Clients that
/// prove who they are send their id.
#[tokio::test]
async fn an_assertion_in_a_users_name_and_one_of_somebody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    write(&path, &KeyPair::generate().unwrap().serialize_pem());
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let signed = JwtBearer::Signed(SignedAssertion {
        key: SecretRef::File(path.clone()),
        alg: SignatureAlg::ES256,
        issuer: None,
        subject: Some("reports@example.org".into()),
        assertion: AssertionConfig {
            audience: Some("https://login.salesforce.com".into()),
            ..assertion()
        },
    });
    let grant = GrantConfig::JwtBearer(Box::new(signed));
    let setup = Setup::new(client(&server.url("/token")), grant);
    setup.primary().await.unwrap();
    let seen = server.seen().remove(0);
    let said = claims(&seen.parameter("assertion").unwrap());
    assert_eq!(said["iss"], "id");
    assert_eq!(said["sub"], "reports@example.org");
    assert_eq!(said["aud"], "https://login.salesforce.com");
    assert_eq!(seen.parameter("client_id").as_deref(), Some("id"));
    assert_eq!(seen.parameter("scope").as_deref(), Some("s"));

    let path = directory.path().join("assertion");
    let grant = GrantConfig::JwtBearer(Box::new(JwtBearer::Made(file(&path))));
    let setup = Setup::new(client(&server.url("/token")), grant);
    for made in ["made-1", "made-2"] {
        write(&path, made);
        setup.primary().await.unwrap();
        let seen = server.seen().remove(0);
        assert_eq!(seen.parameter("assertion").as_deref(), Some(made));
    }
}

/// Microsoft Entra's federated credentials: the assertion is a token of Kubernetes, which replaces its file.
#[tokio::test]
async fn a_client_assertion_is_read_at_every_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientAssertion {
        client_assertion: file(&path),
    };
    // It may come later than bearerd.
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let error = setup.primary().await.unwrap_err();
    assert_eq!(error.to_string(), "client_assertion cannot be read");
    assert_eq!(error.failure().kind, FailureKind::Misconfigured);
    write(&path, "projected-1\n");
    setup.primary().await.unwrap();
    write(&path, "projected-2\n");
    setup.refresh("r0").await.unwrap();
    let seen = server.seen();
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    for (seen, assertion) in seen.iter().zip(["projected-1", "projected-2"]) {
        assert_eq!(
            seen.parameter("client_assertion").as_deref(),
            Some(assertion)
        );
        assert_eq!(
            seen.parameter("client_assertion_type").as_deref(),
            Some(kind)
        );
        assert_eq!(seen.parameter("client_id").as_deref(), Some("id"));
        assert_eq!(seen.parameter("client_secret"), None);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_client_assertion_may_be_another_token() {
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let name = TokenName::parse("workload").unwrap();
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientAssertion {
        client_assertion: TokenRef::Token {
            name: name.clone(),
            part: Part::IdToken,
        },
    };
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let parents = setup.token.parents();
    assert!(matches!(&parents[..], [source] if source.name == name && source.on_refresh));
    let error = setup.primary().await.unwrap_err();
    assert!(matches!(error, ObtainError::InputToken(_)), "{error}");
    let now = clock::now();
    let token = Token {
        access_token: SecretString::from("not this"),
        token_type: "Bearer".into(),
        scope: None,
        id_token: Some(SecretString::from("workload-id-token")),
        refresh_token: None,
        validity: Validity {
            obtained_at: now,
            expires_at: now,
            refresh: None,
            id_token_expires_at: Some(now),
        },
    };
    let mut carried = InputTokens::default();
    carried.add(&name, Part::IdToken, &token);
    let token = setup.obtain_with(Use::Primary, carried).await.unwrap();
    assert_eq!(token.access_token.expose_secret(), "token-1");
    let sent = server.seen().remove(0).parameter("client_assertion");
    assert_eq!(sent.as_deref(), Some("workload-id-token"));
}
