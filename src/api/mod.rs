//! HTTP/1.1 over a Unix socket: what consumers, scripts and the command line read. Beside it, on
//! sockets of their own, two protocols of others.
//!
//! | room | duty |
//! |---|---|
//! | [`listen`] | binds sockets or takes them from systemd, and accepts who connects |
//! | `connection` | what a connection has, whatever is spoken on it: limits, use, the server |
//! | [`access`] | who asks, what they may, and what the log says of it |
//! | [`pages`] | the HTTP API: from a request to its page |
//! | `oidc_agent` | oidc-agent's protocol |
//! | [`credentials`] | systemd's credential protocol |
//! | [`tokens`] | reads a token, waits for one, has one replaced, for all three protocols |
//! | [`daemon`] | what the API has of the daemon: views to read, channels for requests |
//! | [`requests`] | what the API asks of the daemon |
//! | [`problem`] | error bodies (RFC 9457) |
//! | [`code`] | the four error states as words, as HTTP status and as exit code |
//! | [`moment`] | the world's time of an instant |
//! | [`client`] | the command line's side: blocking, no runtime |
//!
//! Nothing here owns state: every request reads the [`Registry`](crate::store::Registry) and at
//! most sends a request to the daemon.

pub mod access;
pub mod client;
pub mod code;
mod connection;
pub mod credentials;
pub mod daemon;
pub mod listen;
pub mod moment;
mod oidc_agent;
pub mod pages;
pub mod problem;
pub mod requests;
pub mod tokens;

pub use connection::Limits;
pub use daemon::Api;
pub use listen::{ApiError, Listener, Passed, Protocol, bind, serve};
