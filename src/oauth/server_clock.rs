//! How far a server's clock is ahead of this host's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ::http::HeaderMap;

use super::response::dates;
use crate::clock;

/// A server's clock, as far as its replies have shown it.
#[derive(Default)]
pub(super) struct ServerClock {
    /// Seconds ahead of this host's as of the last `Date`; 0 when they agree.
    ahead: AtomicI64,
}

impl ServerClock {
    /// Seconds that it is ahead of this host's (negative: behind); 0 when they agree to within a
    /// few seconds.
    pub(super) fn skew(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Time since the epoch, as far as its clock is known.
    pub(super) fn now(&self) -> Duration {
        let skew = self.skew();
        let by = Duration::from_secs(skew.unsigned_abs());
        if skew < 0 {
            clock::unix_now().saturating_sub(by)
        } else {
            clock::unix_now().saturating_add(by)
        }
    }

    /// Compares a reply's `Date` with this host's clock, which read `sent` before the request.
    /// `client` is whom a warning names.
    pub(super) fn note(&self, client: &str, headers: &HeaderMap, sent: Duration) {
        let Some(date) = dates::date(headers) else {
            return;
        };
        let seen = skew(date, sent, clock::unix_now());
        let seen = if seen.abs() > TOLERATED { seen } else { 0 };
        if (seen - self.skew()).abs() > TOLERATED {
            self.ahead.store(seen, Ordering::Relaxed);
            tracing::warn!(client, seconds = seen, "server's clock differs");
        }
    }
}

/// How many seconds `date` is outside the time from `sent` to `received`: a slow reply is no skew.
pub(super) fn skew(date: Duration, sent: Duration, received: Duration) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let (date, sent, received) = (seconds(date), seconds(sent), seconds(received));
    if date < sent {
        date - sent
    } else if date > received {
        date - received
    } else {
        0
    }
}

/// Seconds of difference that are ignored.
pub(super) const TOLERATED: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_what_lies_outside_the_exchange() {
        for (date, sent, received, expected) in [
            (100, 100, 100, 0),
            (110, 100, 130, 0),
            (90, 100, 130, -10),
            (3730, 100, 130, 3600),
        ] {
            let at = Duration::from_secs;
            assert_eq!(skew(at(date), at(sent), at(received)), expected);
        }
    }
}
