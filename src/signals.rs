//! Signals as events.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: replace every token now.
    RefreshAll,
    /// SIGTERM or SIGINT: stop cleanly.
    Stop,
}

/// Catches the signals from here on. A thread waits for them, so that nothing polls.
///
/// # Errors
/// When the handlers or the thread cannot be set up.
pub fn listen() -> io::Result<mpsc::Receiver<Signal>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
    // More than a few waiting would only repeat themselves.
    let (sender, receiver) = mpsc::channel(8);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for number in signals.forever() {
                let signal = match number {
                    SIGHUP => Signal::Reload,
                    SIGUSR1 => Signal::RefreshAll,
                    _ => Signal::Stop,
                };
                if sender.blocking_send(signal).is_err() {
                    return;
                }
            }
        })?;
    Ok(receiver)
}
