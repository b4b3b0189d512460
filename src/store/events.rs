//! Tells followers what happens to tokens, while it happens.
//!
//! Events stand in a ring of bounded length. A follower that is too slow learns how many events it
//! has missed, and reads the views again. No event holds a token's value.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health};
use tokio::sync::broadcast;

use super::published::TokenView;
use crate::config::TokenConfig;

/// One thing that has happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The event's number: the first one since the daemon's start has number 1.
    pub id: u64,
    /// What the event is about.
    pub topic: Topic,
}

/// What an event is about.
#[derive(Clone, Debug)]
pub enum Topic {
    /// A new configuration has come into force, or was refused for this reason.
    Configuration(Result<(), Arc<str>>),
    /// Something has happened to one token.
    Token(TokenEvent),
}

/// What has happened to a token, and how the token stands since then.
#[derive(Clone, Debug)]
pub struct TokenEvent {
    /// What has happened to the token.
    pub kind: EventKind,
    /// The token's configuration, which says who may learn of the event.
    pub config: Arc<TokenConfig>,
    /// How the token stands, as the core says.
    pub health: Health,
    /// The generation of the current token and the time when it expires.
    pub current: Option<(u64, Instant)>,
}

impl TokenEvent {
    /// Makes the event of a token that stands as `view` says.
    #[must_use]
    pub fn new(kind: EventKind, view: &TokenView) -> Self {
        let current = view.current.as_ref();
        Self {
            kind,
            config: Arc::clone(&view.config),
            health: view.standing.status.health,
            current: current.map(|held| (held.generation, held.token.validity.expires_at)),
        }
    }
}

/// What can happen to a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// The token has been added, or its configuration has changed.
    Configured,
    /// The token has expired without a replacement and is withdrawn.
    Expired,
    /// A request for the token has failed.
    Failed,
    /// Somebody has to log in or to provide a new refresh token.
    NeedsLogin,
    /// Readers get a new token from now on.
    Published,
    /// A request has succeeded after others had failed.
    Recovered,
    /// The token is no longer configured.
    Removed,
}

/// The part of a token's view that is compared to find out what has happened to the token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
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
    /// Lists what has happened between two looks at a token, in the order in which it is sent.
    fn kinds(self, after: Self) -> impl Iterator<Item = EventKind> {
        let failing = |snapshot: Self| match snapshot.health {
            Health::Failing { state, .. } => Some(state),
            Health::Fresh | Health::Pending => None,
        };
        let again = after.attempts != self.attempts || after.health != self.health;
        let outcome = match (failing(self), failing(after)) {
            (_, Some(ErrorState::NeedsLogin)) => again.then_some(EventKind::NeedsLogin),
            (_, Some(_)) => again.then_some(EventKind::Failed),
            (Some(_), None) => Some(EventKind::Recovered),
            (None, None) => None,
        };
        let supply = match (self.generation, after.generation) {
            (Some(_), None) => Some(EventKind::Expired),
            (before, now) => (now > before).then_some(EventKind::Published),
        };
        outcome.into_iter().chain(supply)
    }
}

/// The place where events are sent and followed. It is cheap to clone.
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
    /// Follows everything that is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// The number of the latest event, which is 0 before the first.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// Sends one event to all who follow.
    pub fn send(&self, topic: Topic) {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody may be listening.
        let _ = self.sender.send(Event { id, topic });
    }

    /// Sends what has happened to a token since `before`.
    pub(super) fn compare(&self, before: Snapshot, after: &TokenView) {
        for kind in before.kinds(Snapshot::from(after)) {
            self.send(Topic::Token(TokenEvent::new(kind, after)));
        }
    }
}

/// How many events a follower may be behind.
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
        let cases: [(Snapshot, Snapshot, &[EventKind]); 9] = [
            (fresh, fresh, &[]),
            (fresh, snapshot(2, Some(1), Health::Fresh), &[]),
            (
                fresh,
                snapshot(2, Some(2), Health::Fresh),
                &[EventKind::Published],
            ),
            (fresh, failing, &[EventKind::Failed]),
            (failing, failing, &[]),
            (
                failing,
                snapshot(3, Some(1), TRANSIENT),
                &[EventKind::Failed],
            ),
            (
                failing,
                snapshot(2, Some(1), LOGIN),
                &[EventKind::NeedsLogin],
            ),
            (failing, snapshot(2, None, TRANSIENT), &[EventKind::Expired]),
            (
                snapshot(2, None, LOGIN),
                snapshot(3, Some(2), Health::Fresh),
                &[EventKind::Recovered, EventKind::Published],
            ),
        ];
        for (before, after, expected) in cases {
            let kinds: Vec<_> = before.kinds(after).collect();
            assert_eq!(kinds, expected, "{before:?} {after:?}");
        }
    }
}
