//! What goes over the wire, and what may go wrong there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::clock;
use bearerd::config::{BodyFormat, ClientAuth, GrantConfig, HmacAlg, RefreshTokenGrant, SecretRef};
use bearerd::oauth::response::ResponseError;
use bearerd::oauth::{Client, NoAnswer, ObtainError, Trouble, probe};
use bearerd_core::refresh::{Delivery, FailureKind};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use super::configuration::{
    Setup, TOKEN, assertion, client, client_secret, env, environment, password, url, write,
};
use support::script::{Act, Seen, Server, answer};

fn trouble(error: &ObtainError) -> (Trouble, Delivery) {
    match error {
        ObtainError::NoAnswer(NoAnswer {
            trouble, delivery, ..
        }) => {
            assert_eq!(error.failure().delivery, *delivery);
            (*trouble, *delivery)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_request_as_sent() {
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let mut config = client(&server.url("/oauth2/v2.0/token/"));
    let setup = Setup::new(config.clone(), GrantConfig::ClientCredentials);
    let before = clock::now();
    let token = setup.primary().await.unwrap();
    assert_eq!(token.access_token.expose_secret(), "token-1");
    assert!(token.validity.obtained_at >= before && token.validity.obtained_at <= clock::now());
    let seen = server.seen().remove(0);
    assert!(seen.head.starts_with("POST /oauth2/v2.0/token/ HTTP/1.1\n"));
    for line in [
        "\ncontent-type: application/x-www-form-urlencoded\n",
        "\naccept: application/json\n",
        concat!("\nuser-agent: bearerd/", env!("CARGO_PKG_VERSION"), "\n"),
    ] {
        assert!(seen.head.contains(line), "{line:?} in {}", seen.head);
    }
    assert!(!seen.head.contains("authorization"));
    let body = "grant_type=client_credentials&scope=s&client_id=id&client_secret=canary-secret";
    assert_eq!(seen.body, body);

    config.body = BodyFormat::Json;
    config.auth = ClientAuth::ClientSecretBasic {
        client_secret: client_secret("SECRET"),
    };
    let setup = Setup::new(config, password());
    setup.primary().await.unwrap();
    let seen = server.seen().remove(0);
    assert!(seen.head.contains("\ncontent-type: application/json\n"));
    // id:canary-secret
    let header = "\nauthorization: Basic aWQ6Y2FuYXJ5LXNlY3JldA==\n";
    assert!(seen.head.contains(header), "{}", seen.head);
    assert!(seen.body.starts_with(r#"{"grant_type":"password","#));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut server = Server::start(|_| answer(307, "location: /elsewhere?code=1\r\n", "")).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    let error = setup.primary().await.unwrap_err();
    assert!(
        matches!(error, ObtainError::Response(ResponseError::Redirect { .. })),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn connections_are_kept_but_for_refresh_tokens() {
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    for _ in 0..3 {
        setup.primary().await.unwrap();
    }
    for _ in 0..2 {
        setup.refresh("r").await.unwrap();
    }
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1, 2]);
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let server = Server::start(|_| Act::Endless("HTTP/1.1 200 X\r\n\r\n")).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    let error = setup.refresh("r").await.unwrap_err();
    assert_eq!(trouble(&error), (Trouble::TooLarge, Delivery::Unknown));

    // of a failure the status says enough
    let server = Server::start(|_| Act::Endless("HTTP/1.1 503 X\r\nretry-after: 7\r\n\r\n")).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    let failure = setup.refresh("r").await.unwrap_err().failure();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.delivery, Delivery::Answered);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn the_limit_is_one_mebibyte() {
    for (excess, fits) in [(0, true), (1, false)] {
        let padding = " ".repeat(1024 * 1024 - TOKEN.len() + excess);
        let body = format!("{padding}{TOKEN}");
        let server = Server::start(move |_| answer(200, "", &body)).await;
        let setup = Setup::new(client(&server.url("/token")), password());
        match setup.primary().await {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits);
                assert_eq!(trouble(&error), (Trouble::TooLarge, Delivery::Unknown));
            }
        }
    }
}

#[tokio::test]
async fn a_slow_drip_meets_the_time_limit() {
    let server = Server::start(|_| Act::Drip).await;
    let mut config = client(&server.url("/token"));
    config.timeout = Duration::from_millis(200);
    let error = Setup::new(config, password())
        .refresh("r")
        .await
        .unwrap_err();
    assert_eq!(trouble(&error), (Trouble::Timeout, Delivery::Unknown));
    assert_eq!(error.failure().kind, FailureKind::Unavailable);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_outcome_unknown() {
    let starts: [fn() -> Act; 3] = [
        || Act::Close,
        || Act::Partial("HTTP/1.1 200 X\r\ncontent-le".into()),
        || Act::Partial("HTTP/1.1 200 X\r\ncontent-length: 999\r\n\r\n{\"access_token\":".into()),
    ];
    for start in starts {
        let mut server = Server::start(move |_| start()).await;
        let setup = Setup::new(client(&server.url("/token")), password());
        for error in [
            setup.refresh("r").await.unwrap_err(),
            setup.primary().await.unwrap_err(),
        ] {
            let expected = (Trouble::ConnectionBroken, Delivery::Unknown);
            assert_eq!(trouble(&error), expected, "{error}");
        }
        // once each: repeating is the scheduler's business
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http() {
    let server = Server::start(|_| Act::Partial("220 mail.example ESMTP\r\n".into())).await;
    let setup = Setup::new(client(&server.url("/token")), password());
    let error = setup.primary().await.unwrap_err();
    assert_eq!(trouble(&error), (Trouble::Other, Delivery::Unknown));
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = client(&format!("http://user:pw@{address}/token?key=canary"));
    let error = Setup::new(config, password())
        .refresh("r")
        .await
        .unwrap_err();
    assert_eq!(
        trouble(&error),
        (Trouble::ConnectionRefused, Delivery::NotSent)
    );
    assert_eq!(error.to_string(), format!("{address}: connection refused"));
}

#[tokio::test]
async fn a_proxy_is_used_where_configured() {
    let mut proxy = Server::start(|_| answer(200, "", TOKEN)).await;
    let mut config = client("http://127.0.0.1:1/token");
    config.proxy = Some(proxy.url("/").parse().unwrap());
    Setup::new(config, password()).primary().await.unwrap();
    let head = proxy.seen().remove(0).head;
    assert!(
        head.starts_with("POST http://127.0.0.1:1/token HTTP/1.1\n"),
        "{head}"
    );
}

#[tokio::test]
async fn the_refresh_grant_has_its_own_client_authentication() {
    let body = r#"{"access_token":"a","expires_in":"599","refresh_token":"r1","refresh_token_expires_in":"43199"}"#;
    let mut server = Server::start(move |_| answer(200, "", body)).await;
    let mut config = client(&server.url("/token"));
    config.refresh_auth = Some(config.auth.clone());
    config.auth = ClientAuth::ClientSecretJwt {
        client_secret: client_secret("SECRET"),
        alg: HmacAlg::HS512,
        assertion: assertion(),
    };
    let setup = Setup::new(config, password());
    setup.primary().await.unwrap();
    setup.refresh("r0").await.unwrap();
    let seen = server.seen();
    assert!(seen[0].parameter("client_assertion").is_some());
    assert_eq!(seen[0].parameter("client_secret"), None);
    let sent = "grant_type=refresh_token&refresh_token=r0&scope=s&client_id=id&client_secret=canary-secret";
    assert_eq!(seen[1].body, sent);
}

#[tokio::test]
async fn a_seed_is_read_at_every_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seed");
    write(&path, "seed-1\n");
    let mut server = Server::start(|_| answer(200, "", TOKEN)).await;
    let seed = GrantConfig::RefreshToken(RefreshTokenGrant {
        refresh_token: SecretRef::File(path.clone()),
    });
    let setup = Setup::new(client(&server.url("/token")), seed);
    let token = setup.primary().await.unwrap();
    assert_eq!(token.refresh_token.unwrap().expose_secret(), "seed-1");
    write(&path, "seed-2\n");
    setup.primary().await.unwrap();
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.parameter("refresh_token").unwrap())
        .collect();
    assert_eq!(sent, ["seed-1", "seed-2"]);
    std::fs::remove_file(&path).unwrap();
    let error = setup.primary().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "grant.refresh_token.refresh_token cannot be read"
    );
    assert_eq!(error.failure().kind, FailureKind::Misconfigured);
    assert_eq!(error.failure().delivery, Delivery::NotSent);
}

fn claims(seen: &Seen) -> serde_json::Value {
    let jwt = seen.parameter("client_assertion").unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(jwt.split('.').nth(1).unwrap())
        .unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// A server that lives an hour ahead and allows no skew, as NHS England's does.
fn an_hour_ahead(seen: &Seen) -> Act {
    let now = clock::unix_now() + Duration::from_secs(3600);
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + now);
    let date = format!("date: {date}\r\n");
    if seen.head.starts_with("HEAD") {
        return Act::Answer(format!("HTTP/1.1 405 X\r\n{date}content-length: 0\r\n\r\n"));
    }
    if claims(seen)["exp"].as_u64().unwrap() < now.as_secs() {
        return answer(400, &date, r#"{"error":"invalid_request"}"#);
    }
    answer(200, &date, TOKEN)
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_servers_date() {
    let mut server = Server::start(an_hour_ahead).await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientSecretJwt {
        client_secret: client_secret("SECRET"),
        alg: HmacAlg::HS256,
        assertion: assertion(),
    };
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    setup.primary().await.unwrap();
    assert!((3590..3610).contains(&setup.registration.clock_skew()));
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(claims(&seen[0])["jti"], claims(&seen[1])["jti"]);
    assert_eq!(claims(&seen[1])["aud"], server.url("/token"));
    // known from now on
    setup.primary().await.unwrap();
    assert_eq!(server.seen().len(), 1);

    let found = probe(setup.registration.clone(), Some(setup.token.clone())).await;
    assert!((3590..3610).contains(&found.clock_skew.unwrap()));
    assert_eq!(found.token_endpoint.unwrap(), server.url("/token"));
    found.connection.unwrap().unwrap();
    found.trial.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_is_not_repeated_when_the_clock_is_right() {
    let mut server = Server::start(|_| {
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + clock::unix_now());
        answer(
            401,
            &format!("date: {date}\r\n"),
            r#"{"error":"invalid_client"}"#,
        )
    })
    .await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientSecretJwt {
        client_secret: client_secret("SECRET"),
        alg: HmacAlg::HS256,
        assertion: assertion(),
    };
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    setup.primary().await.unwrap_err();
    assert_eq!(setup.registration.clock_skew(), 0);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_clock_that_merely_drifts_is_no_news() {
    let ahead = AtomicU64::new(3600);
    let mut server = Server::start(move |_| {
        let ahead = Duration::from_secs(ahead.fetch_add(1, Ordering::Relaxed));
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + clock::unix_now() + ahead);
        let body = r#"{"error":"invalid_client"}"#;
        answer(401, &format!("date: {date}\r\n"), body)
    })
    .await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientSecretJwt {
        client_secret: client_secret("SECRET"),
        alg: HmacAlg::HS256,
        assertion: assertion(),
    };
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    for requests in [2, 1, 1] {
        setup.primary().await.unwrap_err();
        assert_eq!(server.seen().len(), requests);
    }
}

#[tokio::test]
async fn what_a_server_echoes_is_redacted() {
    let server = Server::start(|seen| {
        let echo = seen.body.replace('"', "");
        let json = format!(r#"{{"error":"invalid_client","error_description":"got {echo}"}}"#);
        answer(400, "", &json)
    })
    .await;
    let setup = Setup::new(client(&server.url("/token")), password());
    for error in [
        setup.primary().await.unwrap_err(),
        setup.refresh("canary-refresh").await.unwrap_err(),
    ] {
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("[redacted]"), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
}

/// Also without the scheme before it, as a server quotes credentials that it cannot read.
#[tokio::test]
async fn echoed_basic_credentials_are_redacted() {
    let server = Server::start(|seen| {
        let line = seen.head.lines().find(|line| line.contains(": Basic "));
        let echo = line.unwrap().rsplit(' ').next().unwrap();
        let json = format!(r#"{{"error":"invalid_client","error_description":"got {echo}"}}"#);
        answer(401, "", &json)
    })
    .await;
    let mut config = client(&server.url("/token"));
    config.auth = ClientAuth::ClientSecretBasic {
        client_secret: client_secret("SECRET"),
    };
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let error = setup.primary().await.unwrap_err().to_string();
    assert!(error.ends_with("(got [redacted])"), "{error}");
}

#[tokio::test]
async fn a_probe_spends_no_seed() {
    let mut server = Server::start(|_| answer(405, "allow: POST\r\n", "")).await;
    let seed = GrantConfig::RefreshToken(RefreshTokenGrant {
        refresh_token: env("PASSWORD"),
    });
    let setup = Setup::new(client(&server.url("/token")), seed);
    let found = probe(setup.registration.clone(), Some(setup.token.clone())).await;
    assert!(found.trial.is_none() && found.clock_skew.is_none());
    found.connection.unwrap().unwrap();
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.head.starts_with("HEAD "))
    );
}

#[tokio::test]
async fn registrations_that_cannot_be_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    write(&path, "no PEM");
    let mut unset = client("https://as.example/token");
    unset.auth = ClientAuth::ClientSecretPost {
        client_secret: client_secret("NOT_SET"),
    };
    let mut ca = client("https://as.example/token");
    ca.tls.ca = Some(path.clone());
    let mut gone = ca.clone();
    gone.tls.ca = Some(directory.path().join("gone"));
    let mut proxy = client("https://as.example/token");
    proxy.proxy = Some(url("ftp://proxy.example").url);
    let shown = path.display();
    for (config, message) in [
        (unset, "client_secret cannot be read".to_owned()),
        (ca, format!("{shown} holds no usable PEM certificate")),
        (
            gone,
            format!("cannot read {}", directory.path().join("gone").display()),
        ),
        (
            proxy,
            "cannot set up TLS: the proxy URL is not supported".to_owned(),
        ),
    ] {
        match Client::load(config.into(), environment()) {
            Ok(_) => panic!("loaded: {message}"),
            Err(error) => {
                assert_eq!(error.to_string(), message);
                assert_eq!(error.failure().kind, FailureKind::Misconfigured);
                assert_eq!(error.failure().delivery, Delivery::NotSent);
            }
        }
    }
}
