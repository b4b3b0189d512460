//! `--once`: looks whether every token has had its attempt, and how that went.

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{ErrorState, Health, Reason};

use super::entry::Entry;
use super::outcome::Outcome;
use super::tokens::Tokens;

/// A single pass over all tokens.
#[derive(Default)]
pub(super) struct SinglePass {
    /// A token that was not done at the last look. The next look begins there.
    waits_for: Option<TokenName>,
}

impl SinglePass {
    /// How the pass ended, once every token has had its attempt; `None` before that. When patience
    /// is over, a token that has had none counts as failing for now: a server that is down is asked
    /// by one token at a time, which can take long.
    ///
    /// Tokens are served about in the order of their names. Each look begins where the last one
    /// ended: with many tokens, not every turn looks at all of them.
    pub(super) fn outcome(&mut self, tokens: &Tokens, patience_over: bool) -> Option<Outcome> {
        let mut worst = None;
        for from in [self.waits_for.take(), None] {
            for (name, entry) in tokens.from(from.as_ref()) {
                if !patience_over && !is_done(entry) {
                    self.waits_for = Some(name.clone());
                    return None;
                }
                let state = match entry.status().health {
                    Health::Failing { state, .. } => Some(state),
                    Health::Fresh if entry.is_delivered() => None,
                    // An output that cannot be written now may be later.
                    Health::Fresh | Health::Pending => Some(ErrorState::Transient),
                };
                worst = worst.max(state);
            }
        }
        Some(worst.map_or(Outcome::AllFresh, Outcome::Failing))
    }
}

/// Whether a token has had its attempt, if it needed one, and its outputs theirs.
fn is_done(entry: &Entry) -> bool {
    let status = entry.status();
    let under_way = status.in_flight || status.queued;
    match status.health {
        // The refresh token is dead; where there is another way to a token, it is tried at once.
        Health::Failing {
            reason: Reason::RefreshTokenRefused | Reason::RotationLost,
            ..
        } => !under_way && status.next_attempt_at.is_none(),
        Health::Failing { .. } => true,
        // A token that was restored may be due.
        Health::Fresh => !under_way && (entry.is_delivered() || entry.has_output_errors()),
        Health::Pending => entry.has_output_errors(),
    }
}
