//! Tells the world's time of the instants that the core knows.

use std::time::Duration;

use bearerd_core::instant::Instant;

use crate::clock;

/// One moment on both clocks, to tell the world's time of an [`Instant`].
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// On the clock that nothing moves.
    pub now: Instant,
    /// The wall clock then, since the epoch.
    pub unix: Duration,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self {
            now: clock::now(),
            unix: clock::unix_now(),
        }
    }

    /// Seconds since the epoch at `instant`.
    #[must_use]
    pub fn epoch_seconds(self, instant: Instant) -> u64 {
        let at = if instant >= self.now {
            self.unix.saturating_add(instant - self.now)
        } else {
            self.unix.saturating_sub(self.now - instant)
        };
        at.as_secs()
    }

    /// Whole seconds from now until `instant`, rounded down: a promise must not be too long.
    #[must_use]
    pub fn seconds_until(self, instant: Instant) -> u64 {
        (instant - self.now).as_secs()
    }
}
