//! Counts how many tokens are fresh, failing and pending.

use bearerd_core::refresh::Health;

/// How many tokens are fresh, failing and pending.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) fresh: usize,
    pub(super) failing: usize,
    pub(super) pending: usize,
}

impl Tally {
    pub(super) fn total(self) -> usize {
        self.fresh + self.failing + self.pending
    }

    /// Counts one token more.
    pub(super) fn enter(&mut self, health: Health) {
        *self.count(health) += 1;
    }

    /// Counts one token less.
    pub(super) fn leave(&mut self, health: Health) {
        *self.count(health) = self.count(health).saturating_sub(1);
    }

    fn count(&mut self, health: Health) -> &mut usize {
        match health {
            Health::Failing { .. } => &mut self.failing,
            Health::Fresh => &mut self.fresh,
            Health::Pending => &mut self.pending,
        }
    }
}
