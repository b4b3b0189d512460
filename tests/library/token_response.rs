//! What token endpoints really answer, one row for each habit known of them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::oauth::response::{Granted, Reply, Request, ResponseError, parse};
use bearerd::token::Token;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Delivery, FailureKind};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};

const SENT_AT: Instant = Instant::since_boot(Duration::from_secs(1000));
/// Sunday, 22 November 2026 19:00:00 GMT.
const NOW: Duration = Duration::from_secs(1_795_374_000);
const YEAR: u64 = 366 * 24 * 3600;

fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<Granted, ResponseError> {
    refresh_reply(status, headers, body, None)
}

fn refresh_reply(
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    used: Option<&SecretString>,
) -> Result<Granted, ResponseError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: &map,
        body,
    };
    let canary = SecretString::from("canary-7f3a");
    let encoded_in_forms = SecretString::from("7f3b+canary");
    let request = Request {
        sent_at: SENT_AT,
        unix_now: NOW,
        assume_lifetime: None,
        refresh_token: used,
        secrets: &[&canary, &encoded_in_forms],
    };
    parse(reply, &request)
}

fn token(body: &str) -> Token {
    match reply(200, &[], body.as_bytes()) {
        Ok(granted) => granted.token,
        Err(error) => panic!("{error}: {body}"),
    }
}

fn lifetime(token: &Token) -> u64 {
    (token.validity.expires_at - SENT_AT).as_secs()
}

fn jwt(payload: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
}

#[test]
fn lifetimes() {
    let now = NOW.as_secs();
    let rows: &[(&str, u64)] = &[
        // RFC 6749, Microsoft Entra v2, Keycloak
        (r#""expires_in":3599"#, 3599),
        (r#""expires_in":3599,"ext_expires_in":7199"#, 3599),
        // NHS England, Apigee, PayPal, Broadcom
        (r#""expires_in":"599""#, 599),
        (r#""expires_in":" 3600 ""#, 3600),
        (r#""expires_in":3600.0"#, 3600),
        (r#""expires_in":"3599.9""#, 3599),
        (r#""expires_in":1e3"#, 1000),
        // huge: clamped
        (r#""expires_in":99999999999999"#, YEAR),
        (r#""expires_in":1e300"#, YEAR),
        (r#""expires_in":"18446744073709551616""#, YEAR),
        // says nothing: the documented fallback
        (r#""expires_in":null"#, 300),
        (r#""expires_in":"""#, 300),
        (r#""expires_in":"soon""#, 300),
        (r#""expires_in":"inf""#, 300),
        (r#""expires_in":"NaN""#, 300),
        (r#""expires_in":true"#, 300),
        (r#""expires_in":[3600]"#, 300),
        (r#""expires_in":{"s":1}"#, 300),
        (r#""expires_in":0"#, 300),
        (r#""expires_in":0.5"#, 300),
        (r#""expires_in":-1"#, 300),
        (r#""expires_in":"-3600""#, 300),
        // Salesforce, Zendesk
        (
            r#""issued_at":"1700000000000","instance_url":"https://x.example""#,
            300,
        ),
        // Microsoft Entra v1: expires_in wins over its siblings
        (
            r#""expires_in":"3599","expires_on":"1","not_before":"1","resource":"r""#,
            3599,
        ),
        (&format!(r#""expires_on":"{}""#, now + 700), 700),
        (&format!(r#""expires_at":{}"#, now + 700), 700),
        (&format!(r#""expires_at":{}"#, (now + 700) * 1000), 700),
        (r#""expires_at":"2026-11-22T20:00:00Z""#, 3600),
        (
            r#""expires_in":0,"expires_at":"2026-11-22T20:00:00+00:00""#,
            3600,
        ),
        // ASP.NET (OWIN)
        (
            r#"".issued":"Sun, 22 Nov 2026 19:00:00 GMT",".expires":"Sun, 22 Nov 2026 19:30:00 GMT""#,
            1800,
        ),
        (r#""expires_on":"1""#, 300),
        // an id_token's exp is not the access token's
        (
            &format!(
                r#""id_token":"{}""#,
                jwt(&format!(r#"{{"exp":{}}}"#, now + 900))
            ),
            300,
        ),
    ];
    for (members, expected) in rows {
        let body = format!(r#"{{"access_token":"opaque","token_type":"Bearer",{members}}}"#);
        assert_eq!(lifetime(&token(&body)), *expected, "{members}");
    }
}

#[test]
fn lifetime_of_a_jwt() {
    let now = NOW.as_secs();
    for (payload, expected) in [
        (format!(r#"{{"exp":{}}}"#, now + 900), 900),
        (format!(r#"{{"exp":{}.7}}"#, now + 900), 900),
        // our clock is an hour slow: never more than the whole
        (
            format!(r#"{{"iat":{},"exp":{}}}"#, now + 3600, now + 3900),
            300,
        ),
        (
            format!(r#"{{"iat":{},"exp":{}}}"#, now + 3600, now + 3660),
            60,
        ),
        (format!(r#"{{"exp":{}}}"#, now - 5), 300),
        (r#"{"exp":"later"}"#.into(), 300),
        (r#"{"sub":"x"}"#.into(), 300),
        ("no json".into(), 300),
    ] {
        let jwt = jwt(&payload);
        let body = format!(r#"{{"access_token":"{jwt}"}}"#);
        assert_eq!(lifetime(&token(&body)), expected, "{payload}");
        let body = format!(r#"{{"access_token":"{jwt}","expires_in":77}}"#);
        assert_eq!(lifetime(&token(&body)), expected.min(77), "{payload}");
    }
}

/// Dex counts `expires_in` from the approval of a device login, and some servers state milliseconds: a
/// token that an API judges by its `exp` ends then.
#[test]
fn the_earlier_end_of_two_counts() {
    let own = jwt(&format!(r#"{{"exp":{}}}"#, NOW.as_secs() + 3600));
    for (stated, lives) in [("3600000", 3600), ("3610", 3600), ("59", 59)] {
        let body = format!(r#"{{"access_token":"{own}","expires_in":{stated}}}"#);
        assert_eq!(lifetime(&token(&body)), lives, "{stated}");
    }
}

/// QuickBooks says `x_refresh_token_expires_in`, others name a point in time.
#[test]
fn ends_of_refresh_tokens_have_many_names() {
    let end = NOW.as_secs() + 200;
    for member in [
        r#""refresh_expires_in":200"#.to_owned(),
        r#""refresh_token_expires_in":"200""#.into(),
        r#""x_refresh_token_expires_in":200"#.into(),
        format!(r#""refresh_token_expires_at":{end}"#),
        format!(r#""refresh_token_expires_on":"{end}""#),
        format!(r#""refresh_expires_at":{}"#, end * 1000),
    ] {
        let token = token(&format!(
            r#"{{"access_token":"a","refresh_token":"r",{member}}}"#
        ));
        let ends_at = token.validity.refresh.unwrap().expires_at;
        assert_eq!(
            ends_at,
            Some(SENT_AT + Duration::from_secs(200)),
            "{member}"
        );
    }
}

/// A name in ISO-8859-1, in a member that nobody needs, spoils nothing.
#[test]
fn what_is_no_utf_8_costs_no_token() {
    let body = b"{\"access_token\":\"x\",\"name\":\"Jos\xe9\",\"refresh_token\":\"r\"}";
    let granted = reply(200, &[], body).unwrap();
    assert_eq!(granted.token.access_token.expose_secret(), "x");
    assert!(granted.token.refresh_token.is_some());
    let spoilt = reply(200, &[], b"{\"access_token\":\"Jos\xe9\"}");
    assert!(spoilt.is_err(), "no header carries it");
}

#[test]
fn assumed_lifetime_comes_last_and_a_guess_is_said_to_be_one() {
    let headers = HeaderMap::new();
    let granted = |body: &str, assume_lifetime| {
        let reply = Reply {
            status: StatusCode::OK,
            headers: &headers,
            body: body.as_bytes(),
        };
        let request = Request {
            sent_at: SENT_AT,
            unix_now: NOW,
            assume_lifetime,
            refresh_token: None,
            secrets: &[],
        };
        let granted = parse(reply, &request).unwrap();
        (lifetime(&granted.token), granted.lifetime_guessed)
    };
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(granted(r#"{"access_token":"x"}"#, hour), (3600, false));
    assert_eq!(granted(r#"{"access_token":"x"}"#, None), (300, true));
    let stated = r#"{"access_token":"x","expires_in":60}"#;
    assert_eq!(granted(stated, hour), (60, false));
}

#[test]
fn whole_replies_of_known_servers() {
    let nhs = token(
        r#"{"access_token":"Dummy0paque28chars","expires_in":"599","token_type":"Bearer","issued_at":"1700000000000"}"#,
    );
    assert_eq!((lifetime(&nhs), &*nhs.token_type), (599, "Bearer"));
    assert!(nhs.refresh_token.is_none() && nhs.validity.refresh.is_none());

    let nhs_user = token(
        r#"{"access_token":"dummyA","expires_in":"599","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","refresh_token":"dummyR0","refresh_token_expires_in":"43199","refresh_count":"0"}"#,
    );
    let refresh = nhs_user.validity.refresh.unwrap().expires_at.unwrap();
    assert_eq!((refresh - SENT_AT).as_secs(), 43199);
    assert_eq!(nhs_user.refresh_token.unwrap().expose_secret(), "dummyR0");

    let keycloak = token(
        r#"{"access_token":"a.b.c","expires_in":300,"refresh_expires_in":1800,"refresh_token":"r","token_type":"bearer","not-before-policy":0,"session_state":"s","scope":"profile email","id_token":"i.d.t"}"#,
    );
    let refresh = keycloak.validity.refresh.unwrap().expires_at.unwrap();
    assert_eq!((refresh - SENT_AT).as_secs(), 1800);
    assert_eq!(keycloak.scope.as_deref(), Some("profile email"));
    assert_eq!(keycloak.id_token.unwrap().expose_secret(), "i.d.t");

    // Keycloak's offline tokens: 0 is no stated limit
    let offline = token(r#"{"access_token":"a","refresh_expires_in":0,"refresh_token":"r"}"#);
    assert_eq!(offline.validity.refresh.unwrap().expires_at, None);
    // Keycloak's client credentials: 0 and no refresh token
    let service = token(r#"{"access_token":"a","expires_in":60,"refresh_expires_in":0}"#);
    assert!(service.validity.refresh.is_none());

    let apigee = token(
        r#"{"token_type":"BearerToken","access_token":"x","expires_in":"3599","refresh_token_expires_in":"0","refresh_count":"0","issued_at":"1400000000000","api_product_list":"[x]","status":"approved","scope":""}"#,
    );
    assert_eq!((lifetime(&apigee), apigee.scope), (3599, None));

    let entra = token(
        r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"eyJ.x.y"}"#,
    );
    assert_eq!(lifetime(&entra), 3599);

    let github = token(
        "access_token=gho_1&expires_in=28800&refresh_token=ghr_1&refresh_token_expires_in=15897600&scope=repo%2Cgist&token_type=bearer",
    );
    assert_eq!(
        (lifetime(&github), github.scope.as_deref()),
        (28800, Some("repo,gist"))
    );

    let slack =
        token(r#"{"ok":true,"access_token":"xoxb-1","token_type":"bot","expires_in":43200}"#);
    assert_eq!(slack.token_type, "bot");
}

#[test]
fn shapes_of_a_success() {
    for body in [
        "\u{feff}{\"access_token\":\"x\"}",
        " \r\n\t{\"access_token\":\"x\"}\n\n",
        r#"{"access_token":"x","error":null}"#,
        r#"{"access_token":"x","error":""}"#,
        r#"{"access_token":"x","error":false}"#,
        r#"{"access_token":"first","access_token":"x"}"#,
        r#"{"access_token":"x","token_type":null,"scope":null,"refresh_token":null,"id_token":null}"#,
        r#"{"access_token":"x","token_type":"","scope":7,"refresh_token":"","id_token":false}"#,
        r#"{"access_token":"x","token_type":"BEARER"}"#,
        r#"{"access_token":"x","token_type":"N_A"}"#,
        r#"{"access_token":"x","id_token":"with space"}"#,
    ] {
        let token = token(body);
        assert_eq!(token.access_token.expose_secret(), "x", "{body}");
        assert!(
            token.refresh_token.is_none() && token.id_token.is_none(),
            "{body}"
        );
        assert!(token.scope.is_none(), "{body}");
    }
    assert_eq!(token(r#"{"access_token":"x"}"#).token_type, "Bearer");
    let scopes = token(r#"{"access_token":"x","scope":["a","b",1]}"#).scope;
    assert_eq!(scopes.as_deref(), Some("a b"));
    assert!(
        token(r#"{"access_token":"x","scope":"a\nb"}"#)
            .scope
            .is_none()
    );
    // wrong content types are no reason to refuse; nor is 201
    assert!(
        reply(
            200,
            &[("content-type", "text/html")],
            br#"{"access_token":"x"}"#
        )
        .is_ok()
    );
    assert!(reply(201, &[], br#"{"access_token":"x"}"#).is_ok());
}

#[test]
fn a_refresh_that_brings_no_refresh_token_keeps_the_one_used() {
    let used = SecretString::from("old");
    for (body, kept, lifetime) in [
        (r#"{"access_token":"x"}"#, "old", None),
        (r#"{"access_token":"x","refresh_token":""}"#, "old", None),
        (r#"{"access_token":"x","refresh_token":null}"#, "old", None),
        (
            r#"{"access_token":"x","refresh_expires_in":60}"#,
            "old",
            Some(60),
        ),
        (
            r#"{"access_token":"x","refresh_token":"new","refresh_token_expires_in":"43100"}"#,
            "new",
            Some(43100),
        ),
    ] {
        let token = refresh_reply(200, &[], body.as_bytes(), Some(&used))
            .unwrap()
            .token;
        assert_eq!(token.refresh_token.unwrap().expose_secret(), kept, "{body}");
        let expires_at = token.validity.refresh.unwrap().expires_at;
        assert_eq!(
            expires_at.map(|at| (at - SENT_AT).as_secs()),
            lifetime,
            "{body}"
        );
    }
}

#[test]
fn two_hundreds_without_a_token() {
    let deep = format!(r#"{{"x":{}"#, "[".repeat(200_000));
    let rows: &[(&[u8], FailureKind, &str)] = &[
        (b"", FailureKind::Unavailable, "empty"),
        (b" \n", FailureKind::Unavailable, "empty"),
        (
            b"<!doctype html><p>Sign in</p>",
            FailureKind::Unavailable,
            "HTML",
        ),
        (
            b"Too Many Requests",
            FailureKind::Unavailable,
            "neither JSON",
        ),
        (b"\xff\xfe{\0}\0", FailureKind::Unavailable, "neither JSON"),
        (
            b"{\"access_token\":\"\xff\"}",
            FailureKind::Unavailable,
            "characters",
        ),
        (
            b"{\"access_token\":\"x\"",
            FailureKind::Unavailable,
            "no JSON object",
        ),
        (
            b"[{\"access_token\":\"x\"}]",
            FailureKind::Unavailable,
            "no JSON object",
        ),
        (
            b"\"access_token\"",
            FailureKind::Unavailable,
            "no JSON object",
        ),
        (deep.as_bytes(), FailureKind::Unavailable, "no JSON object"),
        (b"{}", FailureKind::Unavailable, "without an access_token"),
        // wrappers' camelCase; the LEV adapter's undocumented shape
        (
            br#"{"accessToken":null}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        (
            br#"{"accessToken":"x"}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        (
            br#"{"message":"x"}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        (
            br#"{"access_token":""}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        (
            br#"{"access_token":null}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        (
            br#"{"access_token":["x"]}"#,
            FailureKind::Unavailable,
            "without an access_token",
        ),
        // header injection
        (
            br#"{"access_token":"x\r\nEvil: 1"}"#,
            FailureKind::Unavailable,
            "characters",
        ),
        (
            br#"{"access_token":"a b"}"#,
            FailureKind::Unavailable,
            "characters",
        ),
        (
            "{\"access_token\":\"t\u{f6}ken\"}".as_bytes(),
            FailureKind::Unavailable,
            "characters",
        ),
        (
            b"access_token=a%0Ab",
            FailureKind::Unavailable,
            "characters",
        ),
        // tokens bound to a key
        (
            br#"{"access_token":"x","token_type":"DPoP"}"#,
            FailureKind::Misconfigured,
            "token_type",
        ),
        (
            br#"{"access_token":"x","token_type":"pop"}"#,
            FailureKind::Misconfigured,
            "token_type",
        ),
        (
            br#"{"access_token":"x","token_type":"mac"}"#,
            FailureKind::Misconfigured,
            "token_type",
        ),
        (
            br#"{"access_token":"x","token_type":"a\nb"}"#,
            FailureKind::Misconfigured,
            "token_type",
        ),
    ];
    for (body, kind, text) in rows {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
        let error = reply(200, &[], body).unwrap_err();
        assert_eq!(error.failure().kind, *kind, "{shown}");
        // who knows what was spent for it
        assert_eq!(error.failure().delivery, Delivery::Unknown, "{shown}");
        assert!(error.to_string().contains(text), "{error}: {shown}");
    }
}

#[test]
fn errors() {
    use FailureKind::*;
    let rows: &[(u16, &str, FailureKind, &str)] = &[
        // RFC 6749 section 5.2
        (
            400,
            r#"{"error":"invalid_grant"}"#,
            GrantRefused,
            "answered 400 invalid_grant",
        ),
        (
            400,
            r#"{"error":"invalid_client"}"#,
            Misconfigured,
            "400 invalid_client",
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            Misconfigured,
            "401 invalid_client",
        ),
        (400, r#"{"error":"invalid_request"}"#, Misconfigured, ""),
        (400, r#"{"error":"invalid_scope"}"#, Misconfigured, ""),
        (400, r#"{"error":"unauthorized_client"}"#, Misconfigured, ""),
        (
            400,
            r#"{"error":"unsupported_grant_type"}"#,
            Misconfigured,
            "",
        ),
        (
            400,
            r#"{"error":"temporarily_unavailable"}"#,
            Unavailable,
            "",
        ),
        (400, r#"{"error":"server_error"}"#, Unavailable, ""),
        (400, r#"{"error":"slow_down"}"#, RateLimited, ""),
        (400, r#"{"error":"invalid_target"}"#, Misconfigured, ""),
        // Keycloak
        (
            401,
            r#"{"error":"invalid_grant","error_description":"Invalid user credentials"}"#,
            GrantRefused,
            "401 invalid_grant (Invalid user credentials)",
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Session not active"}"#,
            GrantRefused,
            "",
        ),
        (
            401,
            r#"{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}"#,
            Misconfigured,
            "",
        ),
        // NHS England
        (
            401,
            r#"{"error":"invalid_grant","error_description":"refresh_token is invalid","message_id":"rrt-1"}"#,
            GrantRefused,
            "message_id rrt-1",
        ),
        (
            401,
            r#"{"error":"public_key error","error_description":"JWT signature verification failed"}"#,
            Misconfigured,
            "401 public_key error",
        ),
        (
            403,
            r#"{"error":"public_key error","error_description":"The JWKS endpoint, for your client_assertion can't be reached"}"#,
            Unavailable,
            "can't be reached",
        ),
        (401, r#"{"error":"access_denied"}"#, Denied, ""),
        (415, r#"{"error":"invalid_request"}"#, Misconfigured, ""),
        (
            500,
            r#"{"error":"unknown_error","message_id":"m"}"#,
            Unavailable,
            "",
        ),
        (400, r#"{"error":"unknown_error"}"#, Unavailable, ""),
        (
            429,
            r#"{"error":"ratelimit_exceeded","message_id":"m"}"#,
            RateLimited,
            "",
        ),
        (405, "", Unrecognized, "405"),
        // Microsoft Entra
        (
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: t","error_codes":[7000215],"timestamp":"x","trace_id":"t-1","correlation_id":"c-1"}"#,
            Misconfigured,
            "(AADSTS7000215: Invalid client secret provided. Trace ID: t), correlation_id c-1, trace_id t-1",
        ),
        (400, r#"{"error":"interaction_required"}"#, GrantRefused, ""),
        (429, "Too Many Requests", RateLimited, "answered 429"),
        // GitHub and Slack say 200
        (
            200,
            r#"{"error":"bad_verification_code"}"#,
            GrantRefused,
            "200 bad_verification_code",
        ),
        (
            200,
            r#"{"error":"incorrect_client_credentials"}"#,
            Misconfigured,
            "",
        ),
        (
            200,
            "error=incorrect_client_credentials&error_description=The+client_id+is+wrong",
            Misconfigured,
            "(The client_id is wrong)",
        ),
        (
            200,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            Misconfigured,
            "200 invalid_auth",
        ),
        (200, r#"{"ok":false}"#, Unrecognized, ""),
        (
            200,
            r#"{"error":"odd","access_token":"x"}"#,
            Unrecognized,
            "",
        ),
        (
            200,
            r#"{"error":{"code":7},"access_token":"x"}"#,
            Unrecognized,
            "",
        ),
        // DPoP only
        (400, r#"{"error":"use_dpop_nonce"}"#, Misconfigured, ""),
        // Zoho
        (
            400,
            r#"{"error":"Access Denied","status":"failure"}"#,
            Unrecognized,
            "400 Access Denied",
        ),
        // statuses by themselves; 5xx beats a code, but for a refused grant
        (400, "", Unrecognized, "answered 400"),
        (401, "<html>no</html>", Unrecognized, ""),
        (403, "{}", Unrecognized, ""),
        (404, "not found", Unrecognized, ""),
        (408, "", Unavailable, ""),
        (425, "", Unavailable, ""),
        (500, "", Unavailable, ""),
        (502, "<html>Bad Gateway</html>", Unavailable, ""),
        (503, r#"{"error":"invalid_client"}"#, Unavailable, ""),
        (504, r#"{"error":"invalid_client"}"#, Unavailable, ""),
        (
            599,
            r#"{"error":"temporarily_unavailable"}"#,
            Unavailable,
            "",
        ),
        (500, r#"{"error":"invalid_grant"}"#, GrantRefused, ""),
        (400, "{{{", Unrecognized, ""),
    ];
    for (status, body, kind, text) in rows {
        let error = reply(*status, &[], body.as_bytes()).unwrap_err();
        let failure = error.failure();
        assert_eq!(failure.kind, *kind, "{status} {body}");
        let delivery = match (status, kind) {
            (500 | 502 | 504, Unavailable) => Delivery::Unknown,
            _ => Delivery::Answered,
        };
        assert_eq!(failure.delivery, delivery, "{status} {body}");
        assert!(error.to_string().contains(text), "{error}\n{text}");
    }
}

#[test]
fn what_is_shown_of_an_error_is_clean_and_short() {
    let long = "x".repeat(5000);
    for (body, shown) in [
        (
            r#"{"error":"a\u001b[31mb\"c\\","error_description":"one\r\n\ttwo\u0000three"}"#.to_owned(),
            "400 a [31mb c (one two three)".to_owned(),
        ),
        (
            format!(r#"{{"error":"{long}","error_description":"{long}"}}"#),
            format!("400 {} ({})", &long[..64], &long[..600]),
        ),
        (
            r#"{"error":"e","error_description":"secret canary-7f3a is wrong","trace_id":"canary-7f3a"}"#
                .to_owned(),
            "400 e (secret [redacted] is wrong), trace_id [redacted]".to_owned(),
        ),
        (
            r#"{"error":"e","error_description":"got a=7f3b%2Bcanary&b=7f3b+canary"}"#.to_owned(),
            "400 e (got a=[redacted]&b=[redacted])".to_owned(),
        ),
        // the secret straddles the cut
        (
            format!(
                r#"{{"error":"e","error_description":"{} canary-7f3a"}}"#,
                &long[..594]
            ),
            format!("400 e ({} [reda)", &long[..594]),
        ),
        (
            r#"{"error":"e","error_description":"mot de passe expiré\u202e!"}"#.to_owned(),
            "400 e (mot de passe expiré !)".to_owned(),
        ),
        (r#"{"error":7,"error_description":["x"]}"#.to_owned(), "400".to_owned()),
        (
            r#"{"error":"e","username":"somebody","access_token":"t"}"#.to_owned(),
            "400 e".to_owned(),
        ),
    ] {
        let error = reply(400, &[], body.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, format!("the token endpoint answered {shown}"));
    }
}

#[test]
fn redirects_name_the_host_only() {
    for (location, text) in [
        (
            "https://user:pw@login.example/x?code=1",
            "the token endpoint answered 302 Found with a redirect to login.example",
        ),
        (
            "/relative",
            "the token endpoint answered 302 Found with a redirect",
        ),
        (
            &format!("https://{}/", "x".repeat(1000)),
            "the token endpoint answered 302 Found with a redirect",
        ),
    ] {
        let error = reply(302, &[("location", location)], br#"{"access_token":"x"}"#).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.failure().kind, FailureKind::Unrecognized);
        assert!(error.hint().is_some());
    }
}

#[test]
fn retry_after() {
    let date = ("date", "Sun, 22 Nov 2026 18:00:00 GMT");
    let rows: &[(&[(&str, &str)], Option<u64>)] = &[
        (&[("retry-after", "60")], Some(60)),
        (&[("retry-after", " 0 ")], Some(0)),
        (
            &[("retry-after", "99999999999999999999999")],
            Some(u64::MAX),
        ),
        // by our clock, then by the reply's own, then past
        (
            &[("retry-after", "Sun, 22 Nov 2026 19:02:00 GMT")],
            Some(120),
        ),
        (
            &[date, ("retry-after", "Sun, 22 Nov 2026 18:02:00 GMT")],
            Some(120),
        ),
        (&[("retry-after", "Sun, 22 Nov 2026 18:00:00 GMT")], Some(0)),
        (&[("retry-after", "-5")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "")], None),
        (&[], None),
    ];
    for status in [429, 503] {
        for (headers, seconds) in rows {
            let failure = reply(status, headers, b"busy").unwrap_err().failure();
            assert_eq!(
                failure.retry_after,
                seconds.map(Duration::from_secs),
                "{headers:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_panic_or_leak(
        status in 200_u16..600,
        body in proptest::collection::vec(any::<u8>(), 0..200),
        after in "\\PC{0,20}",
    ) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&after) {
            headers.insert(header::RETRY_AFTER, value);
        }
        check(status, &headers, &body);
    }

    #[test]
    fn no_json_panics_or_leaks(
        status in prop_oneof![Just(200_u16), 200_u16..600],
        access_token in "\\PC{0,10}|[a-z.]{1,20}",
        expires_in in prop_oneof![
            any::<f64>().prop_map(|n| serde_json::json!(n)),
            any::<i64>().prop_map(|n| serde_json::json!(n)),
            "\\PC{0,10}|-?[0-9]{0,25}(\\.[0-9]{0,3})?(e[0-9]{1,3})?".prop_map(|s| serde_json::json!(s)),
        ],
        error in proptest::option::of("\\PC{0,100}"),
    ) {
        let body = serde_json::json!({
            "access_token": access_token,
            "expires_in": expires_in,
            "refresh_expires_in": expires_in,
            "error": error,
            "error_description": error,
        });
        check(status, &HeaderMap::new(), body.to_string().as_bytes());
    }
}

fn check(status: u16, headers: &HeaderMap, body: &[u8]) {
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body,
    };
    let request = Request {
        sent_at: SENT_AT,
        unix_now: NOW,
        assume_lifetime: None,
        refresh_token: None,
        secrets: &[],
    };
    match parse(reply, &request) {
        Ok(granted) => {
            assert!((200..300).contains(&status));
            let token = granted.token;
            assert!(!token.access_token.expose_secret().is_empty());
            assert!(
                token
                    .access_token
                    .expose_secret()
                    .bytes()
                    .all(|b| b.is_ascii_graphic())
            );
            assert!((1..=YEAR).contains(&lifetime(&token)));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.chars().count() < 700 && !text.chars().any(char::is_control));
            assert_ne!(error.failure().delivery, Delivery::NotSent);
        }
    }
}
