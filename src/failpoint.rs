//! Points at which a test ends the process as a power cut would. They exist with the feature `failpoints`
//! alone, which no release has.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!(
    "the feature failpoints is for tests alone: it lets the environment kill the daemon"
);

/// Kills the process here when `$BEARERD_FAILPOINT` is `NAME:N` and it comes by for the N-th time.
#[cfg(feature = "failpoints")]
pub fn pass(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PLANNED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let planned = std::env::var("BEARERD_FAILPOINT").ok()?;
        let (name, passes) = planned.split_once(':')?;
        Some((name.to_owned(), AtomicU32::new(passes.parse().ok()?)))
    });
    if let Some((planned, left)) = &*PLANNED
        && planned == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // It cannot be refused, and nothing runs after it.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass(_: &str) {}
