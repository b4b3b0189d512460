//! Says why a request to the daemon has brought no answer, or one that says no.

use std::io;
use std::path::PathBuf;

use crate::api::problem::Problem;

/// Why a request has got no answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon has ended while its events were followed.
    #[error("the daemon at {} has ended", path.display())]
    Ended {
        /// The path of the socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The permissions of the socket do not allow it.
    #[error("cannot connect to {}", path.display())]
    Forbidden {
        /// The path of the socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The connection has broken off.
    #[error("the daemon broke the connection off")]
    Interrupted(#[source] io::Error),
    /// The answer is not one that bearerd gives.
    #[error("the answer at {} makes no sense; does bearerd listen there?", .0.display())]
    Malformed(PathBuf),
    /// The daemon has answered with an error.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// There was no answer in time.
    #[error("the daemon at {} has not answered in time", .0.display())]
    TimedOut(PathBuf),
    /// Nobody listens at the socket.
    #[error("cannot reach the daemon at {}", path.display())]
    Unreachable {
        /// The path of the socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}
