//! How long a token lives, by whatever the server says about it. Pure.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Taken when nothing names a lifetime and `assume_lifetime` is not set: the shortest that is
/// common (Keycloak's default). A token is better than none, and none is valid for ever.
pub(in crate::oauth) const FALLBACK: Duration = Duration::from_secs(300);

/// Longer is taken for nonsense, such as milliseconds; a token replaced once a year does no harm.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What the reply says: `expires_in`, else an absolute sibling (Microsoft Entra v1, ASP.NET). Zero,
/// negative and unreadable values say nothing.
pub(super) fn stated(members: &Map<String, Value>, unix_now: Duration) -> Option<Duration> {
    let expires_in = members.get("expires_in").and_then(seconds);
    let sibling = || {
        ["expires_on", "expires_at", ".expires"]
            .iter()
            .find_map(|name| members.get(*name).and_then(point))
            .and_then(|at| at.checked_sub(unix_now))
    };
    expires_in.or_else(sibling).and_then(usable)
}

/// What a JWT's own `exp` says, unverified: it is the server's word, by the connection it came on.
pub(super) fn of_jwt(access_token: &str, unix_now: Duration) -> Option<Duration> {
    let mut parts = access_token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    let exp = claims.get("exp").and_then(seconds)?;
    let left = exp.checked_sub(unix_now)?;
    // However wrong the clock is, what is left is not more than the whole.
    let iat = claims.get("iat").and_then(seconds).unwrap_or_default();
    usable(left.min(exp.saturating_sub(iat)))
}

/// How long a refresh token lives, under the names that servers use: `refresh_expires_in`
/// (Keycloak), `refresh_token_expires_in` (NHS England, Apigee, AD FS, GitHub),
/// `x_refresh_token_expires_in` (QuickBooks), or a point in time. Zero means that no limit is
/// stated, not that there is none.
pub(super) fn of_refresh_token(
    members: &Map<String, Value>,
    unix_now: Duration,
) -> Option<Duration> {
    let lifetimes = [
        "refresh_expires_in",
        "refresh_token_expires_in",
        "x_refresh_token_expires_in",
    ];
    let ends = [
        "refresh_token_expires_at",
        "refresh_token_expires_on",
        "refresh_expires_at",
    ];
    let mut lifetimes = lifetimes.iter();
    let lifetime = lifetimes.find_map(|name| members.get(*name).and_then(seconds));
    let end = || {
        let mut ends = ends.iter();
        ends.find_map(|name| members.get(*name).and_then(point))?
            .checked_sub(unix_now)
    };
    lifetime.or_else(end).and_then(usable)
}

/// An HTTP date, since the epoch (RFC 9110 section 5.6.7).
pub(super) fn http_date(value: &str) -> Option<Duration> {
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    date.duration_since(UNIX_EPOCH).ok()
}

fn usable(lifetime: Duration) -> Option<Duration> {
    (lifetime >= Duration::from_secs(1)).then(|| lifetime.min(LONGEST))
}

/// Whole seconds from a number or from a string that holds one (Apigee, PayPal, Microsoft Entra
/// v1).
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Rust reads "inf" and "nan" as numbers; neither is a number of seconds.
    let sensible = number.is_finite() && number > 0.0;
    sensible.then(|| Duration::try_from_secs_f64(number.trunc()).unwrap_or(Duration::MAX))
}

/// A point in time: epoch seconds, epoch milliseconds, RFC 3339, or an HTTP date.
fn point(value: &Value) -> Option<Duration> {
    if let Some(number) = seconds(value) {
        let milliseconds = number > Duration::from_secs(100_000_000_000);
        return Some(if milliseconds { number / 1000 } else { number });
    }
    let text = value.as_str()?;
    let rfc3339 = || {
        let at: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Duration::from_secs(u64::try_from(at.as_second()).ok()?))
    };
    http_date(text).or_else(rfc3339)
}
