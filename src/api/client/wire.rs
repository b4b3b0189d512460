//! Connects to the daemon, sends a request's bytes, and takes an answer's bytes apart.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::error::ClientError;

/// Connects to the daemon.
pub(super) fn connect(path: &Path) -> Result<UnixStream, ClientError> {
    let connect = || {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Also bounds connect(2), which otherwise waits for ever at a full queue.
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(GRACE))?;
        rustix::net::connect(&socket, &address)?;
        Ok(UnixStream::from(socket))
    };
    connect().map_err(|errno: Errno| {
        let (path, cause) = (path.into(), errno.into());
        match errno {
            Errno::ACCESS | Errno::PERM => ClientError::Forbidden { path, cause },
            Errno::AGAIN => ClientError::TimedOut(path),
            _ => ClientError::Unreachable { path, cause },
        }
    })
}

/// Sends a request. A client that the daemon turns away has its answer before it has asked.
pub(super) fn send(stream: &mut UnixStream, request: &[u8]) -> io::Result<()> {
    match stream.write_all(request) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// Reads what there is after what was `received`, and nothing at the end. When the daemon has not
/// read the request, the end of its answer is a reset.
pub(super) fn receive(
    stream: &mut UnixStream,
    chunk: &mut [u8],
    received: &[u8],
) -> io::Result<usize> {
    match stream.read(chunk) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset && !received.is_empty() => Ok(0),
        read => read,
    }
}

/// Takes status and body of an answer. The daemon always states the body's length, so a body that
/// was cut short is told from a whole one.
pub(super) fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n")?;
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())?;
    (body.len() == length).then_some((status.parse().ok()?, body))
}

/// How much longer than the request's own wait the daemon may take.
pub(super) const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(parse(whole), Some((200, b"ok".as_slice())));
        let other_case = b"HTTP/1.1 503 x\r\ncontent-length:  0\r\nx: y\r\n\r\n";
        assert_eq!(parse(other_case), Some((503, b"".as_slice())));
        for bad in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "HTTP/1.1 2\r\nContent-Length: 0\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
