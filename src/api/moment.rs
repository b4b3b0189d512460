//! Turns instants into the time of the world.

use std::time::Duration;

use bearerd_core::instant::Instant;

use crate::clock;

/// One moment on both clocks, which turns an [`Instant`] into the time of the world.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The moment on the clock that nobody sets.
    pub now: Instant,
    /// The moment on the wall clock, since the epoch.
    pub unix: Duration,
}

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self {
            now: clock::now(),
            unix: clock::unix_now(),
        }
    }

    /// The seconds from the epoch until `instant`.
    #[must_use]
    pub fn epoch_seconds(self, instant: Instant) -> u64 {
        let at = if instant >= self.now {
            self.unix.saturating_add(instant - self.now)
        } else {
            self.unix.saturating_sub(self.now - instant)
        };
        at.as_secs()
    }

    /// The whole seconds from now until `instant`. They are rounded down, as a promise must not be
    /// too long.
    #[must_use]
    pub fn seconds_until(self, instant: Instant) -> u64 {
        (instant - self.now).as_secs()
    }
}
