//! The authorization server of the tests refuses what the real ones refuse.

mod nhs;

use std::time::Duration;

use bearerd::config::Environment;
use serde_json::{Value, json};
use support::{Fault, Host, RetryAfter, Server, Settings, SigningKey, System};

type Form<'a> = &'a [(&'a str, &'a str)];

struct Answer {
    status: u16,
    retry_after: Option<String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    fn is_error(&self, status: u16, error: &str) -> bool {
        self.status == status && self.json()["error"] == error
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let header = response.headers().get("retry-after");
    Ok(Answer {
        status: response.status().as_u16(),
        retry_after: header.and_then(|value| Some(value.to_str().ok()?.to_owned())),
        text: response.text().await?,
    })
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0);
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client")
}

async fn post(url: &str, form: Form<'_>) -> Answer {
    exchange(client().post(url).form(form))
        .await
        .expect("an answer")
}

fn lev_url(server: &Server) -> String {
    server.lev_issuer() + "/protocol/openid-connect/token"
}

fn lev_form(password: &str) -> Vec<(&str, &str)> {
    vec![
        ("client_id", "lev-reports"),
        ("client_secret", "lev+secret%:ü"),
        ("grant_type", "password"),
        ("username", "reports"),
        ("password", password),
        ("scope", "openid"),
    ]
}

async fn lev_refresh(server: &Server, refresh_token: &str) -> Answer {
    let mut form = lev_form("");
    form[2] = ("grant_type", "refresh_token");
    form.push(("refresh_token", refresh_token));
    post(&lev_url(server), &form).await
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn lev_rotates_and_kills_the_session_on_reuse() {
    let server = Server::start(Settings::default());
    let metadata = server.lev_issuer() + "/.well-known/openid-configuration";
    let metadata = exchange(client().get(metadata)).await.unwrap().json();
    assert_eq!(metadata["token_endpoint"], lev_url(&server));
    assert_eq!(metadata["issuer"], server.lev_issuer());

    let first = post(&lev_url(&server), &lev_form("correct horse"))
        .await
        .json();
    assert_eq!(
        (&first["expires_in"], &first["refresh_expires_in"]),
        (&json!(300), &json!(1800))
    );
    assert!(first["id_token"].is_string());
    let second = lev_refresh(&server, &text(&first, "refresh_token"))
        .await
        .json();
    let access_token = text(&second, "access_token");
    assert!(server.check(&access_token));

    let reused = lev_refresh(&server, &text(&first, "refresh_token")).await;
    assert!(reused.is_error(400, "invalid_grant"), "{}", reused.text);
    assert!(!server.check(&access_token), "the session is dead");
    let successor = lev_refresh(&server, &text(&second, "refresh_token")).await;
    assert!(successor.is_error(400, "invalid_grant"));
    assert_eq!(server.log(|log| (log.checks, log.rejected)), (2, 1));
}

#[tokio::test]
async fn lev_refuses_and_locks_out() {
    let server = Server::start(Settings::default());
    let url = lev_url(&server);
    let mut other_client = lev_form("correct horse");
    other_client[1].1 = "wrong";
    assert!(
        post(&url, &other_client)
            .await
            .is_error(401, "unauthorized_client")
    );
    let mut doubled = lev_form("correct horse");
    doubled.push(("scope", "openid"));
    assert!(post(&url, &doubled).await.is_error(400, "invalid_request"));
    for _ in 0..3 {
        assert!(
            post(&url, &lev_form("wrong"))
                .await
                .is_error(401, "invalid_grant")
        );
    }
    assert!(
        post(&url, &lev_form("correct horse"))
            .await
            .is_error(401, "invalid_grant")
    );
    assert_eq!(server.with(|state| state.lev.wrong_passwords), 3);
}

#[tokio::test]
async fn entra_wants_its_slash_and_its_scope() {
    let server = Server::start(Settings::default());
    let url = server.entra_url();
    let form = |scope| {
        [
            ("client_id", "12345"),
            ("client_secret", "entra~secret.8Q~"),
            ("grant_type", "client_credentials"),
            ("scope", scope),
        ]
    };
    let good = post(&url, &form(support::entra::SCOPE)).await.json();
    assert_eq!(
        (&good["expires_in"], &good["ext_expires_in"]),
        (&json!(3599), &json!(3599))
    );
    assert!(good.get("refresh_token").is_none());
    assert!(server.check(&text(&good, "access_token")));
    let without = post(url.trim_end_matches('/'), &form(support::entra::SCOPE)).await;
    assert_eq!(without.status, 404);
    assert!(
        post(&url, &form("api://x/read"))
            .await
            .is_error(400, "invalid_scope")
    );
    assert!(post(&url, &form("")).await.is_error(400, "invalid_request"));
    let mut wrong = form(support::entra::SCOPE);
    wrong[1].1 = "wrong";
    assert!(post(&url, &wrong).await.is_error(401, "invalid_client"));

    server.queue_fault(
        System::Entra,
        Fault::TooManyRequests(RetryAfter::Seconds(60)),
    );
    let throttled = post(&url, &form(support::entra::SCOPE)).await;
    assert_eq!(
        (throttled.status, throttled.text.as_str()),
        (429, "Too Many Requests")
    );
    assert_eq!(throttled.retry_after.as_deref(), Some("60"));
}

#[tokio::test]
async fn faults_are_what_they_say() {
    let server = Server::start(Settings::default());
    let url = lev_url(&server);
    let form = lev_form("correct horse");
    let timeout = Duration::from_millis(800);
    let ask = || exchange(client().post(&url).form(&form).timeout(timeout));
    for silent in [
        Fault::Hang,
        Fault::LostReply,
        Fault::EndlessBody,
        Fault::SlowDrip,
    ] {
        server.queue_fault(System::Lev, silent.clone());
        assert!(ask().await.is_err_and(|e| e.is_timeout()), "{silent:?}");
    }
    for cut in [Fault::CloseBeforeReply, Fault::ResetMidBody] {
        server.queue_fault(System::Lev, cut.clone());
        assert!(
            ask()
                .await
                .is_err_and(|e| !e.is_timeout() && !e.is_connect()),
            "{cut:?}"
        );
    }
    // LostReply, SlowDrip, CloseBeforeReply and ResetMidBody had done their work first.
    assert_eq!(server.log(|log| log.issued_by(System::Lev)), 4);
    for (status, fault) in [
        (200, Fault::Html200),
        (302, Fault::Redirect302),
        (400, Fault::InvalidGrant),
        (418, Fault::Custom(418, "text/plain", "teapot".into())),
        (
            429,
            Fault::TooManyRequests(RetryAfter::Date(Duration::from_secs(5))),
        ),
        (500, Fault::Status(500)),
    ] {
        server.queue_fault(System::Lev, fault);
        assert_eq!(ask().await.unwrap().status, status);
    }
    server.outage(true);
    assert!(ask().await.is_err_and(|e| e.is_connect()));
    server.outage(false);
    assert_eq!(ask().await.unwrap().status, 200);
    server.wait_for("all turns over", Duration::from_secs(5), |log| {
        (log.in_flight == 0).then_some(())
    });
}

#[tokio::test]
async fn https_with_its_own_authority() {
    let server = Server::start_tls(Settings::default().lifetime(Duration::from_secs(1)));
    let pem = server.ca_pem.clone().expect("an authority");
    let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let trusting = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority]);
    let request = trusting.build().unwrap().post(lev_url(&server));
    let answer = exchange(request.form(&lev_form("correct horse")))
        .await
        .unwrap();
    let token = text(&answer.json(), "access_token");
    assert!(server.check(&token));
    assert!(
        exchange(client().get(server.origin()))
            .await
            .is_err_and(|e| e.is_connect())
    );
    support::pause(Duration::from_millis(1100));
    assert!(!server.check(&token), "it lived one second");
}

/// The configurations that the tests write mean what they are to mean.
#[test]
fn configurations_are_valid() {
    let key = SigningKey::rsa();
    let server = Server::start_tls(Settings::with_key(&key));
    let host = Host::new();
    let tables = host.lev(&server) + &host.ardengem(&server);
    host.configure(&tables);
    host.drop_in("nhs.toml", &host.nhs(&server, "test-1", &key));
    let config = bearerd::config::load(&host.config_path(), &Environment::default());
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.tokens.len(), 3);
    assert_eq!(config.daemon.runtime_dir, host.path("run"));
}
