//! How much a connection is in use, for the order in which connections make room for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Finished requests: their number orders connections by their last use.
#[derive(Default)]
pub(super) struct Finished {
    count: AtomicU64,
    ended: Notify,
}

impl Finished {
    /// Waits until a request has ended; one that ended since the last call counts.
    pub(super) async fn next(&self) {
        self.ended.notified().await;
    }
}

/// How much a connection is in use: readable by the acceptor, which closes the least used when it must.
#[derive(Clone)]
pub(in crate::api) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// A connection that has not sent a request: the first to go, in the order of arrival.
    pub(in crate::api) fn new(arrival: u64) -> Self {
        Self(Arc::new(AtomicU64::new(arrival)))
    }

    /// `None` while a request is under way; else the lower goes first.
    pub(in crate::api) fn idle_rank(&self) -> Option<u64> {
        let rank = self.0.load(Ordering::Relaxed);
        (rank != BUSY).then_some(rank)
    }

    pub(in crate::api) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) < HAS_SERVED
    }

    pub(super) fn begin(&self, finished: &Arc<Finished>) -> Busy {
        self.0.store(BUSY, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            finished: Arc::clone(finished),
        }
    }
}

/// A request under way, its event stream included; at its end the connection counts as used just now.
pub(in crate::api) struct Busy {
    activity: Activity,
    finished: Arc<Finished>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let order = self.finished.count.fetch_add(1, Ordering::Relaxed);
        self.activity.0.store(HAS_SERVED + order, Ordering::Relaxed);
        self.finished.ended.notify_one();
    }
}

/// A rank no idle connection has.
const BUSY: u64 = u64::MAX;
/// Ranks below are those of connections that have not sent a request.
const HAS_SERVED: u64 = 1 << 62;
