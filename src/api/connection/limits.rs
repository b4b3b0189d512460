//! Says how many clients there may be, how long they may take, and how much they may send.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// The limits of the HTTP socket. Two more are fixed: a new connection need not make room for
/// others for 50 ms, and a request's body has 5 s and 16 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections everybody together may have open.
    pub connections: usize,
    /// How many of these connections are kept for root and the daemon's own user.
    pub reserved: usize,
    /// How many connections one other user may have open.
    pub per_user: usize,
    /// How long a new client may take to send its first request's headers.
    pub silence: Duration,
    /// How long a client may take from one answer to the end of the next request's headers.
    pub idle: Duration,
    /// How long a client may read nothing of what is sent to it.
    pub write: Duration,
    /// How many bytes the request line and the headers may have together.
    pub header_bytes: usize,
    /// How many headers a request may have.
    pub headers: usize,
    /// How often an event stream says that it is alive.
    pub heartbeat: Duration,
}

impl Limits {
    /// The limits of this process. The clients of one socket may use up a third of its descriptors,
    /// so that files are written and servers are asked however many clients there are.
    #[must_use]
    pub fn of_process() -> Self {
        let limits = Self::default();
        let third = getrlimit(Resource::Nofile).current.map(|all| all / 3);
        let third = third.and_then(|third| usize::try_from(third).ok());
        let connections = limits.connections.min(third.unwrap_or(usize::MAX));
        Self {
            connections,
            reserved: limits.reserved.min(connections / 4),
            ..limits
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            reserved: 64,
            per_user: 64,
            silence: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(5),
            header_bytes: 16 * 1024,
            headers: 64,
            heartbeat: Duration::from_secs(15),
        }
    }
}
