//! Accepts clients, and keeps them from standing in each other's way.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bearerd_core::instant::Instant;
use rustix::fs::Mode;
use rustix::io::Errno;
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{sleep, timeout};

use super::connection::{self, Activity, Server};
use super::limits::Limits;
use super::{Api, oidc_agent};
use crate::clock;
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
    /// A passed descriptor is of no use.
    #[error("the passed descriptor {name} is no listening Unix stream socket")]
    Passed {
        /// Its name, or its number.
        name: String,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// A passed socket has another name than ours.
    #[error(
        "a socket named {0:?} was passed; hint: FileDescriptorName= is bearerd.sock or credentials.sock"
    )]
    PassedName(String),
    /// More sockets were passed than there are names.
    #[error("{0} sockets were passed; hint: one named bearerd.sock and one named credentials.sock")]
    TooManyPassed(u32),
    /// The directory is missing.
    #[error("cannot listen on {}: its directory does not exist", .0.display())]
    NoDirectory(PathBuf),
}

/// A socket to serve.
#[derive(Debug)]
pub enum Listener {
    /// Bound by [`bind`](super::bind()): its mode follows the tokens' allow lists.
    Bound(tokio::net::UnixListener),
    /// Passed: its mode is somebody else's affair.
    Passed(tokio::net::UnixListener),
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// That of oidc-agent's clients.
    OidcAgent,
}

/// Serves until the daemon is about to end, and lets requests under way end for a second.
///
/// # Errors
/// [`ApiError`] when the socket is of no more use.
pub async fn serve(
    listener: Listener,
    api: Api,
    protocol: Protocol,
    limits: Limits,
) -> Result<(), ApiError> {
    let mut tokens = api.tokens.clone();
    let server = Server::new(api, limits);
    let mut connections = Connections::new(protocol);
    let (listener, mut open) = match listener {
        // Nobody else may connect yet.
        Listener::Bound(listener) => (listener, Some(false)),
        Listener::Passed(listener) => (listener, None),
    };
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
                        connections.evict(|_| true);
                        sleep(ACCEPT_BACKOFF).await;
                    }
                    AfterAcceptError::GiveUp => return Err(ApiError::Accept(e)),
                },
            },
            () = connections.ended() => {}
            // Who is still in the queue is left to the next daemon, where the socket outlives this one.
            () = server.stopping() => {
                let _ = timeout(LAST_ANSWERS, connections.all_ended()).await;
                return Ok(());
            }
        }
        let open = u64::try_from(connections.open.len()).unwrap_or(u64::MAX);
        server.open.store(open, Ordering::Relaxed);
    }
}

/// Lets everybody connect while any token has an allow list: the socket's mode knows no rules for single
/// tokens, and the kernel's word on the peer decides. `open` is `None` where the mode is not ours to set.
fn open_to_all(listener: &tokio::net::UnixListener, tokens: &Registry, open: &mut Option<bool>) {
    let shared = tokens.borrow().values().any(|view| {
        let config = &view.borrow().config;
        !config.allow.is_empty() || !config.login.is_empty()
    });
    if open.is_none_or(|open| open == shared) {
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
        Ok(()) => *open = Some(shared),
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
    /// Whose it is; `None`: the kernel does not say.
    uid: Option<u32>,
}

/// The open connections, within the limits.
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

    /// Starts a connection. When there are too many, the one least in use makes room. When all have a
    /// request under way, root and the daemon's own user wait until one of those ends; others are turned away,
    /// as they must not hold up everybody.
    async fn admit(&mut self, server: &Server, stream: UnixStream) {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        if !server.trusts(uid) && !self.has_room(server, uid) {
            // Who does not take even that is gone.
            let _ = stream.try_write(BUSY_ANSWER);
            return;
        }
        while self.open.len() >= server.limits.connections {
            self.evict(|_| true);
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
            uid,
        };
        self.open.insert(connection.task.id(), connection);
    }

    /// Whether another connection of this user is within its share and within what all but root and the
    /// daemon's own user have together; makes room where it can.
    fn has_room(&mut self, server: &Server, uid: Option<u32>) -> bool {
        let Limits {
            connections,
            reserved,
            per_user,
            ..
        } = server.limits;
        let own = |connection: &Connection| connection.uid == uid;
        let others = |connection: &Connection| !server.trusts(connection.uid);
        let count = |open: &BTreeMap<Id, Connection>, of: &dyn Fn(&Connection) -> bool| {
            open.values().filter(|connection| of(connection)).count()
        };
        (count(&self.open, &own) < per_user || self.evict(own))
            && (count(&self.open, &others) < connections.saturating_sub(reserved)
                || self.evict(others))
    }

    /// Closes the idle connection that is least in use among `these`, if there is one.
    fn evict(&mut self, these: impl Fn(&Connection) -> bool) -> bool {
        let idle = self.open.iter().filter_map(|(id, connection)| {
            let rank = connection.activity.idle_rank()?;
            these(connection).then_some((rank, *id, connection.accepted_at))
        });
        let Some((_, id, accepted_at)) = idle.min() else {
            return false;
        };
        // Who has just connected may have its request on the way.
        let evicted = clock::now() - accepted_at >= FIRST_REQUEST;
        if evicted && let Some(connection) = self.open.remove(&id) {
            connection.task.abort();
        }
        evicted
    }

    async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.ended().await;
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
/// How long a new connection is safe from making room for others.
const FIRST_REQUEST: Duration = Duration::from_millis(50);
/// How long requests under way may take when the daemon ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// To who has too many connections.
const BUSY_ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 117\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections\",\"code\":\"transient\"}\n";

#[cfg(test)]
mod tests {
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
}
