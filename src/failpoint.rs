//! Points at which a test ends the process as a power cut would, or has a task or a thread hang. They exist with the
//! feature `failpoints` alone, which no release has.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!(
    "the feature failpoints is for tests alone: it lets the environment kill the daemon"
);

/// Kills the process here when `$BEARERD_FAILPOINT` is `NAME:N` and it comes by for the N-th time.
#[cfg(feature = "failpoints")]
pub fn pass(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};

    if is_due(name) {
        // It cannot be refused, and nothing runs after it.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass(_: &str) {}

/// Has the task that comes by hang for ever, on the same terms as [`pass`] kills.
#[cfg(feature = "failpoints")]
pub async fn hang(name: &str) {
    if is_due(name) {
        tracing::warn!("hangs at {name}");
        std::future::pending::<()>().await;
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub async fn hang(_: &str) {}

/// Has the thread that comes by hang for ever, on the same terms.
#[cfg(feature = "failpoints")]
pub fn stall(name: &str) {
    if is_due(name) {
        tracing::warn!("stalls at {name}");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn stall(_: &str) {}

#[cfg(feature = "failpoints")]
fn is_due(name: &str) -> bool {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PLANNED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let planned = std::env::var("BEARERD_FAILPOINT").ok()?;
        let (name, passes) = planned.split_once(':')?;
        Some((name.to_owned(), AtomicU32::new(passes.parse().ok()?)))
    });
    PLANNED
        .as_ref()
        .is_some_and(|(planned, left)| planned == name && left.fetch_sub(1, Ordering::Relaxed) == 1)
}
