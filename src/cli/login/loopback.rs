//! The address where the browser ends when it runs on this host (RFC 8252 section 7.3).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::time::Duration;

use url::Url;

use crate::clock;

/// A port of this host, on both loopback addresses where there are two.
pub(super) struct Loopback {
    listeners: Vec<TcpListener>,
    port: u16,
}

impl Loopback {
    /// Takes a port, or any free one for 0. Returns `None` when the port is taken.
    pub(super) fn bind(port: u16) -> Option<Self> {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let port = first.local_addr().ok()?.port();
        let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
        let listeners = std::iter::once(first).chain(second).collect();
        Some(Self { listeners, port })
    }

    /// The port that was taken.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Hands over every address below the redirect URI that a browser asks for, until `take` wants
    /// no more.
    pub(super) fn serve(self, redirect_uri: &Url, take: impl Fn(String) -> bool + Sync) {
        std::thread::scope(|scope| {
            for listener in &self.listeners {
                scope.spawn(|| {
                    for stream in listener.incoming().filter_map(Result::ok) {
                        if let Some(address) = answer(stream, redirect_uri)
                            && !take(address)
                        {
                            return;
                        }
                    }
                });
            }
        });
    }
}

/// Answers one request, and returns its address if that is an answer to a login.
fn answer(mut stream: TcpStream, redirect_uri: &Url) -> Option<String> {
    let head = read_head(&mut stream).ok()?;
    let address = address(&head, redirect_uri);
    let (status, text) = match &address {
        Some(_) => (
            "200 OK",
            "bearerd has the answer. You can close this page.\n",
        ),
        None => ("404 Not Found", "there is nothing here\n"),
    };
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}"
    );
    let _ = stream.write_all(answer.as_bytes());
    address
}

fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let deadline = clock::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut head, mut part) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline - clock::now();
        if left.is_zero() || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            length => head.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    Ok(head)
}

/// Returns the address that a request line asks for, if it is the redirect URI with an answer.
fn address(head: &[u8], redirect_uri: &Url) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let target = head
        .lines()
        .next()?
        .strip_prefix("GET ")?
        .split(' ')
        .next()?;
    let asked = redirect_uri.join(target).ok()?;
    let ours = target.starts_with('/')
        && asked.origin() == redirect_uri.origin()
        && asked.path() == redirect_uri.path();
    let answers = asked.query_pairs().any(|(name, _)| name == "state");
    (ours && answers).then(|| asked.into())
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_HEAD: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_are_taken() {
        let redirect_uri: Url = "http://127.0.0.1:4711/cb".parse().unwrap();
        for (line, taken) in [
            (
                "GET /cb?code=c&state=s HTTP/1.1",
                Some("http://127.0.0.1:4711/cb?code=c&state=s"),
            ),
            (
                "GET /cb?error=x&state=s",
                Some("http://127.0.0.1:4711/cb?error=x&state=s"),
            ),
            ("GET /cb HTTP/1.1", None),
            ("GET /cb?code=c HTTP/1.1", None),
            ("GET /favicon.ico?state=s HTTP/1.1", None),
            ("GET //evil.example/cb?state=s HTTP/1.1", None),
            ("GET http://evil.example/cb?state=s HTTP/1.1", None),
            ("POST /cb?code=c&state=s HTTP/1.1", None),
            ("", None),
        ] {
            let head = format!("{line}\r\nHost: x\r\n\r\n");
            assert_eq!(
                address(head.as_bytes(), &redirect_uri).as_deref(),
                taken,
                "{line}"
            );
        }
    }
}
