//! An application that reads a published file all the time.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;

use super::record::Log;
use super::server::Server;
use super::state::Shared;

/// What the readings came to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Readings {
    /// Readings that found a file.
    pub reads: u64,
    /// Readings that found no file.
    pub missing: u64,
    /// Readings of a token that an API would have refused at that time.
    pub rejected: u64,
    /// Readings of something that is no token at all: empty, cut, mixed.
    pub garbled: u64,
    /// Different tokens seen.
    pub tokens: u64,
}

/// Reads on its own thread until it is asked for the sum.
pub struct Reader {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    readings: Arc<Mutex<Readings>>,
}

impl Reader {
    /// Starts reading `path` every other millisecond.
    #[must_use]
    pub fn start(path: PathBuf, server: &Server) -> Self {
        let shared = server.shared();
        let (stop, stopped) = mpsc::channel();
        let readings = Arc::new(Mutex::new(Readings::default()));
        let sum = Arc::clone(&readings);
        let thread = std::thread::spawn(move || {
            let mut last = String::new();
            let pace = Duration::from_millis(2);
            while stopped.recv_timeout(pace) == Err(RecvTimeoutError::Timeout) {
                read(&path, &shared, &mut lock(&sum), &mut last);
            }
        });
        Self {
            stop,
            thread,
            readings,
        }
    }

    /// The sum so far.
    #[must_use]
    pub fn readings(&self) -> Readings {
        lock(&self.readings).clone()
    }

    /// Ends it.
    #[must_use]
    pub fn stop(self) -> Readings {
        let _ = self.stop.send(());
        self.thread.join().expect("a reader that did not panic");
        lock(&self.readings).clone()
    }
}

fn lock(readings: &Mutex<Readings>) -> MutexGuard<'_, Readings> {
    readings.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &PathBuf, shared: &Shared, readings: &mut Readings, last: &mut String) {
    // Asked before the file is opened: a token that expires while we look was good when we took it.
    let at = clock::now();
    let Ok(text) = std::fs::read_to_string(path) else {
        readings.missing += 1;
        return;
    };
    readings.reads += 1;
    let token = bearer(&text);
    let known = |log: &Log| log.find(token).map(|issued| issued.accepted_at(at));
    match shared.peek(known) {
        Some(accepted) => readings.rejected += u64::from(!accepted),
        None => readings.garbled += 1,
    }
    if token != last {
        readings.tokens += 1;
        token.clone_into(last);
    }
}

/// The token in a `raw` or `headers` file.
#[must_use]
pub fn bearer(text: &str) -> &str {
    let after = text.split_once("Bearer ").map_or(text, |(_, after)| after);
    after.lines().next().unwrap_or_default()
}
