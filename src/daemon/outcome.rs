//! How a run ended.

use crate::refresh::{ErrorState, Health};

use super::entry::Entry;

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// `--once`: every token is fresh and delivered.
    AllFresh,
    /// `--once`: at least one token is not; the state that most needs a person.
    Failing(ErrorState),
}

impl Outcome {
    /// The outcome of a single pass, once every token has had its attempt; `None` before that.
    pub(super) fn of_single_pass<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<Self> {
        let mut worst = None;
        for entry in entries {
            let standing = entry.standing();
            let state = match standing.status.health {
                Health::Failing { state, .. } => Some(state),
                Health::Fresh if entry.is_delivered() => None,
                // An output that cannot be written now may be later.
                _ if entry.has_output_errors() => Some(ErrorState::Transient),
                _ => return None,
            };
            worst = worst.max(state);
        }
        Some(worst.map_or(Self::AllFresh, Self::Failing))
    }
}
