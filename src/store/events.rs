//! What happens to tokens, for whoever follows it as it happens.
//!
//! A ring of bounded length: who does not keep up is told how much was missed, and reads the views again.
//! No token values in here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health};
use tokio::sync::broadcast;

use super::published::TokenView;
use crate::config::TokenConfig;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts from 1 since the daemon's start.
    pub id: u64,
    /// What it is about.
    pub topic: Topic,
}

/// What an event is about.
#[derive(Clone, Debug)]
pub enum Topic {
    /// A new configuration: in force, or refused for this reason.
    Configuration(Result<(), Arc<str>>),
    /// One token.
    Token(TokenEvent),
}

/// What happened to a token, and how it has stood since.
#[derive(Clone, Debug)]
pub struct TokenEvent {
    /// What happened.
    pub kind: Kind,
    /// Its configuration: who may learn of it.
    pub config: Arc<TokenConfig>,
    /// The core's word.
    pub health: Health,
    /// The number of the current token, and when it expires.
    pub current: Option<(u64, Instant)>,
}

/// What can happen to a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It has been added or its configuration has changed.
    Configured,
    /// It has expired without a replacement and is withdrawn.
    Expired,
    /// A request failed.
    Failed,
    /// Somebody has to log in or to provide a new refresh token.
    NeedsLogin,
    /// Readers get a new one from now on.
    Published,
    /// A request succeeded after others had failed.
    Recovered,
    /// It is no longer configured.
    Removed,
}

impl TokenEvent {
    /// The event of a token that stands so.
    #[must_use]
    pub fn new(kind: Kind, view: &TokenView) -> Self {
        let current = view.current.as_ref();
        Self {
            kind,
            config: Arc::clone(&view.config),
            health: view.standing.status.health,
            current: current.map(|held| (held.generation, held.token.validity.expires_at)),
        }
    }
}

/// What is compared of a token to tell what has happened to it.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    attempts: u64,
    generation: Option<u64>,
    health: Health,
}

impl From<&TokenView> for Snapshot {
    fn from(view: &TokenView) -> Self {
        Self {
            attempts: view.standing.status.attempts,
            generation: view.current.as_ref().map(|held| held.generation),
            health: view.standing.status.health,
        }
    }
}

impl Snapshot {
    /// What has happened between two looks at a token, in this order.
    fn kinds(self, after: Self) -> impl Iterator<Item = Kind> {
        let failing = |snapshot: Self| match snapshot.health {
            Health::Failing { state, .. } => Some(state),
            Health::Fresh | Health::Pending => None,
        };
        let again = after.attempts != self.attempts || after.health != self.health;
        let outcome = match (failing(self), failing(after)) {
            (_, Some(ErrorState::NeedsLogin)) => again.then_some(Kind::NeedsLogin),
            (_, Some(_)) => again.then_some(Kind::Failed),
            (Some(_), None) => Some(Kind::Recovered),
            (None, None) => None,
        };
        let supply = match (self.generation, after.generation) {
            (Some(_), None) => Some(Kind::Expired),
            (before, now) => (now > before).then_some(Kind::Published),
        };
        outcome.into_iter().chain(supply)
    }
}

/// Where events are sent and followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventBus {
    sender: broadcast::Sender<Event>,
    last_id: Arc<AtomicU64>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT),
            last_id: Arc::default(),
        }
    }
}

impl EventBus {
    /// Everything that is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// The number of the latest event; 0 before the first.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// Sends.
    pub fn send(&self, topic: Topic) {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody may be listening.
        let _ = self.sender.send(Event { id, topic });
    }

    /// Sends what has happened to a token since `before`.
    pub fn compare(&self, before: Snapshot, after: &TokenView) {
        for kind in before.kinds(Snapshot::from(after)) {
            self.send(Topic::Token(TokenEvent::new(kind, after)));
        }
    }
}

/// How far behind a follower may be.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use bearerd_core::refresh::Reason;

    const LOGIN: Health = Health::Failing {
        state: ErrorState::NeedsLogin,
        reason: Reason::LastError,
    };
    const TRANSIENT: Health = Health::Failing {
        state: ErrorState::Transient,
        reason: Reason::LastError,
    };

    #[test]
    fn what_has_happened() {
        let snapshot = |attempts, generation, health| Snapshot {
            attempts,
            generation,
            health,
        };
        let fresh = snapshot(1, Some(1), Health::Fresh);
        let failing = snapshot(2, Some(1), TRANSIENT);
        let cases: [(Snapshot, Snapshot, &[Kind]); 9] = [
            (fresh, fresh, &[]),
            (fresh, snapshot(2, Some(1), Health::Fresh), &[]),
            (
                fresh,
                snapshot(2, Some(2), Health::Fresh),
                &[Kind::Published],
            ),
            (fresh, failing, &[Kind::Failed]),
            (failing, failing, &[]),
            (failing, snapshot(3, Some(1), TRANSIENT), &[Kind::Failed]),
            (failing, snapshot(2, Some(1), LOGIN), &[Kind::NeedsLogin]),
            (failing, snapshot(2, None, TRANSIENT), &[Kind::Expired]),
            (
                snapshot(2, None, LOGIN),
                snapshot(3, Some(2), Health::Fresh),
                &[Kind::Recovered, Kind::Published],
            ),
        ];
        for (before, after, expected) in cases {
            let kinds: Vec<_> = before.kinds(after).collect();
            assert_eq!(kinds, expected, "{before:?} {after:?}");
        }
    }
}
