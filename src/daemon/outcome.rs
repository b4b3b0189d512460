//! How a run ended.

use crate::credential::TokenName;
use crate::refresh::{ErrorState, Health};

use super::tokens::Tokens;

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
    ///
    /// Tokens are served about in the order of their names. `waited_for` is where the last look ended and
    /// the next one begins: with many tokens, not every turn looks at all of them.
    pub(super) fn of_single_pass(
        tokens: &Tokens,
        waited_for: &mut Option<TokenName>,
    ) -> Option<Self> {
        let mut worst = None;
        for from in [waited_for.take(), None] {
            for (name, entry) in tokens.from(from.as_ref()) {
                let state = match entry.status().health {
                    Health::Failing { state, .. } => Some(state),
                    Health::Fresh if entry.is_delivered() => None,
                    // An output that cannot be written now may be later.
                    _ if entry.has_output_errors() => Some(ErrorState::Transient),
                    _ => {
                        *waited_for = Some(name.clone());
                        return None;
                    }
                };
                worst = worst.max(state);
            }
        }
        Some(worst.map_or(Self::AllFresh, Self::Failing))
    }
}
