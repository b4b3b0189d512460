//! The receiving end of `$NOTIFY_SOCKET` (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use bearerd_core::instant::Instant;

/// One datagram.
#[derive(Clone, Debug)]
pub struct Notice {
    /// When it came.
    pub at: Instant,
    /// Its lines.
    pub lines: Vec<String>,
}

impl Notice {
    /// Whether a line is exactly this.
    #[must_use]
    pub fn says(&self, line: &str) -> bool {
        self.lines.iter().any(|own| own == line)
    }

    /// What follows `NAME=`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| line.split_once('='));
        values.find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

/// The socket, and everything that came in.
pub struct NotifySocket {
    /// For `$NOTIFY_SOCKET`.
    pub path: PathBuf,
    received: Arc<(Mutex<Vec<Notice>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl NotifySocket {
    /// Binds it.
    #[must_use]
    pub fn bind(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path).expect("a notify socket");
        let received = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let sink = Arc::clone(&received);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0_u8; 8192];
            // An empty datagram is our own and means the end.
            while let Ok(length @ 1..) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                let notice = Notice {
                    at: clock::now(),
                    lines: text.lines().map(str::to_owned).collect(),
                };
                lock(&sink.0).push(notice);
                sink.1.notify_all();
            }
        });
        Self {
            path: path.to_owned(),
            received,
            thread: Some(thread),
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn received(&self) -> Vec<Notice> {
        lock(&self.received.0).clone()
    }

    /// Waits for a notice with this line, among those after the first `skip`.
    #[must_use]
    pub fn wait(
        &self,
        skip: usize,
        timeout: Duration,
        matching: impl Fn(&Notice) -> bool,
    ) -> Option<Notice> {
        let deadline = clock::now() + timeout;
        let mut notices = lock(&self.received.0);
        loop {
            if let Some(found) = notices.iter().skip(skip).find(|notice| matching(notice)) {
                return Some(found.clone());
            }
            let left = deadline - clock::now();
            if left.is_zero() {
                return None;
            }
            let waited = self.received.1.wait_timeout(notices, left);
            notices = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let ended = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], &self.path));
        // Without the farewell the thread would wait for ever: then it is left to the process's end.
        if ended.is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn lock(notices: &Mutex<Vec<Notice>>) -> MutexGuard<'_, Vec<Notice>> {
    notices
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
