//! What the command line asks of the daemon.

use std::path::PathBuf;

/// What the command line asks of the daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// The main configuration file.
    pub config: PathBuf,
    /// Whether to obtain and publish everything once, and then stop.
    pub once: bool,
}
