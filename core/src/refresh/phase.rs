//! What happens next with a token.

use super::event::{AttemptId, Use};
use super::limiter::Place;
use crate::instant::Instant;

/// What happens next with a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// A request is under way.
    InFlight(InFlight),
    /// A request is due, and waits for its authorization server's limiter.
    Queued(Place),
    /// The token becomes due at this instant; with `None`, only a change makes it due.
    Resting(Option<Instant>),
}

impl Phase {
    /// When the phase ends by itself.
    pub(super) fn ends_at(self) -> Option<Instant> {
        match self {
            Self::InFlight(request) => Some(request.deadline),
            Self::Queued(_) => None,
            Self::Resting(due) => due,
        }
    }

    /// When the next request is due, unless one is waiting or under way.
    pub(super) fn due(self) -> Option<Instant> {
        match self {
            Self::InFlight(_) | Self::Queued(_) => None,
            Self::Resting(due) => due,
        }
    }

    /// Whether this attempt is the one under way.
    pub(super) fn is_attempt(self, attempt: AttemptId) -> bool {
        match self {
            Self::InFlight(request) => request.attempt == attempt,
            Self::Queued(_) | Self::Resting(_) => false,
        }
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct InFlight {
    /// The number of the attempt.
    pub(super) attempt: AttemptId,
    /// The grant that the request uses.
    pub(super) by: Use,
    /// From here on the request counts as lost.
    pub(super) deadline: Instant,
    /// The token that was held when the request was sent, named by its `obtained_at`.
    pub(super) basis: Option<Instant>,
}
