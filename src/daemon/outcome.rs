//! How a run ended.

use bearerd_core::refresh::ErrorState;

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The daemon was told to stop.
    Stopped,
    /// With `--once`: every token is fresh and delivered.
    AllFresh,
    /// With `--once`: at least one token is not. The state is the one that most needs a person.
    Failing(ErrorState),
}
