//! What the tests and the demo share: an authorization server on loopback as strict as the real ones, and
//! a guard around the real daemon.
//!
//! | module | duty |
//! |---|---|
//! | `server` | runs the authorization server on its own thread; faults, waiting |
//! | `connection` | one exchange, with or without a fault |
//! | `lev`, `entra`, `nhs` | what the three real systems accept and answer |
//! | `id_token` | ID tokens, and whether one is good |
//! | `mock_jwks` | another identity provider than the server itself |
//! | `fault` | what can go wrong on the way |
//! | `state` | settings, memory and log of the server, behind one lock |
//! | `record` | every request, every issued token |
//! | `keys` | key pairs and certificates made for one run |
//! | `host` | directories, secrets and configuration of one daemon |
//! | `daemon` | the process: signals, readiness, log, end |
//! | `provider` | an OpenID provider where people log in |
//! | `notify` | the receiving end of `$NOTIFY_SOCKET` |
//! | `reader` | an application that reads a published file all the time |
//! | `script` | a server that answers as a script says, byte by byte where it has to |
//! | `api_server` | an API that a consumer of a token talks to |
//! | `tool`, `docs` | the consumers that are installed, and what the documents tell them |
//! | `clock` | the clocks of the tests |
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::new_without_default,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    reason = "test code outside of #[test] functions; it writes files as a careless editor does"
)]

pub mod api_server;
pub mod clock;
pub mod connection;
pub mod daemon;
pub mod docs;
pub mod entra;
pub mod fault;
pub mod host;
pub mod id_token;
pub mod keys;
pub mod lev;
pub mod mock_jwks;
pub mod nhs;
pub mod notify;
pub mod provider;
pub mod reader;
pub mod record;
pub mod script;
pub mod server;
pub mod state;
pub mod tool;

use std::sync::mpsc;
use std::time::Duration;

pub use daemon::Daemon;
pub use fault::{Fault, RetryAfter};
pub use host::Host;
pub use keys::SigningKey;
pub use provider::Provider;
pub use reader::Reader;
pub use record::{Log, System};
pub use server::Server;
pub use state::Settings;

/// Asks until the answer is there. Only for what raises no event: a file of the daemon's own, its
/// socket. For requests there is [`Server::wait_for`], for systemd's messages [`Daemon::wait_notice`].
#[track_caller]
pub fn eventually<T>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = crate::clock::now() + timeout;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        let now = crate::clock::now();
        assert!(now < deadline, "not within {timeout:?}: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Lets time pass: for pacing a poll, and for showing that something does *not* happen.
pub fn pause(time: Duration) {
    let (_keep_open, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
