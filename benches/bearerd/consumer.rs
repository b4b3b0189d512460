//! What reads tokens: the same client for the daemon and for its floor.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection that is kept.
pub(crate) struct Consumer {
    stream: UnixStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Consumer {
    pub(crate) fn connect(socket: &Path, page: &str) -> Self {
        let head = format!("GET {page} HTTP/1.1\r\nHost: bearerd\r\n\r\n");
        Self {
            stream: UnixStream::connect(socket).expect("a server"),
            request: head.into_bytes(),
            buffer: vec![0; 16 * 1024],
        }
    }

    /// The whole answer, which is a success.
    pub(crate) fn read(&mut self) -> &[u8] {
        self.stream.write_all(&self.request).expect("a request");
        let mut length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[length..]);
            let read = read.expect("an answer");
            assert!(read > 0, "the connection was closed");
            length += read;
            if whole_length(&self.buffer[..length]) == Some(length) {
                return &self.buffer[..length];
            }
        }
    }
}

/// How long an answer is, once its head is there.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head of text");
    assert!(head.starts_with("HTTP/1.1 200 "), "no success: {head}");
    let (_, rest) = head.split_once("content-length: ").expect("a length");
    let (length, _) = rest.split_once('\r').expect("a line");
    Some(end + length.parse::<usize>().expect("a number"))
}
