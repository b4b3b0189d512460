//! HTTP/1.1 over a Unix socket: what consumers, scripts and the command line read. Beside it, on sockets of
//! their own, two protocols of others.
//!
//! | module | duty |
//! |---|---|
//! | `listener` | binds the socket, accepts, limits connections |
//! | `connection` | one HTTP client: its limits, who it is, what it asks |
//! | `oidc_agent` | one client of oidc-agent's protocol |
//! | [`credentials`] | systemd's credential protocol, on a socket of its own |
//! | `audit` | what the log says of who reads what |
//! | `stream` | ends a connection whose reader has stopped reading |
//! | [`peer`] | who asks, and whether they may |
//! | `process` | the groups and the unit of who asks |
//! | `router` | request to route to right to response |
//! | [`tokens`] | reads a token, waits for one, has one replaced |
//! | [`logout`] | logs out of one that somebody has logged in to |
//! | [`status`] | how tokens and daemon stand |
//! | [`query`] | `min_ttl`, `wait` |
//! | [`code`] | the four error states as HTTP status and as exit code |
//! | [`problem`] | error bodies (RFC 9457) |
//! | [`client`] | the command line's side: blocking, no runtime |
//!
//! Nothing here owns state: every request reads the [`Registry`] and at most sends an event.

mod audit;
pub mod client;
pub mod code;
mod connection;
pub mod credentials;
mod listener;
pub mod logout;
mod oidc_agent;
pub mod peer;
pub mod problem;
mod process;
pub mod query;
mod router;
pub mod status;
mod stream;
pub mod tokens;

use tokio::sync::{mpsc, watch};

pub use listener::{ApiError, Protocol, bind, serve};

use crate::refresh;
use crate::store::{Consumers, DaemonView, Registry};

/// What the API reads, and where it sends its wishes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    /// The tokens.
    pub tokens: Registry,
    /// The daemon as a whole.
    pub daemon: watch::Receiver<DaemonView>,
    /// The core's events; only [`refresh::Event::RefreshRequested`] is sent.
    pub events: mpsc::Sender<refresh::Event>,
    /// Logouts.
    pub logouts: mpsc::Sender<logout::Logout>,
    /// Where it is noted which units have got which token.
    pub consumers: Consumers,
}
