//! How long to wait after a failure.

use std::time::Duration;

use super::prng::Prng;

/// No two attempts of one token are closer than this, whatever happens.
pub const FLOOR: Duration = Duration::from_secs(1);

/// `Retry-After` is a server's wish, not its right to switch us off.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(10 * 60);

/// The longest wait after "unavailable": short, so that recovery is noticed soon. The circuit
/// breaker, not this cap, is what spares a server that is down.
pub const UNAVAILABLE_CAP: Duration = Duration::from_secs(60);

/// The longest wait after "too many requests" without `Retry-After`.
pub const RATE_LIMITED_CAP: Duration = Duration::from_secs(5 * 60);

/// How long to wait after so many failures, exponential with full jitter: between [`FLOOR`] and
/// `2^(failures - 1)` seconds, at most `cap`.
pub(super) fn delay(failures: u32, cap: Duration, prng: &mut Prng) -> Duration {
    let ceiling = doubled(FLOOR, failures).min(cap);
    prng.between(Duration::ZERO, ceiling).max(FLOOR)
}

/// How long to wait where only a person can mend what is wrong: 1 minute, growing to 15. Not
/// "never", because the mending may happen where it cannot be seen: a key is registered, or a
/// server's hour-old cache of our keys runs out.
pub(super) fn slow_delay(failures: u32, prng: &mut Prng) -> Duration {
    let ceiling = doubled(SLOW_BASE, failures).min(SLOW_CAP);
    prng.between(ceiling / 2, ceiling)
}

/// How long `Retry-After` asks to wait, as far as it is heeded.
pub(super) fn heeded(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(RETRY_AFTER_CAP)
}

fn doubled(base: Duration, failures: u32) -> Duration {
    base.saturating_mul(1 << failures.saturating_sub(1).min(16))
}

const SLOW_BASE: Duration = Duration::from_secs(60);
const SLOW_CAP: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn extremes(failures: u32) -> (Duration, Duration) {
        let mut prng = Prng::new(3);
        let drawn = (0..2000).map(|_| delay(failures, UNAVAILABLE_CAP, &mut prng));
        drawn.fold((Duration::MAX, Duration::ZERO), |(low, high), d| {
            (low.min(d), high.max(d))
        })
    }

    #[test]
    fn grows_from_the_floor_to_the_cap() {
        assert_eq!(extremes(1), (FLOOR, FLOOR));
        for (failures, seconds) in [(2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            let (low, high) = extremes(failures);
            assert_eq!(low, FLOOR);
            assert!(high <= Duration::from_secs(seconds), "{failures}: {high:?}");
            assert!(
                high > Duration::from_secs(seconds) * 9 / 10,
                "{failures}: {high:?}"
            );
        }
    }

    #[test]
    fn a_cap_below_the_floor_is_the_floor() {
        assert_eq!(delay(9, Duration::ZERO, &mut Prng::new(1)), FLOOR);
    }

    #[test]
    fn slow_delay_is_minutes() {
        let mut prng = Prng::new(5);
        for failures in [1, 2, 5, 100] {
            let d = slow_delay(failures, &mut prng);
            assert!((SLOW_BASE / 2..=SLOW_CAP).contains(&d), "{d:?}");
        }
        assert!(slow_delay(100, &mut prng) >= SLOW_CAP / 2);
    }

    #[test]
    fn retry_after_is_capped() {
        assert_eq!(heeded(None), Duration::ZERO);
        assert_eq!(heeded(Some(FLOOR)), FLOOR);
        assert_eq!(heeded(Some(Duration::MAX)), RETRY_AFTER_CAP);
    }
}
