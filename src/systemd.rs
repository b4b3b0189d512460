//! What the daemon tells systemd (`sd_notify(3)`). Without systemd, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::clock;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct ServiceManager {
    last_status: String,
}

impl ServiceManager {
    /// `READY=1`: at the end of start-up, and of every reload.
    pub fn ready(&self) {
        send(&[NotifyState::Ready]);
    }

    /// `RELOADING=1`, with the time that `Type=notify-reload` demands beside it.
    pub fn reloading(&self) {
        let usec = i128::try_from(clock::monotonic_usec()).unwrap_or(i128::MAX);
        send(&[NotifyState::Reloading, NotifyState::MonotonicUsec(usec)]);
    }

    /// `STOPPING=1`.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// `STATUS=…`, when it differs from the last one.
    pub fn status(&mut self, status: &str) {
        if self.last_status != status {
            self.last_status = status.to_owned();
            send(&[NotifyState::Status(status)]);
        }
    }

    /// `WATCHDOG=1`. Only the main loop may send this, after a full turn.
    pub fn watchdog(&self) {
        send(&[NotifyState::Watchdog]);
    }

    /// How often the watchdog wants to be fed, at the latest; half of that is a good interval.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager cannot be notified");
    }
}
