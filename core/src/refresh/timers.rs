//! Who is to be woken when: one ordered set, at most one entry for each token and each server.

use std::collections::BTreeSet;

use super::policy::ServerId;
use crate::credential::TokenName;
use crate::instant::Instant;

/// Whose timer. At the same instant all tokens come before the servers, which then choose among all
/// that are due.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Key {
    /// A token's.
    Token(TokenName),
    /// An authorization server's.
    Server(ServerId),
}

/// All timers.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Key)>);

impl Timers {
    /// Moves a timer. `armed` is where it stands, kept by its owner.
    pub(super) fn arm(
        &mut self,
        armed: &mut Option<Instant>,
        wake: Option<Instant>,
        key: impl FnOnce() -> Key,
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
    pub(super) fn pop_reached(&mut self, now: Instant) -> Option<Key> {
        let reached = self.first().is_some_and(|at| at <= now);
        if reached {
            self.0.pop_first().map(|(_, key)| key)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tokens_come_before_servers_and_a_moved_timer_leaves_nothing() {
        let mut timers = Timers::default();
        let at = |seconds| Some(Instant::since_boot(Duration::from_secs(seconds)));
        let token = || Key::Token(TokenName::parse("a").unwrap());
        let server = || Key::Server(ServerId("s".into()));
        let (mut token_armed, mut server_armed) = (None, None);
        timers.arm(&mut server_armed, at(5), server);
        timers.arm(&mut token_armed, at(3), token);
        timers.arm(&mut token_armed, at(5), token);
        assert_eq!(timers.first(), at(5));
        assert_eq!(timers.pop_reached(Instant::BOOT), None);
        let now = at(5).unwrap();
        assert_eq!(timers.pop_reached(now), Some(token()));
        timers.arm(&mut server_armed, None, server);
        assert_eq!((timers.pop_reached(now), server_armed), (None, None));
    }
}
