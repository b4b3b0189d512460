//! What a failure means for the schedule, written down by the part that knows it.

use bearerd_core::refresh::{Delivery, Failure, FailureKind};

/// A failure for which no server has said when to ask again.
pub(super) const fn failed(kind: FailureKind, delivery: Delivery) -> Failure {
    Failure {
        kind,
        delivery,
        retry_after: None,
        echo: false,
    }
}
