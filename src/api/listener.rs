//! Binds the socket, accepts, and keeps clients from standing in each other's way.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::sleep;

use super::connection::{self, Activity, Server};
use super::{Api, oidc_agent};
use crate::clock;
use crate::instant::Instant;
use crate::store::Registry;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Accepting failed for good.
    #[error("the socket no longer accepts connections")]
    Accept(#[source] io::Error),
    /// The system refuses the socket.
    #[error("cannot listen on {}", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// Another daemon listens there.
    #[error("cannot listen on {}: another process does", .0.display())]
    InUse(PathBuf),
    /// Something else has the socket's name.
    #[error("cannot listen on {}: it exists but is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The directory is missing.
    #[error("cannot listen on {}: its directory does not exist", .0.display())]
    NoDirectory(PathBuf),
}

/// Listens at `path`, mode 0600, in place of a socket that nobody listens on any more.
///
/// # Errors
/// [`ApiError`] when somebody listens there, when something else has that name, and when the system refuses.
pub fn bind(path: &Path) -> Result<UnixListener, ApiError> {
    let failed = |cause: Errno| ApiError::Bind {
        path: path.into(),
        cause: cause.into(),
    };
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory.unwrap_or(Path::new(".")), flags, Mode::empty())
        .map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ApiError::NoDirectory(path.into()),
            errno => failed(errno),
        })?;
    // Two daemons that start at once must not each take the other's new socket for a stale one.
    rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    remove_stale(path, &address)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed)?;
    // Linux gives the file the mode of the unbound socket, less the umask: at no time is it wider.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    rustix::net::bind(&socket, &address).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    Ok(UnixListener::from(socket))
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), ApiError> {
    let failed = |cause: Errno| ApiError::Bind {
        path: path.into(),
        cause: cause.into(),
    };
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket() {
        return Err(ApiError::NotASocket(path.into()));
    }
    // Non-blocking: a full queue (EAGAIN) also means that somebody listens.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(failed)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(failed),
        Ok(()) | Err(Errno::AGAIN) => Err(ApiError::InUse(path.into())),
        Err(errno) => Err(failed(errno)),
    }
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// That of oidc-agent's clients.
    OidcAgent,
}

/// Serves until dropped; returns only when the socket is of no more use.
pub async fn serve(listener: tokio::net::UnixListener, api: Api, protocol: Protocol) -> ApiError {
    let mut tokens = api.tokens.clone();
    let server = Server::new(api);
    let mut connections = Connections::new(protocol);
    // As it was bound.
    let mut open = false;
    open_to_all(&listener, &tokens, &mut open);
    loop {
        tokio::select! {
            Ok(()) = tokens.changed() => open_to_all(&listener, &tokens, &mut open),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.admit(&server, stream).await,
                Err(e) => match after(&e) {
                    AfterAcceptError::Retry => {}
                    AfterAcceptError::BackOff => {
                        tracing::warn!(error = %e, "cannot accept a connection");
                        connections.evict();
                        sleep(ACCEPT_BACKOFF).await;
                    }
                    AfterAcceptError::GiveUp => return ApiError::Accept(e),
                },
            },
            () = connections.ended() => {}
        }
    }
}

/// Lets everybody connect while any token has an allow list: the socket's mode knows no rules for single
/// tokens, and the kernel's word on the peer decides.
fn open_to_all(listener: &tokio::net::UnixListener, tokens: &Registry, open: &mut bool) {
    let shared = tokens
        .borrow()
        .values()
        .any(|view| !view.borrow().config.allow.is_empty());
    if shared == *open {
        return;
    }
    let mode = if shared { 0o666 } else { 0o600 };
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let Some(path) = address.as_pathname() else {
        return;
    };
    match rustix::fs::chmod(path, Mode::from_raw_mode(mode)) {
        Ok(()) => *open = shared,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "the socket's mode cannot be changed to {mode:o}");
        }
    }
}

/// A handle on an open connection.
struct Connection {
    task: AbortHandle,
    activity: Activity,
    accepted_at: Instant,
}

/// The open connections, at most [`MAX_CONNECTIONS`].
struct Connections {
    protocol: Protocol,
    tasks: JoinSet<()>,
    open: BTreeMap<Id, Connection>,
    accepted: u64,
}

impl Connections {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
            accepted: 0,
        }
    }

    /// Starts a connection. When there are too many, the one least in use makes room; when all have a
    /// request under way, the new one waits until one of those ends.
    async fn admit(&mut self, server: &Server, stream: UnixStream) {
        while self.open.len() >= MAX_CONNECTIONS {
            self.evict();
            tokio::select! {
                () = self.ended() => {}
                () = server.request_ended() => {}
                () = sleep(FIRST_REQUEST) => {}
            }
        }
        self.accepted += 1;
        let activity = Activity::new(self.accepted);
        let (server, its_activity) = (server.clone(), activity.clone());
        let task = match self.protocol {
            Protocol::Http => self
                .tasks
                .spawn(connection::run(server, stream, its_activity)),
            Protocol::OidcAgent => self
                .tasks
                .spawn(oidc_agent::run(server, stream, its_activity)),
        };
        let accepted_at = clock::now();
        let connection = Connection {
            task,
            activity,
            accepted_at,
        };
        self.open.insert(connection.task.id(), connection);
    }

    /// Closes the idle connection that is least in use, if one is idle.
    fn evict(&self) {
        let idle = self.open.values().filter_map(|connection| {
            let rank = connection.activity.idle_rank()?;
            (!connection.task.is_finished()).then_some((rank, connection))
        });
        let Some((_, least)) = idle.min_by_key(|(rank, _)| *rank) else {
            return;
        };
        // Who has just connected may have its request on the way.
        if clock::now() - least.accepted_at >= FIRST_REQUEST {
            least.task.abort();
        }
    }

    /// Waits until a connection ends; for ever when there is none.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(e)) => e.id(),
            None => return std::future::pending().await,
        };
        self.open.remove(&id);
    }
}

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AfterAcceptError {
    /// Descriptors or memory are short: close an idle connection and wait.
    BackOff,
    /// The listener itself is broken.
    GiveUp,
    /// That connection is gone; the next may be well.
    Retry,
}

/// Sorts the errors of `accept(2)`.
pub(super) fn after(error: &io::Error) -> AfterAcceptError {
    match Errno::from_io_error(error) {
        Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            AfterAcceptError::GiveUp
        }
        Some(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {
            AfterAcceptError::Retry
        }
        _ => AfterAcceptError::BackOff,
    }
}

const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);
const BACKLOG: i32 = 1024;
/// How long a new connection is safe from making room for others.
const FIRST_REQUEST: Duration = Duration::from_millis(50);
const MAX_CONNECTIONS: usize = 256;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn accept_errors_are_sorted() {
        let sorted = |errno: Errno| after(&errno.into());
        assert_eq!(sorted(Errno::MFILE), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::NFILE), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::NOMEM), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::CONNABORTED), AfterAcceptError::Retry);
        assert_eq!(sorted(Errno::BADF), AfterAcceptError::GiveUp);
        assert_eq!(sorted(Errno::INVAL), AfterAcceptError::GiveUp);
    }

    #[test]
    fn binds_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        let _listener = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn replaces_a_stale_socket_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        let listener = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(ApiError::InUse(_))));
        drop(listener);
        let _listener = bind(&path).unwrap();

        let file = directory.path().join("file");
        std::fs::File::create(&file).unwrap();
        assert!(matches!(bind(&file), Err(ApiError::NotASocket(_))));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(bind(&link), Err(ApiError::NotASocket(_))));
        let nowhere = directory.path().join("none/bearerd.sock");
        assert!(matches!(bind(&nowhere), Err(ApiError::NoDirectory(_))));
        let long = directory.path().join("x".repeat(108));
        assert!(matches!(bind(&long), Err(ApiError::Bind { .. })));
    }

    #[test]
    fn of_many_at_once_one_takes_over_a_stale_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        for _ in 0..100 {
            let start = std::sync::Barrier::new(8);
            let race = || {
                start.wait();
                bind(&path)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            let won = bound.iter().filter(|bound| bound.is_ok()).count();
            let in_use = |bound: &&Result<_, _>| matches!(bound, Err(ApiError::InUse(_)));
            assert_eq!((won, bound.iter().filter(in_use).count()), (1, 7));
        }
    }
}
