//! Randomness from a seed.

use crate::credential::TokenName;
use std::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014): enough for jitter, and a run repeats from its seed.
#[derive(Clone, Debug)]
pub(super) struct Prng(u64);

impl Prng {
    /// A sequence that the seed determines.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        mix(self.0)
    }

    /// A duration in `[low, high)`; `low` when that is empty.
    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + fraction_of(high.saturating_sub(low), self.next())
    }
}

/// A number for this token that stays the same over restarts, and differs between hosts by the
/// seed.
pub(super) fn stable_hash(seed: u64, name: &TokenName) -> u64 {
    let fnv_1a = name
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    mix(fnv_1a)
}

/// A part of `whole` in `[0, whole)`, as large as `bits` is among all 64-bit numbers.
pub(super) fn fraction_of(whole: Duration, bits: u64) -> Duration {
    // Shifts instead of floats: exact, and never rounded up to the whole.
    let nanos = (whole.as_nanos().min(u128::from(u64::MAX)) * u128::from(bits)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_stays_between() {
        let mut prng = Prng::new(7);
        let (low, high) = (Duration::from_secs(1), Duration::from_secs(3));
        let drawn: Vec<_> = (0..1000).map(|_| prng.between(low, high)).collect();
        assert!(drawn.iter().all(|d| (low..high).contains(d)));
        assert!(drawn.iter().min() < Some(&Duration::from_millis(1010)));
        assert!(drawn.iter().max() > Some(&Duration::from_millis(2990)));
        assert_eq!(prng.between(high, low), high);
    }

    #[test]
    fn fraction_of_the_largest_duration_does_not_overflow() {
        assert!(fraction_of(Duration::MAX, u64::MAX) < Duration::MAX);
        assert_eq!(fraction_of(Duration::ZERO, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn hash_depends_on_seed_and_name() {
        let (a, b) = (
            TokenName::parse("a").unwrap(),
            TokenName::parse("b").unwrap(),
        );
        assert_eq!(stable_hash(1, &a), stable_hash(1, &a));
        assert_ne!(stable_hash(1, &a), stable_hash(1, &b));
        assert_ne!(stable_hash(1, &a), stable_hash(2, &a));
    }
}
