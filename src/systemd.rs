//! What the daemon tells systemd (`sd_notify(3)`). Without systemd it tells nothing.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use bearerd_core::instant::Instant;
use sd_notify::NotifyState;
use tracing::warn;

use crate::clock;

/// The service manager, if there is one.
///
/// A thread does the sending: the socket's queue is short, and a service manager that does not read
/// it must not hold up the daemon.
#[derive(Debug)]
pub struct ServiceManager {
    messages: Option<SyncSender<Message>>,
    last_status: String,
    next_status_at: Instant,
}

#[derive(Debug)]
enum Message {
    Ready,
    Reloading { monotonic_usec: i128 },
    Status(String),
    Stopping,
    Watchdog,
}

impl ServiceManager {
    /// Finds the service manager that started this process, by `$NOTIFY_SOCKET`.
    #[must_use]
    pub fn of_process() -> Self {
        let messages = std::env::var_os("NOTIFY_SOCKET").and_then(|_| {
            let (sender, receiver) = sync_channel(QUEUE);
            let thread = thread::Builder::new().name("notify".into());
            match thread.spawn(move || send_all(&receiver)) {
                Ok(_) => Some(sender),
                Err(error) => {
                    warn!(%error, "the service manager cannot be notified");
                    None
                }
            }
        });
        Self {
            messages,
            last_status: String::new(),
            next_status_at: Instant::BOOT,
        }
    }

    /// Sends `READY=1`, at the end of start-up and of every reload.
    pub fn ready(&self) {
        self.send(Message::Ready);
    }

    /// Sends `RELOADING=1`, with the time that `Type=notify-reload` demands.
    pub fn reloading(&self) {
        let monotonic_usec = i128::try_from(clock::monotonic_usec()).unwrap_or(i128::MAX);
        self.send(Message::Reloading { monotonic_usec });
    }

    /// Sends `STOPPING=1`.
    pub fn stopping(&self) {
        self.send(Message::Stopping);
    }

    /// Sends `STATUS=…` if it differs from the last one. Returns when to call again if it was not
    /// sent now: thousands of tokens that are obtained together must not flood the service manager.
    pub fn status(&mut self, now: Instant, status: &str) -> Option<Instant> {
        if self.last_status == status {
            return None;
        }
        if now >= self.next_status_at {
            self.next_status_at = now + STATUS_SPACING;
            if self.send(Message::Status(status.to_owned())) {
                status.clone_into(&mut self.last_status);
                return None;
            }
        }
        Some(self.next_status_at)
    }

    /// Sends `WATCHDOG=1`. Only the main loop may call this, after a full turn, and only while
    /// clients are served.
    pub fn watchdog(&self) {
        self.send(Message::Watchdog);
    }

    /// Returns the longest time between two calls of [`ServiceManager::watchdog`]; half of it is a
    /// good interval.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    /// Queues a message. Returns `false` when there is no room for it.
    fn send(&self, message: Message) -> bool {
        let Some(messages) = &self.messages else {
            return true;
        };
        match messages.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn send_all(messages: &Receiver<Message>) {
    for message in messages {
        let sent = match &message {
            Message::Ready => sd_notify::notify(&[NotifyState::Ready]),
            Message::Reloading { monotonic_usec } => sd_notify::notify(&[
                NotifyState::Reloading,
                NotifyState::MonotonicUsec(*monotonic_usec),
            ]),
            Message::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
            Message::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Message::Watchdog => sd_notify::notify(&[NotifyState::Watchdog]),
        };
        if let Err(error) = sent {
            warn!(%error, "the service manager cannot be notified");
        }
    }
}

/// So many messages may wait to be sent.
const QUEUE: usize = 64;
/// The shortest time between two statuses, which people read.
const STATUS_SPACING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deaf_service_manager_holds_up_nothing_and_misses_no_status() {
        let (sender, receiver) = sync_channel(1);
        let mut service = ServiceManager {
            messages: Some(sender),
            last_status: String::new(),
            next_status_at: Instant::BOOT,
        };
        let at = |seconds| Instant::BOOT + Duration::from_secs(seconds);
        assert_eq!(service.status(at(1), "1 of 2 tokens fresh"), None);
        assert_eq!(service.status(at(1), "2 of 2 tokens fresh"), Some(at(2)));
        assert_eq!(service.status(at(2), "2 of 2 tokens fresh"), Some(at(3)));
        service.watchdog();
        let first = receiver.recv();
        assert!(matches!(first, Ok(Message::Status(text)) if text.starts_with('1')));
        assert_eq!(service.status(at(3), "2 of 2 tokens fresh"), None);
        let second = receiver.recv();
        assert!(matches!(second, Ok(Message::Status(text)) if text.starts_with('2')));
        assert_eq!(service.status(at(4), "2 of 2 tokens fresh"), None);
        assert!(receiver.try_recv().is_err(), "nothing new");
    }
}
