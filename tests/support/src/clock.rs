//! The clocks of the tests: the same as the daemon's, read without it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bearerd_core::instant::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now, suspend included.
#[must_use]
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let elapsed = Duration::try_from(time).expect("a time after boot");
    Instant::since_boot(elapsed)
}

/// The wall clock: time since the epoch.
#[must_use]
pub fn unix_now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock that is set")
}
