//! What a connection has, whatever is spoken on it.
//!
//! | file | duty |
//! |---|---|
//! | `activity` | how much it is in use |
//! | `limits` | how many clients, how long, how much |
//! | `server` | what all connections share |
//! | `stream` | ends a connection whose reader has stopped reading |

mod activity;
mod limits;
mod server;
mod stream;

pub(super) use activity::{Activity, Busy};
pub use limits::Limits;
pub(super) use server::Server;
pub(super) use stream::WriteLimited;
