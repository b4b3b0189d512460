//! Listens on the sockets and accepts who connects.
//!
//! | file | duty |
//! |---|---|
//! | `bind` | binds a socket of our own |
//! | [`passed`] | takes sockets that systemd has bound |
//! | `listener` | accepts clients until the daemon ends |
//! | `connections` | the open connections, within the limits |
//! | `accept` | what to do when accepting fails |
//! | `error` | why a socket cannot be served |

mod accept;
mod bind;
mod connections;
mod error;
mod listener;
pub mod passed;

pub(super) use accept::{ACCEPT_BACKOFF, AfterAcceptError, after};
pub use bind::bind;
pub use connections::Protocol;
pub use error::ApiError;
pub use listener::{Listener, serve};
pub use passed::Passed;
