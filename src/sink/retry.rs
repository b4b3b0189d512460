//! Pauses between tries at an output.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

/// How long to wait after failures. The pause doubles with each failure up to a cap, and a random
/// part of at least a half of it is waited.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// Returns the pause after this many failures in a row.
    pub(super) fn after(self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let full = self.first.saturating_mul(doubled).min(self.cap);
        let mut random = [0; 2];
        // Without randomness the pause is the full one.
        let thousandths = match getrandom(&mut random, GetRandomFlags::NONBLOCK) {
            Ok(_) => 500 + u32::from(u16::from_ne_bytes(random)) % 501,
            Err(_) => 1000,
        };
        full * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_never_falls_below_half() {
        let retry = Retry::default();
        for (failures, full) in [
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (40, 60),
            (u32::MAX, 60),
        ] {
            let full = Duration::from_secs(full);
            let pauses: Vec<_> = (0..200).map(|_| retry.after(failures)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| *pause >= full / 2 && *pause <= full)
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "no jitter");
        }
    }
}
