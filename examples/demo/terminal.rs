//! The terminal: a table redrawn in place, and keys.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// What a key or the script asks for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Action {
    Outage(bool),
    OutageToggled,
    Quit,
    Restart,
}

/// The table, redrawn in place on a terminal; else printed every few seconds.
pub(super) struct Screen {
    terminal: bool,
    drawn: usize,
    frames: u32,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            drawn: 0,
            frames: 0,
        }
    }

    pub(super) fn draw(&mut self, lines: &[String]) {
        const EVERY: u32 = 25;
        self.frames += 1;
        if self.terminal {
            self.rewind();
            let text: String = lines
                .iter()
                .map(|line| format!("\x1b[2K{line}\n"))
                .collect();
            print!("{text}");
            self.drawn = lines.len();
        } else if self.frames % EVERY == 1 {
            println!("{}\n", lines.join("\n"));
        }
        let _ = io::stdout().flush();
    }

    /// A line that stays above the table.
    pub(super) fn note(&mut self, line: &str) {
        self.rewind();
        println!("{}{line}", if self.terminal { "\x1b[J" } else { "" });
    }

    /// Green or yellow, on a terminal.
    pub(super) fn coloured(&self, text: &str, good: bool) -> String {
        match (self.terminal, good) {
            (false, _) => text.to_owned(),
            (true, true) => format!("\x1b[32m{text}\x1b[0m"),
            (true, false) => format!("\x1b[33m{text}\x1b[0m"),
        }
    }

    fn rewind(&mut self) {
        if self.drawn > 0 {
            print!("\x1b[{}A", self.drawn);
            self.drawn = 0;
        }
    }
}

/// Keys as they are pressed, one frame at a time. The terminal is as before when this is dropped.
pub(super) struct Keys {
    pressed: Receiver<u8>,
    before: Option<Termios>,
}

impl Keys {
    pub(super) fn listen(wanted: bool) -> Self {
        let (sender, pressed) = mpsc::channel();
        let before = tcgetattr(io::stdin()).ok().filter(|_| wanted);
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Control-C too comes as a key, so that nothing is left behind.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        }
        std::thread::spawn(move || {
            if wanted {
                let bytes = io::stdin().lock().bytes().map_while(Result::ok);
                let _ = bytes.map(|byte| sender.send(byte)).find(Result::is_err);
            } else {
                // Kept, for a receiver without a sender would not wait.
                std::mem::forget(sender);
            }
        });
        Self { pressed, before }
    }

    /// Waits one frame at most.
    pub(super) fn next(&self) -> Option<Action> {
        match self.pressed.recv_timeout(FRAME) {
            Ok(b'o') => Some(Action::OutageToggled),
            Ok(b'r') => Some(Action::Restart),
            Ok(b'q' | 3) => Some(Action::Quit),
            Ok(_) | Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Action::Quit),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

const FRAME: Duration = Duration::from_millis(200);
