//! What the daemon tells systemd (`sd_notify(3)`). Without systemd, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::clock;
use crate::instant::Instant;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct ServiceManager {
    last_status: String,
    next_status_at: Instant,
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

    /// `STATUS=…`, when it differs from the last one; returns when to come again where that was too recent.
    ///
    /// Thousands of tokens obtained together must not flood the service manager: its queue is short, and
    /// sending waits while it is full.
    pub fn status(&mut self, now: Instant, status: &str) -> Option<Instant> {
        if self.last_status == status {
            return None;
        }
        if now < self.next_status_at {
            return Some(self.next_status_at);
        }
        self.last_status = status.to_owned();
        self.next_status_at = now + STATUS_SPACING;
        send(&[NotifyState::Status(status)]);
        None
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

/// People read it.
const STATUS_SPACING: Duration = Duration::from_secs(1);
