//! Why the daemon cannot run.

use std::io;
use std::path::PathBuf;

use tokio::task::JoinError;

use crate::api::ApiError;
use crate::config::ConfigErrors;
use crate::logging::InvalidFilter;
use crate::store::SealerError;
use crate::store::state_dir::StateDirError;

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The system refuses to set the timer.
    #[error("cannot set the alarm")]
    Alarm(#[source] io::Error),
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A part of the daemon panicked, which is a defect.
    #[error("a task of the daemon has died")]
    Died(#[source] JoinError),
    /// A directory cannot be made or used.
    #[error("cannot use directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The log filter is wrong.
    #[error(transparent)]
    LogFilter(#[from] InvalidFilter),
    /// The event loop cannot be started.
    #[error("cannot start the event loop")]
    Runtime(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// A socket cannot be bound or served.
    #[error(transparent)]
    Socket(#[from] ApiError),
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The state key cannot be used.
    #[error(transparent)]
    StateKey(#[from] SealerError),
    /// The system grants no thread for writing the state.
    #[error("cannot start the state writer")]
    Thread(#[source] io::Error),
    /// The state writer panicked, which is a defect.
    #[error("the state writer has died")]
    WriterDied,
}
