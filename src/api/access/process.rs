//! Finds the groups and the systemd unit of the process behind a connection.
//!
//! There is no safe interface to `SO_PEERGROUPS`, so both come from `/proc/PID`. `SO_PEERPIDFD`
//! (Linux 6.5) guards that: as long as the process has not ended, no other process has its number.
//! Whatever is not certain is an error, and rules for groups and units do not apply then.

use std::fs;

use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;

/// What `/proc` says of a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Process {
    /// The supplementary groups of the process.
    pub(super) groups: Vec<u32>,
    /// The system manager's unit that the process is in.
    pub(super) unit: Option<String>,
}

/// Why nothing but user and group is certain of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProcessError {
    /// The process has ended, and another process may have its number.
    #[error("the process has ended")]
    Ended,
    /// The process changed users after it connected, as programs with the setuid bit do.
    #[error("the process has more than one user, or another one than when it connected")]
    Ids,
    /// The kernel is too old, or the process is gone.
    #[error("the kernel gives no descriptor of the process: SO_PEERPIDFD needs Linux 6.5")]
    NoDescriptor,
    /// `/proc` is hidden, or the process is in another namespace.
    #[error("its files in /proc cannot be read")]
    Unreadable,
}

impl Process {
    /// Reads what is known of the process that connected as `uid`.
    pub(super) fn of(
        stream: &UnixStream,
        uid: u32,
        pid: Option<i32>,
    ) -> Result<Self, ProcessError> {
        let process = getsockopt(stream, PeerPidfd).map_err(|_| ProcessError::NoDescriptor)?;
        let pid = pid.filter(|pid| *pid > 0).ok_or(ProcessError::Unreadable)?;
        let read = |file| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}"));
            text.map_err(|_| ProcessError::Unreadable)
        };
        let (status, cgroup) = (read("status"), read("cgroup"));
        // Only now: what was read before is this process's if it still lives.
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        match poll(&mut ended, Some(&Timespec::default())) {
            Ok(0) => {}
            _ => return Err(ProcessError::Ended),
        }
        Ok(Self {
            groups: groups(&status?, uid)?,
            unit: unit(&cgroup?),
        })
    }
}

/// Reads the supplementary groups from `/proc/PID/status` (`proc_pid_status(5)`), if real,
/// effective, saved and file system user are all `uid`: the groups of a program with the setuid bit
/// may be those of another user.
fn groups(status: &str, uid: u32) -> Result<Vec<u32>, ProcessError> {
    let ids = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let ids = line.split_whitespace().map(|id| id.parse().ok());
        ids.collect()
    };
    let uids = ids("Uid:").ok_or(ProcessError::Unreadable)?;
    if uids.len() != 4 || uids.iter().any(|&id| id != uid) {
        return Err(ProcessError::Ids);
    }
    ids("Groups:").ok_or(ProcessError::Unreadable)
}

/// Reads the unit from `/proc/PID/cgroup`: it is the first part of the path that is no slice. The
/// unit itself names what comes behind: in `user@1000.service/app.slice/x.service`, a user has
/// chosen the last name.
fn unit(cgroup: &str) -> Option<String> {
    let path_of = |hierarchy: &str| {
        let mut lines = cgroup.lines();
        let unit = lines.find_map(|line| line.strip_prefix(hierarchy));
        unit.and_then(unit_of_path)
    };
    // Where controllers are of version 1, systemd has a hierarchy of its own.
    path_of("0::").or_else(|| {
        let named = cgroup
            .lines()
            .find_map(|line| line.split_once(":name=systemd:"));
        named.and_then(|(_, path)| unit_of_path(path))
    })
}

fn unit_of_path(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let part = parts.find(|part| !part.ends_with(".slice"))?;
    // systemd puts an underscore before names that the kernel would take for its own.
    let part = part.strip_prefix('_').unwrap_or(part);
    let (name, kind) = part.rsplit_once('.')?;
    (!name.is_empty() && UNIT_KINDS.contains(&kind)).then(|| part.to_owned())
}

/// The kinds of units that have processes (`systemd.unit(5)`).
const UNIT_KINDS: [&str; 5] = ["service", "scope", "socket", "mount", "swap"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_cgroups() {
        let of = |path: &str| unit(&format!("0::{path}\n"));
        let some = |unit: &str| Some(unit.to_owned());
        assert_eq!(of("/system.slice/a.service"), some("a.service"));
        assert_eq!(
            of("/system.slice/system-a.slice/a@1.service/sub/b.service"),
            some("a@1.service")
        );
        assert_eq!(of("/system.slice/_cpu.service"), some("cpu.service"));
        assert_eq!(of("/init.scope"), some("init.scope"));
        // A user's own manager, and a container, name their units as they like.
        assert_eq!(
            of("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service"),
            some("user@1000.service")
        );
        for none in [
            "/",
            "",
            "/docker/0a1b/system.slice/a.service",
            "/../../system.slice/a.service",
            "/system.slice",
            "/system.slice/.service",
            "system.slice/a.service",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        let hybrid = "9:name=systemd:/system.slice/a.service\n1:cpu:/x.service\n0::/\n";
        assert_eq!(unit(hybrid), some("a.service"));
        assert_eq!(unit("1:cpu:/system.slice/a.service\n"), None);
    }

    #[test]
    fn groups_of_a_process_with_one_user() {
        let status =
            |uids: &str| format!("Name:\tx\nUid:\t{uids}\nGid:\t5\t5\t5\t5\nGroups:\t7 8 \n");
        assert_eq!(groups(&status("5\t5\t5\t5"), 5), Ok(vec![7, 8]));
        for other in ["5\t0\t0\t0", "6\t6\t6\t6", "5\t5\t0\t5", "5\t5\t5"] {
            assert_eq!(groups(&status(other), 5), Err(ProcessError::Ids), "{other}");
        }
        assert_eq!(
            groups("Uid:\t5\t5\t5\t5\n", 5),
            Err(ProcessError::Unreadable)
        );
        assert_eq!(groups("Uid:\t5\t5\t5\t5\nGroups:\t\n", 5), Ok(vec![]));
    }
}
