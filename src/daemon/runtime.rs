//! The runtimes that the daemon's two threads run their tasks in.

use std::time::Duration;

use tokio::runtime::Builder;

/// A runtime of one thread for tasks, and of up to `blocking` threads for work that blocks. These
/// end when there has been none for a while.
pub(super) fn runtime(blocking: usize) -> Builder {
    let mut runtime = Builder::new_current_thread();
    runtime
        .enable_all()
        .max_blocking_threads(blocking)
        .thread_keep_alive(Duration::from_secs(2));
    runtime
}
