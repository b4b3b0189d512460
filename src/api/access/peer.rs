//! Asks the kernel who has connected.

use tokio::net::UnixStream;

use super::process::{Process, ProcessError};

/// The process that connected, as the kernel recorded it then (`SO_PEERCRED`, `unix(7)`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The effective user id of the process.
    pub uid: u32,
    /// The process id, for the log only: another process may have it by now.
    pub pid: Option<i32>,
    /// All groups of the process, as far as they are certain.
    pub groups: Vec<u32>,
    /// The systemd unit of the process, where that is certain.
    pub unit: Option<String>,
    /// Why groups and unit are not certain.
    pub uncertain: Option<ProcessError>,
}

impl Peer {
    /// Asks the kernel for user and group. It is `None` when the kernel does not say.
    #[must_use]
    pub fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        Some(Self {
            uid: credentials.uid(),
            pid: credentials.pid(),
            groups: vec![credentials.gid()],
            unit: None,
            uncertain: None,
        })
    }

    /// Asks for all groups and for the unit, too.
    #[must_use]
    pub fn with_process(mut self, stream: &UnixStream) -> Self {
        match Process::of(stream, self.uid, self.pid) {
            Ok(process) => {
                self.groups.extend(process.groups);
                self.unit = process.unit;
            }
            Err(uncertain) => self.uncertain = Some(uncertain),
        }
        self
    }
}
