//! The command line's side of the socket: blocking, so that reading a token starts no runtime and
//! no TLS.
//!
//! | file | duty |
//! |---|---|
//! | `socket` | where the daemon's socket is |
//! | `call` | one request and its answer |
//! | `follow` | the stream of events |
//! | `wire` | the bytes of a request and of an answer |
//! | `error` | why there is no answer |

mod call;
mod error;
mod follow;
mod socket;
mod wire;

pub use call::{Call, call};
pub use error::ClientError;
pub use follow::{End, follow};
pub use socket::socket_path;
