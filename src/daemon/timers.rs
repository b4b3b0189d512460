//! Two waits that may not be there: for the required tokens, and for the watchdog's next feeding.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

/// The bounded wait for the required tokens.
pub(super) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Begins to wait.
    pub(super) fn begin() -> Self {
        Self(Some(Box::pin(sleep(PATIENCE))))
    }

    /// Waits until the time is up; for ever once it has been up, or the wait has been ended.
    pub(super) async fn over(&mut self) {
        match &mut self.0 {
            Some(sleep) => {
                sleep.as_mut().await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }

    /// Ends the wait: nothing is waited for any more.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

/// The rhythm in which the service manager's watchdog is fed.
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Twice as often as the watchdog demands, as `sd_watchdog_enabled(3)` advises; never if it
    /// demands nothing.
    pub(super) fn new(demanded: Option<Duration>) -> Self {
        Self(demanded.map(|demanded| {
            let mut interval = interval(demanded / 2);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until the watchdog is to be fed again.
    pub(super) async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// Readiness waits this long for the required tokens. Then the daemon says that it is degraded, so
/// that a boot does not hang on somebody else's server.
const PATIENCE: Duration = Duration::from_secs(60);
