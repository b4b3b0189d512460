//! NHS England's part.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bearerd::clock;
use rcgen::{KeyPair, PKCS_RSA_SHA512, SigningKey as _};
use serde_json::{Value, json};

use super::{Answer, client, exchange, post, text};
use support::{Server, Settings, SigningKey};

struct Assertion {
    header: Value,
    claims: Value,
}

impl Assertion {
    fn new(server: &Server, jti: &str) -> Self {
        Self {
            header: json!({"alg": "RS512", "typ": "JWT", "kid": "test-1"}),
            claims: json!({
                "iss": "my-api-key", "sub": "my-api-key", "aud": server.nhs_url(), "jti": jti,
                "exp": clock::unix_now().as_secs() + 300,
            }),
        }
    }

    fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    async fn send(&self, server: &Server, key: &SigningKey) -> Answer {
        let encode = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(&key.private_pem, &PKCS_RSA_SHA512);
        let signature = pair
            .and_then(|pair| pair.sign(message.as_bytes()))
            .expect("a signature");
        let jwt = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        let form = nhs_form(&jwt);
        post(&server.nhs_url(), &form).await
    }
}

fn nhs_form(jwt: &str) -> [(&str, &str); 3] {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", kind),
        ("client_assertion", jwt),
    ]
}

#[tokio::test]
async fn nhs_takes_a_right_assertion_once() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let assertion = Assertion::new(&server, "once");
    let good = assertion.send(&server, &key).await.json();
    assert_eq!(good["expires_in"], "599");
    assert_eq!(
        text(&good, "issued_at").len(),
        13,
        "milliseconds, as a string"
    );
    assert!(server.check(&text(&good, "access_token")));
    let again = assertion.send(&server, &key).await;
    assert!(again.is_error(400, "invalid_request"), "{}", again.text);
    assert!(again.json()["message_id"].is_string());
}

#[tokio::test]
async fn nhs_refuses_every_other_assertion() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let now = clock::unix_now().as_secs();
    let new = |jti: &str| Assertion::new(&server, jti);
    let bad = [
        (400, new("1").header("alg", json!("RS256"))),
        (400, new("2").header("typ", Value::Null)),
        (400, new("3").header("kid", Value::Null)),
        (401, new("4").header("kid", json!("test-2"))),
        (400, new("5").claim("sub", json!("other"))),
        (401, new("6").claim("aud", json!(server.nhs_url() + "/"))),
        (400, new("7").claim("jti", json!(7))),
        (400, new("8").claim("exp", json!((now + 300).to_string()))),
        (400, new("9").claim("exp", json!(now + 400))),
        (400, new("10").claim("exp", json!(now - 5))),
    ];
    for (status, assertion) in &bad {
        let answer = assertion.send(&server, &key).await;
        assert!(
            answer.is_error(*status, "invalid_request"),
            "{}",
            answer.text
        );
    }
    let forged = new("11").send(&server, &SigningKey::rsa()).await;
    assert!(forged.is_error(401, "public_key error"), "{}", forged.text);
    let spent = new("11").send(&server, &key).await;
    assert!(
        spent.is_error(400, "invalid_request"),
        "the refused one used up its jti"
    );
    assert_eq!(server.log(|log| log.issued.len()), 0);
}

#[tokio::test]
async fn nhs_refuses_other_requests_and_counts_them() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let url = server.nhs_url();
    let form = nhs_form("x.y.z");
    let charset = "application/x-www-form-urlencoded; charset=utf-8";
    let request = client()
        .post(&url)
        .header("content-type", charset)
        .body("a=b");
    assert_eq!(exchange(request).await.unwrap().status, 415);
    assert_eq!(
        post(&(url.clone() + "?grant_type=client_credentials"), &form)
            .await
            .status,
        415
    );
    assert_eq!(exchange(client().get(&url)).await.unwrap().status, 405);
    assert!(post(&url, &form).await.is_error(400, "invalid_request"));

    server.change(|settings| settings.nhs.requests_per_minute = 1);
    assert_eq!(
        Assertion::new(&server, "1")
            .send(&server, &key)
            .await
            .status,
        200
    );
    assert_eq!(
        Assertion::new(&server, "2")
            .send(&server, &key)
            .await
            .status,
        429
    );
}

#[tokio::test]
async fn nhs_refresh_is_single_use_with_a_shrinking_window() {
    let server = Server::start(Settings::default());
    let seed = server.seed_refresh_token();
    let refresh = async |token: &str, secret: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", "my-api-key"),
            ("client_secret", secret),
        ];
        post(&server.nhs_url(), &form).await
    };
    assert!(refresh(&seed, "").await.is_error(401, "invalid_request"));
    assert!(
        refresh(&seed, "wrong")
            .await
            .is_error(401, "invalid_client")
    );
    let good = refresh(&seed, "nhs/api/secret").await.json();
    assert_eq!(
        (&good["refresh_count"], &good["expires_in"]),
        (&json!("1"), &json!("599"))
    );
    let window: u64 = text(&good, "refresh_token_expires_in").parse().unwrap();
    assert!((43_100..43_199).contains(&window), "{window}");
    assert!(
        refresh(&seed, "nhs/api/secret")
            .await
            .is_error(401, "invalid_grant")
    );
    let successor = text(&good, "refresh_token");
    assert_eq!(refresh(&successor, "nhs/api/secret").await.status, 200);
}
