//! How much a connection is in use, for the order in which connections make room for others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The requests that have ended. Their number orders connections by their last use.
#[derive(Default)]
pub(in crate::api) struct Finished {
    count: AtomicU64,
    ended: Notify,
}

impl Finished {
    /// Waits until a request has ended. One that has ended since the last call counts.
    pub(in crate::api) async fn next(&self) {
        self.ended.notified().await;
    }
}

/// Says how much a connection is in use. The acceptor reads it, and closes the least used when it
/// must.
#[derive(Clone)]
pub(in crate::api) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// Makes the activity of a connection that has not sent a request. Such connections are closed
    /// first, in the order of their arrival.
    pub(in crate::api) fn new(arrival: u64) -> Self {
        Self(Arc::new(AtomicU64::new(arrival)))
    }

    /// The rank of an idle connection: the one with the lowest rank is closed first. It is `None`
    /// while a request is under way.
    pub(in crate::api) fn idle_rank(&self) -> Option<u64> {
        let rank = self.0.load(Ordering::Relaxed);
        (rank != BUSY).then_some(rank)
    }

    /// Says whether the connection has not sent a request yet.
    pub(in crate::api) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) < HAS_SERVED
    }

    /// Marks the connection as one with a request under way.
    pub(in crate::api) fn begin(&self, finished: &Arc<Finished>) -> Busy {
        self.0.store(BUSY, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            finished: Arc::clone(finished),
        }
    }
}

/// A request under way, with its event stream. When it is dropped, the connection counts as used
/// just now.
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

/// The rank that no idle connection has.
const BUSY: u64 = u64::MAX;
/// The lowest rank of a connection that has sent a request.
const HAS_SERVED: u64 = 1 << 62;
