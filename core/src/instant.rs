//! A point in time that neither suspend nor a wall-clock step can move.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Time since this machine booted, suspend included (`CLOCK_BOOTTIME`).
///
/// Unlike [`std::time::Instant`] it can be written down together with the boot id and be built in a
/// test, and it does not stand still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(Duration);

impl Instant {
    /// The instant of boot.
    pub const BOOT: Self = Self(Duration::ZERO);

    /// The instant this long after boot.
    #[must_use]
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after boot this instant is.
    #[must_use]
    pub const fn elapsed_since_boot(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved back by `duration`, but not before boot.
    #[must_use]
    pub const fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: an absurd lifetime from a server means "very late", never an overflow.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}
