//! Follows the daemon's events.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::ClientError;
use super::wire::{connect, parse, receive, send};
use crate::clock;

/// Why following ended.
#[derive(Debug)]
pub enum End<E> {
    /// The daemon has ended, or its connection broke off.
    Daemon(Option<io::Error>),
    /// Nobody reads any more what is written.
    Reader,
    /// The daemon has not begun a stream.
    Refused(ClientError),
    /// The caller's function has failed with this error.
    Taken(E),
}

/// Hands each event's data to `take`, until the stream ends or `output` is closed at its other end.
pub fn follow<E>(
    socket: &Path,
    target: &str,
    output: BorrowedFd<'_>,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> End<E> {
    let mut stream = match connect(socket) {
        Ok(stream) => stream,
        Err(error) => return End::Refused(error),
    };
    // Of a client that speaks 1.0, the daemon expects no chunks to be read.
    let head = format!("GET {target} HTTP/1.0\r\nHost: bearerd\r\n\r\n");
    if let Err(cause) = send(&mut stream, head.as_bytes()) {
        return End::Daemon(Some(cause));
    }
    let mut lines = Lines::default();
    match lines.head(&mut stream, socket) {
        Ok(true) => {}
        Ok(false) => return End::Daemon(None),
        Err(error) => return End::Refused(error),
    }
    loop {
        while let Some(line) = lines.next() {
            if let Some(data) = line.strip_prefix(b"data: ")
                && let Err(error) = take(data)
            {
                return End::Taken(error);
            }
        }
        match wait(&stream, output) {
            Ok(Ready::Stream) => {}
            Ok(Ready::Output) => return End::Reader,
            Ok(Ready::Nothing) => return End::Refused(ClientError::TimedOut(socket.into())),
            Err(cause) => return End::Daemon(Some(cause)),
        }
        match lines.read(&mut stream) {
            Ok(0) => return End::Daemon(None),
            Ok(_) => {}
            Err(cause) => return End::Daemon(Some(cause)),
        }
    }
}

enum Ready {
    Nothing,
    Output,
    Stream,
}

fn wait(stream: &UnixStream, output: BorrowedFd<'_>) -> io::Result<Ready> {
    let mut both = [
        PollFd::new(stream, PollFlags::IN),
        PollFd::from_borrowed_fd(output, PollFlags::empty()),
    ];
    match poll(&mut both, Some(&SILENCE)) {
        Ok(0) => Ok(Ready::Nothing),
        Ok(_) if both[1].revents().is_empty() => Ok(Ready::Stream),
        Ok(_) => Ok(Ready::Output),
        Err(rustix::io::Errno::INTR) => wait(stream, output),
        Err(errno) => Err(errno.into()),
    }
}

/// The bytes that were received, and how many of them have been taken as lines.
#[derive(Default)]
struct Lines {
    received: Vec<u8>,
    taken: usize,
}

impl Lines {
    /// Reads the head of the answer. It is `false` when the daemon has ended before it was sent. An
    /// answer that is no stream is read to its end, for the problem that it holds.
    fn head(&mut self, stream: &mut UnixStream, socket: &Path) -> Result<bool, ClientError> {
        let malformed = || ClientError::Malformed(socket.into());
        let deadline = clock::now() + FIRST_ANSWER;
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|at| at == b"\r\n\r\n") {
                break at + 4;
            }
            let left = deadline - clock::now();
            if left.is_zero() {
                return Err(ClientError::TimedOut(socket.into()));
            }
            let read = stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.read(stream));
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(ClientError::TimedOut(socket.into()));
                }
                Err(cause) => return Err(ClientError::Interrupted(cause)),
            }
        };
        let status = self.received.get(9..12).ok_or_else(malformed)?;
        if !self.received.starts_with(b"HTTP/1.") {
            return Err(malformed());
        }
        if status == b"200" {
            self.taken = end;
            return Ok(true);
        }
        while self.read(stream).map_err(ClientError::Interrupted)? > 0 {}
        let (_, body) = parse(&self.received).ok_or_else(malformed)?;
        match serde_json::from_slice(body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(malformed()),
        }
    }

    fn read(&mut self, stream: &mut UnixStream) -> io::Result<usize> {
        self.received.drain(..self.taken);
        self.taken = 0;
        if self.received.len() > LONGEST_LINE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut chunk = [0; 8192];
        let length = receive(stream, &mut chunk, &self.received)?;
        self.received.extend_from_slice(&chunk[..length]);
        Ok(length)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = &self.received[self.taken..];
        let length = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..length].to_vec();
        self.taken += length + 1;
        Some(line)
    }
}

/// How long the daemon may take until the head of its answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long a line may be. An event about a configuration with very many mistakes is long.
const LONGEST_LINE: usize = 1024 * 1024;
/// How long the daemon may be silent: four heartbeats.
const SILENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};
