//! Whatever a token endpoint answers: no panic, no endless token, nothing unprintable in an error.
//!
//! Input: two bytes of status, one that chooses a header for the first line, that line, then the body.
#![no_main]

use std::time::Duration;

use bearerd::oauth::response::{Reply, Request, parse};
use bearerd_core::instant::Instant;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret, SecretString};

const SENT_AT: Instant = Instant::since_boot(Duration::from_secs(1000));
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

fuzz_target!(|input: &[u8]| {
    let Some(([high, low, which], rest)) = input.split_first_chunk() else {
        return;
    };
    let Ok(status) = StatusCode::from_u16(u16::from_be_bytes([*high, *low])) else {
        return;
    };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, body) = rest.split_at(end);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        let name = match which % 3 {
            0 => header::RETRY_AFTER,
            1 => header::DATE,
            _ => header::LOCATION,
        };
        headers.insert(name, value);
    }
    let used = SecretString::from("canary-refresh-token");
    let request = Request {
        sent_at: SENT_AT,
        unix_now: Duration::from_secs(1_795_374_000),
        assume_lifetime: None,
        refresh_token: Some(&used),
        secrets: &[&used],
    };
    let reply = Reply {
        status,
        headers: &headers,
        body,
    };
    match parse(reply, &request) {
        Ok(granted) => {
            assert!(status.is_success());
            let token = granted.token;
            let text = token.access_token.expose_secret();
            assert!(!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
            let lifetime = token.validity.expires_at - SENT_AT;
            assert!(lifetime >= Duration::from_secs(1) && lifetime <= YEAR);
            assert!(token.refresh_token.is_some());
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains("canary-refresh-token"));
            assert!(text.chars().count() < 1000 && !text.chars().any(char::is_control));
            let _ = (error.failure(), error.hint());
        }
    }
});
