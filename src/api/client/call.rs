//! Sends one request and reads its answer.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bearerd_core::instant::Instant;

use super::error::ClientError;
use super::wire::{GRACE, connect, parse, receive, send};
use crate::clock;

/// One request to the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method, `GET` or `POST`.
    pub method: &'a str,
    /// The path and the query.
    pub target: &'a str,
    /// The body in JSON, which may be empty.
    pub body: &'a str,
    /// How long the request lets the daemon wait.
    pub wait: Duration,
}

/// Sends one request over a connection of its own and returns the body of the answer.
///
/// # Errors
/// [`ClientError`] when there is no answer, and for every answer but a success.
pub fn call(socket: &Path, call: Call<'_>) -> Result<Vec<u8>, ClientError> {
    let deadline = clock::now() + call.wait + GRACE;
    let mut stream = connect(socket)?;
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: bearerd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        call.method,
        call.target,
        call.body.len()
    );
    let answer = send(&mut stream, (head + call.body).as_bytes())
        .and_then(|()| read_to_end(&mut stream, deadline))
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::TimedOut(socket.into())
            }
            _ => ClientError::Interrupted(cause),
        })?;
    let (status, body) = parse(&answer).ok_or_else(|| ClientError::Malformed(socket.into()))?;
    if (200..300).contains(&status) {
        return Ok(body.to_vec());
    }
    match serde_json::from_slice(body) {
        Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
        Err(_) => Err(ClientError::Malformed(socket.into())),
    }
}

fn read_to_end(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let left = deadline - clock::now();
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match receive(stream, &mut chunk, &answer) {
            Ok(0) if answer.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(answer),
            Ok(n) if answer.len() + n > MAX_ANSWER => {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// How many bytes an answer may have. They are enough for the status of 100,000 tokens.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn who_is_turned_away_hears_why() {
        for (asked_before, said) in [(true, "away"), (false, "away"), (true, ""), (false, "")] {
            let (mut client, mut daemon) = UnixStream::pair().unwrap();
            let ask = |client: &mut UnixStream| send(client, b"GET / HTTP/1.1").unwrap();
            if asked_before {
                ask(&mut client);
            }
            daemon.write_all(said.as_bytes()).unwrap();
            drop(daemon);
            if !asked_before {
                ask(&mut client);
            }
            let heard = read_to_end(&mut client, clock::now() + GRACE);
            let heard = heard.map_err(|e| e.kind());
            match (said, asked_before) {
                ("", true) => assert_eq!(heard, Err(io::ErrorKind::ConnectionReset)),
                ("", false) => assert_eq!(heard, Err(io::ErrorKind::UnexpectedEof)),
                _ => assert_eq!(heard, Ok(said.into())),
            }
        }
    }
}
