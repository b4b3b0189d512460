//! The times that a reply's headers name.

use std::time::Duration;

use http::{HeaderMap, header};

use super::lifetime;

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date that counts from the reply's own
/// `Date`.
pub(in crate::oauth) fn retry_after(headers: &HeaderMap, unix_now: Duration) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only too large a number fails to parse.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = lifetime::http_date(value)?;
    Some(until.saturating_sub(date(headers).unwrap_or(unix_now)))
}

/// The reply's `Date` (RFC 9110 section 6.6.1), since the epoch.
pub(in crate::oauth) fn date(headers: &HeaderMap) -> Option<Duration> {
    lifetime::http_date(headers.get(header::DATE)?.to_str().ok()?)
}
