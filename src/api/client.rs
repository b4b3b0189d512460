//! The command line's side of the socket: blocking, so that reading a token starts no runtime and no TLS.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bearerd_core::instant::Instant;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::problem::Problem;
use crate::clock;
use crate::config::Environment;

/// Why a request got no answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon has ended while its events were followed.
    #[error("the daemon at {} has ended", path.display())]
    Ended {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The socket's permissions.
    #[error("cannot connect to {}", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the daemon broke the connection off")]
    Interrupted(#[source] io::Error),
    /// Not what bearerd answers.
    #[error("the answer at {} makes no sense; does bearerd listen there?", .0.display())]
    Malformed(PathBuf),
    /// The daemon's own word.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No answer in time.
    #[error("the daemon at {} has not answered in time", .0.display())]
    TimedOut(PathBuf),
    /// Nobody listens.
    #[error("cannot reach the daemon at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}

/// Where the daemon's socket is: as given, else `$BEARERD_SOCKET`, else the user's own daemon where there is
/// one, else the system's.
#[must_use]
pub fn socket_path(given: Option<PathBuf>, environment: &Environment) -> PathBuf {
    let named = environment.var("BEARERD_SOCKET").filter(|p| !p.is_empty());
    if let Some(path) = given.or_else(|| named.map(PathBuf::from)) {
        return path;
    }
    environment
        .directory("XDG_RUNTIME_DIR")
        .map(|directory| directory.join("bearerd/bearerd.sock"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/run/bearerd/bearerd.sock"))
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The body, JSON; may be empty.
    pub body: &'a str,
    /// How long the daemon may take by the request's own word.
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

/// Sends a request. Whom the daemon turns away has its answer before it has asked.
pub(super) fn send(stream: &mut UnixStream, request: &[u8]) -> io::Result<()> {
    match stream.write_all(request) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

/// Reads what there is, after what was `received`; nothing at the end. That a request was not read makes the
/// end of its answer a reset.
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

/// Status and body. The daemon always states the body's length, so a cut one is told from a whole one.
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

/// What the daemon may take beyond a request's own wait.
const GRACE: Duration = Duration::from_secs(10);
/// Enough for the status of 100,000 tokens.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

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

    #[test]
    fn the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().to_str().unwrap();
        let user = directory.path().join("bearerd/bearerd.sock");
        let system = Path::new("/run/bearerd/bearerd.sock");
        let both = Environment::from([("BEARERD_SOCKET", "/b"), ("XDG_RUNTIME_DIR", runtime)]);
        let runtime_only = Environment::from([("XDG_RUNTIME_DIR", runtime)]);
        assert_eq!(socket_path(Some("/a".into()), &both), Path::new("/a"));
        assert_eq!(socket_path(None, &both), Path::new("/b"));
        assert_eq!(socket_path(None, &runtime_only), system);
        std::fs::create_dir(directory.path().join("bearerd")).unwrap();
        std::fs::File::create(&user).unwrap();
        assert_eq!(socket_path(None, &runtime_only), user);
        assert_eq!(socket_path(None, &Environment::default()), system);
    }
}
