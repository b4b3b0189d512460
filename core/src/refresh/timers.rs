//! Who is to be woken when: one ordered set, at most one entry for each token or server.

use std::collections::BTreeSet;

use crate::instant::Instant;

/// The timers of all tokens, or of all servers. At the same instant they go off in the order of the
/// names.
#[derive(Debug)]
pub(super) struct Timers<K>(BTreeSet<(Instant, K)>);

impl<K: Ord> Timers<K> {
    /// Moves a timer. `armed` is the instant it is set to, kept by its owner.
    pub(super) fn arm(
        &mut self,
        armed: &mut Option<Instant>,
        wake: Option<Instant>,
        key: impl FnOnce() -> K,
    ) {
        if *armed == wake {
            return;
        }
        let mut entry = (armed.unwrap_or_default(), key());
        if armed.is_some() {
            self.0.remove(&entry);
        }
        if let Some(at) = wake {
            entry.0 = at;
            self.0.insert(entry);
        }
        *armed = wake;
    }

    /// The first timer's instant.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the first timer that has been reached. Its owner is then unarmed.
    pub(super) fn pop_reached(&mut self, now: Instant) -> Option<K> {
        let reached = self.first().is_some_and(|at| at <= now);
        if reached {
            self.0.pop_first().map(|(_, key)| key)
        } else {
            None
        }
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moved_timer_leaves_nothing() {
        let mut timers = Timers::default();
        let at = |seconds| Some(Instant::since_boot(Duration::from_secs(seconds)));
        let (mut a_armed, mut b_armed) = (None, None);
        timers.arm(&mut b_armed, at(5), || "b");
        timers.arm(&mut a_armed, at(3), || "a");
        timers.arm(&mut a_armed, at(5), || "a");
        assert_eq!(timers.first(), at(5));
        assert_eq!(timers.pop_reached(Instant::BOOT), None);
        let now = at(5).unwrap();
        assert_eq!(timers.pop_reached(now), Some("a"));
        timers.arm(&mut b_armed, None, || "b");
        assert_eq!((timers.pop_reached(now), b_armed), (None, None));
    }
}
