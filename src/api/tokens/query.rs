//! Reads what a reader asks for, and durations as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

use crate::api::problem::Problem;

/// How long a request may wait at most.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// The text is no duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a duration such as 90s, 5m or 1h30m")]
pub struct InvalidDuration;

/// Reads a duration with its unit. A bare number is ambiguous, and is refused.
///
/// # Errors
/// [`InvalidDuration`] for anything else, negative durations included.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let span: Span = text.parse().map_err(|_| InvalidDuration)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let duration = duration.map_err(|_| InvalidDuration)?;
    Duration::try_from(duration).map_err(|_| InvalidDuration)
}

/// What a reader asks of a token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Query {
    /// `min_ttl`: how long the token must still be valid, 0 by default.
    pub min_ttl: Option<Duration>,
    /// `wait`: how long the answer may take when there is no such token yet.
    pub wait: Option<Duration>,
}

impl Query {
    /// Reads a request's query, of which `allowed` are the known parameters.
    ///
    /// # Errors
    /// A usage [`Problem`] for unknown, repeated or malformed parameters, and for a wait above
    /// [`MAX_WAIT`].
    pub fn parse(query: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let slot = match key.as_ref() {
                "min_ttl" if allowed.contains(&"min_ttl") => &mut parsed.min_ttl,
                "wait" if allowed.contains(&"wait") => &mut parsed.wait,
                _ if allowed.is_empty() => return Err(Problem::usage("no query is known here")),
                _ => {
                    let known = allowed.join(", ");
                    return Err(Problem::usage(format!("unknown parameter; known: {known}")));
                }
            };
            let duration =
                parse_duration(&value).map_err(|e| Problem::usage(format!("{key}: {e}")))?;
            if slot.replace(duration).is_some() {
                return Err(Problem::usage(format!("{key} is given twice")));
            }
        }
        if parsed.wait.is_some_and(|wait| wait > MAX_WAIT) {
            return Err(Problem::usage("wait is at most 5m"));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |s| Ok(Duration::from_secs(s));
        assert_eq!(parse_duration("60s"), seconds(60));
        assert_eq!(parse_duration("5m"), seconds(300));
        assert_eq!(parse_duration("1h30m"), seconds(5400));
        assert_eq!(parse_duration("0s"), seconds(0));
        assert_eq!(parse_duration("1d"), seconds(86400));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "5", "-5s", "5 parsecs", "1y", "99999999999999999999s"] {
            assert_eq!(parse_duration(bad), Err(InvalidDuration), "{bad}");
        }
    }

    #[test]
    fn queries() {
        let both = ["min_ttl", "wait"];
        let parsed = Query::parse(Some("min_ttl=60s&wait=5m"), &both).unwrap();
        assert_eq!(parsed.min_ttl, Some(Duration::from_secs(60)));
        assert_eq!(parsed.wait, Some(MAX_WAIT));
        assert_eq!(Query::parse(None, &both).unwrap(), Query::default());
        for bad in [
            "wait=5m1s",
            "wait=1",
            "wait=1s&wait=1s",
            "min-ttl=1s",
            "x",
            "wait=",
        ] {
            assert!(Query::parse(Some(bad), &both).is_err(), "{bad}");
        }
        assert!(Query::parse(Some("min_ttl=1s"), &["wait"]).is_err());
        assert!(Query::parse(Some("wait=1s"), &[]).is_err());
    }
}
