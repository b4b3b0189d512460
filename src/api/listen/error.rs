//! Says why a socket cannot be served.

use std::io;
use std::path::PathBuf;

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The socket accepts no more connections.
    #[error("the socket no longer accepts connections")]
    Accept(#[source] io::Error),
    /// The system refuses the socket.
    #[error("cannot listen on {}", path.display())]
    Bind {
        /// The path of the socket.
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
        /// The name of the descriptor, or its number.
        name: String,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// A passed socket has another name than ours.
    #[error(
        "a socket named {0:?} was passed; hint: \
         FileDescriptorName= is bearerd.sock or credentials.sock"
    )]
    PassedName(String),
    /// More sockets were passed than there are names.
    #[error("{0} sockets were passed; hint: one named bearerd.sock and one named credentials.sock")]
    TooManyPassed(u32),
    /// The directory is missing.
    #[error("cannot listen on {}: its directory does not exist", .0.display())]
    NoDirectory(PathBuf),
}
