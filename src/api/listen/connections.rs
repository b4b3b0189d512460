//! Holds the open connections, and keeps clients from standing in each other's way.

use std::collections::BTreeMap;
use std::time::Duration;

use bearerd_core::instant::Instant;
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::sleep;

use crate::api::connection::{Activity, Limits, Server};
use crate::api::{oidc_agent, pages};
use crate::clock;

/// The protocol that is spoken on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// The socket speaks HTTP/1.1.
    Http,
    /// The socket speaks what the clients of oidc-agent speak.
    OidcAgent,
}

/// A handle on an open connection.
struct Connection {
    task: AbortHandle,
    activity: Activity,
    accepted_at: Instant,
    /// The user who has connected. It is `None` where the kernel does not say.
    uid: Option<u32>,
}

/// The open connections, which stay within the limits.
pub(super) struct Connections {
    protocol: Protocol,
    tasks: JoinSet<()>,
    open: BTreeMap<Id, Connection>,
    accepted: u64,
}

impl Connections {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
            accepted: 0,
        }
    }

    /// Says how many connections are open.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.open.len()).unwrap_or(u64::MAX)
    }

    /// Starts a connection. When there are too many, the one least in use makes room.
    ///
    /// When all have a request under way, root and the daemon's own user wait until one of those
    /// ends. Others are turned away, as they must not hold up everybody.
    pub(super) async fn admit(&mut self, server: &Server, stream: UnixStream) {
        let uid = stream.peer_cred().ok().map(|peer| peer.uid());
        if !server.trusts(uid) && !self.has_room(server, uid) {
            // Who does not take even that is gone.
            let _ = stream.try_write(BUSY_ANSWER);
            return;
        }
        while self.open.len() >= server.limits.connections {
            self.make_room();
            tokio::select! {
                () = self.ended() => {}
                () = server.finished.next() => {}
                () = sleep(FIRST_REQUEST) => {}
            }
        }
        self.accepted += 1;
        let activity = Activity::new(self.accepted);
        let (server, its_activity) = (server.clone(), activity.clone());
        let task = match self.protocol {
            Protocol::Http => {
                self.tasks
                    .spawn(pages::connection::run(server, stream, its_activity))
            }
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

    /// Says whether there is room for another connection of this user: within the user's share, and
    /// within what all users but root and the daemon's own have together. Makes room where it can.
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

    /// Closes the idle connection that is least in use, if there is one.
    pub(super) fn make_room(&mut self) {
        self.evict(|_| true);
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

    /// Waits until all connections have ended.
    pub(super) async fn all_ended(&mut self) {
        while !self.tasks.is_empty() {
            self.ended().await;
        }
    }

    /// Waits until a connection ends. When there is none, it waits for ever.
    pub(super) async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(e)) => e.id(),
            None => return std::future::pending().await,
        };
        self.open.remove(&id);
    }
}

/// How long a new connection is safe from making room for others.
const FIRST_REQUEST: Duration = Duration::from_millis(50);
/// The answer to a client that may not have another connection.
const BUSY_ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/problem+json\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 117\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"too many connections\",\"code\":\"transient\"}\n";
