//! Why a request to the daemon brought nothing.

use std::io;
use std::path::PathBuf;

use crate::api::problem::Problem;

/// Why a request got no answer, or one that says no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon has ended while its events were followed.
    #[error("the daemon at {} has ended", path.display())]
    Ended {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The socket's permissions.
    #[error("cannot connect to {}", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The connection broke.
    #[error("the daemon broke the connection off")]
    Interrupted(#[source] io::Error),
    /// Not what bearerd answers.
    #[error("the answer at {} makes no sense; does bearerd listen there?", .0.display())]
    Malformed(PathBuf),
    /// The daemon's own word.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No answer in time.
    #[error("the daemon at {} has not answered in time", .0.display())]
    TimedOut(PathBuf),
    /// Nobody listens.
    #[error("cannot reach the daemon at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}
