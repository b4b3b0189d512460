//! Discovery against a loopback server.

use bearerd::config::{ClientConfig, Endpoint, GrantConfig, SecretRef, TlsIdentity};
use bearerd::oauth::probe;
use bearerd_core::refresh::{Delivery, FailureKind};

use super::configuration::{Setup, TOKEN, client, url, write};
use support::script::{Act, Seen, Server, answer};

fn with_issuer(issuer: &str) -> ClientConfig {
    let mut config = client("http://127.0.0.1:1/unused");
    config.endpoint = Endpoint::Issuer(url(issuer));
    config
}

fn host(seen: &Seen) -> String {
    let line = seen.head.lines().find(|line| line.starts_with("host: "));
    line.unwrap()["host: ".len()..].to_owned()
}

fn path(seen: &Seen) -> &str {
    seen.head.split(' ').nth(1).unwrap()
}

/// Publishes metadata at `well_known` for the issuer `suffix`, tokens everywhere else but `/.well-known/`.
fn issuer(well_known: &'static str, suffix: &'static str) -> impl Fn(&Seen) -> Act {
    move |seen| {
        let base = format!("http://{}", host(seen));
        match path(seen) {
            found if found == well_known => answer(
                200,
                "",
                &format!(
                    r#"{{"issuer":"{base}{suffix}","token_endpoint":"{base}/t","mtls_endpoint_aliases":{{"token_endpoint":"{base}/mtls"}}}}"#
                ),
            ),
            found if found.contains("/.well-known/") => answer(404, "", ""),
            _ => answer(200, "", TOKEN),
        }
    }
}

#[tokio::test]
async fn both_forms_are_tried_and_the_result_is_kept() {
    for (well_known, suffix, requests) in [
        (
            "/auth/realms/lev/.well-known/openid-configuration",
            "/auth/realms/lev",
            vec![
                "/auth/realms/lev/.well-known/openid-configuration",
                "/t",
                "/t",
            ],
        ),
        (
            "/.well-known/oauth-authorization-server/tenant",
            "/tenant/",
            vec![
                "/tenant/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/tenant",
                "/t",
                "/t",
            ],
        ),
    ] {
        let mut server = Server::start(issuer(well_known, suffix)).await;
        let config = with_issuer(&server.url(suffix));
        let setup = Setup::new(config, GrantConfig::ClientCredentials);
        setup.primary().await.unwrap();
        setup.primary().await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.iter().map(path).collect::<Vec<_>>(), requests);
        assert!(seen[0].head.contains("\naccept: application/json\n"));
    }
}

#[tokio::test]
async fn the_issuer_must_be_equal_byte_for_byte() {
    // `/realm` answers, and says `/realm`; asked for is `/realm/`
    let server = Server::start(issuer("/realm/.well-known/openid-configuration", "/realm")).await;
    let config = with_issuer(&server.url("/realm/"));
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let error = setup.primary().await.unwrap_err();
    let named = server.url("/realm");
    assert_eq!(
        error.to_string(),
        format!("metadata of {named}/: its issuer is \"{named}\"")
    );
    assert_eq!(error.failure().kind, FailureKind::Misconfigured);
    assert_eq!(error.failure().delivery, Delivery::NotSent);
    assert!(error.hint().unwrap().contains("trailing slash"));
    let found = probe(setup.registration, Some(setup.token)).await;
    assert!(found.token_endpoint.is_err() && found.connection.is_none());
}

#[tokio::test]
async fn a_tls_identity_leads_to_the_mtls_alias() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("crt"), directory.path().join("key"));
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    write(&certificate, &params.self_signed(&pair).unwrap().pem());
    write(&key, &pair.serialize_pem());
    let mut server = Server::start(issuer("/.well-known/openid-configuration", "")).await;
    let mut config = with_issuer(&server.url(""));
    config.tls.identity = Some(TlsIdentity {
        certificate: certificate.clone(),
        key: SecretRef::File(key),
    });
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    setup.primary().await.unwrap();
    assert_eq!(path(&server.seen()[1]), "/mtls");
    let found = probe(setup.registration, None).await;
    assert_eq!(found.token_endpoint.unwrap(), server.url("/mtls"));
    assert_eq!(found.certificates[0].path, certificate);
    let not_after = found.certificates[0].not_after.unwrap();
    assert_eq!(not_after.as_secs(), 2_493_072_000);
}

#[tokio::test]
async fn metadata_that_cannot_be_used() {
    use FailureKind::*;
    let page = "<html>moved</html>".to_owned();
    for (status, body, kind, text) in [
        (
            404,
            String::new(),
            Misconfigured,
            "neither well-known document is there (status 404)",
        ),
        (401, String::new(), Misconfigured, "(status 401)"),
        (500, String::new(), Unavailable, "answered 500"),
        (429, String::new(), RateLimited, "answered 429"),
        (302, String::new(), Misconfigured, "answered 302"),
        (200, page, Unavailable, "no JSON object"),
        (200, "[]".into(), Unavailable, "no JSON object"),
        (
            200,
            r#"{"token_endpoint":"https://x.example"}"#.into(),
            Unavailable,
            "no JSON object",
        ),
        (
            200,
            r#"{"issuer":"ISSUER"}"#.into(),
            Misconfigured,
            "token_endpoint is missing",
        ),
        (
            200,
            r#"{"issuer":"ISSUER","token_endpoint":"/t"}"#.into(),
            Misconfigured,
            "token_endpoint",
        ),
        (
            200,
            r#"{"issuer":"ISSUER","token_endpoint":"http://x.example/t"}"#.into(),
            Misconfigured,
            "not an https URL",
        ),
        (
            200,
            r#"{"issuer":"ISSUER","token_endpoint":"https://u:p@x.example/t"}"#.into(),
            Misconfigured,
            "token_endpoint",
        ),
        (
            200,
            r#"{"issuer":"ISSUER","token_endpoint":"ftp://127.0.0.1/t"}"#.into(),
            Misconfigured,
            "token_endpoint",
        ),
    ] {
        let shown = body.clone();
        let server = Server::start(move |seen| {
            let issuer = format!("http://{}/r", host(seen));
            let body = body.replace("ISSUER", &issuer);
            answer(status, "retry-after: 9\r\n", &body)
        })
        .await;
        let setup = Setup::new(
            with_issuer(&server.url("/r")),
            GrantConfig::ClientCredentials,
        );
        let error = setup.primary().await.unwrap_err();
        assert_eq!(error.failure().kind, kind, "{status} {shown}: {error}");
        assert_eq!(error.failure().delivery, Delivery::NotSent);
        assert!(error.to_string().contains(text), "{error}");
        if kind == RateLimited {
            assert_eq!(error.failure().retry_after.unwrap().as_secs(), 9);
        }
    }
}

/// A maintenance page at the usual place is passing trouble, whatever the other place says.
#[tokio::test]
async fn the_usual_place_decides_what_is_wrong() {
    let server = Server::start(|seen| match path(seen) {
        "/r/.well-known/openid-configuration" => answer(200, "", "<html>back soon</html>"),
        _ => answer(404, "", ""),
    })
    .await;
    let config = with_issuer(&server.url("/r"));
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let error = setup.primary().await.unwrap_err();
    assert_eq!(error.failure().kind, FailureKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_server_that_is_down_is_not_reached_by_discovery() {
    let setup = Setup::new(
        with_issuer("http://127.0.0.1:1/r"),
        GrantConfig::ClientCredentials,
    );
    let failure = setup.primary().await.unwrap_err().failure();
    assert_eq!(
        (failure.kind, failure.delivery),
        (FailureKind::Unavailable, Delivery::NotSent)
    );
}
