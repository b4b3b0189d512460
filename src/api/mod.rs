//! HTTP/1.1 over a Unix socket: what consumers, scripts and the command line read. Beside it, on sockets of
//! their own, two protocols of others.
//!
//! | module | duty |
//! |---|---|
//! | `bind` | binds a socket of our own |
//! | `listener` | accepts |
//! | [`passed`] | takes sockets that systemd has bound |
//! | `limits` | how many clients, how long, how much |
//! | `connection` | one HTTP client: its limits, who it is, what it asks |
//! | `oidc_agent` | one client of oidc-agent's protocol |
//! | [`credentials`] | systemd's credential protocol, on a socket of its own |
//! | `audit` | what the log says of who reads what |
//! | `stream` | ends a connection whose reader has stopped reading |
//! | [`peer`] | who asks, and whether they may |
//! | `process` | the groups and the unit of who asks |
//! | `router` | request to route to right to response |
//! | [`login`] | begins and completes logins |
//! | [`tokens`] | reads a token, waits for one, has one replaced |
//! | [`logout`] | logs out of one that somebody has logged in to |
//! | [`status`] | how tokens and daemon stand |
//! | [`events`] | what happens, as it happens |
//! | `metrics` | the same as numbers, for OpenMetrics |
//! | [`query`] | `min_ttl`, `wait` |
//! | [`code`] | the four error states as HTTP status and as exit code |
//! | [`problem`] | error bodies (RFC 9457) |
//! | [`client`], [`follow`] | the command line's side: blocking, no runtime |
//!
//! Nothing here owns state: every request reads the [`Registry`] and at most sends an event.

mod audit;
mod bind;
pub mod client;
pub mod code;
mod connection;
pub mod credentials;
pub mod events;
pub mod follow;
mod limits;
mod listener;
pub mod login;
pub mod logout;
mod metrics;
mod oidc_agent;
pub mod passed;
pub mod peer;
pub mod problem;
mod process;
pub mod query;
mod router;
pub mod status;
mod stream;
pub mod tokens;

use tokio::sync::{mpsc, watch};

pub use bind::bind;
pub use limits::Limits;
pub use listener::{ApiError, Listener, Protocol, serve};
pub use passed::Passed;

use crate::store::{Consumers, DaemonView, EventBus, Registry};

/// What the API reads, and where it sends its requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    /// The tokens.
    pub tokens: Registry,
    /// The daemon as a whole.
    pub daemon: watch::Receiver<DaemonView>,
    /// What happens to them.
    pub events: EventBus,
    /// Tokens to replace.
    pub refreshes: mpsc::Sender<tokens::RefreshRequest>,
    /// Logins to begin and to complete.
    pub logins: mpsc::Sender<login::LoginRequest>,
    /// Logouts.
    pub logouts: mpsc::Sender<logout::Logout>,
    /// Where it is noted which units have got which token.
    pub consumers: Consumers,
}

impl Api {
    /// Waits until the daemon is about to end.
    async fn stopping(&self) {
        // Without a daemon it has ended.
        let _ = self.daemon.clone().wait_for(|view| view.stopping).await;
    }
}
