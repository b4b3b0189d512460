//! Why a file could not be written, and what the reader can do about it.

use std::path::PathBuf;

use rustix::io::Errno;

/// Why a file cannot be replaced or removed. What was there before is still there, whole.
///
/// Each of these can end without a restart: somebody makes room, mounts a file system or changes a
/// mode. Trying again can therefore always help, with a growing pause between two tries.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// The directory that holds the file cannot be trusted.
    #[error("directory {} is {rule} (mode {mode:04o}, owner {owner})", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The rule it breaks.
        rule: &'static str,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// A step failed.
    #[error("cannot {step} {}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The step, as a verb.
        step: &'static str,
        /// The system's reason.
        #[source]
        cause: Errno,
    },
    /// The path does not end in a file name.
    #[error("{} does not name a file", .0.display())]
    NoFileName(PathBuf),
    /// There is something of that name that must not be replaced by a file.
    #[error("{} is {found}, not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What there is instead of a file.
        found: &'static str,
    },
}

impl WriteError {
    /// Says what the reader can do about the error.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let (cause, step) = match self {
            Self::Failed { cause, step, .. } => (*cause, *step),
            Self::NotAFile { .. } => return Some("remove it, or name the file it stands for"),
            Self::Directory { .. } | Self::NoFileName(_) => {
                return Some("use a directory that only root or bearerd's own user can write to");
            }
        };
        match cause {
            Errno::BUSY => Some("it is a mount point: mount its directory, not the single file"),
            Errno::NOSPC | Errno::DQUOT => Some("make room; the old file stays until then"),
            Errno::ROFS => Some("the file system is read-only: see ReadWritePaths= in the unit"),
            Errno::ACCESS | Errno::PERM if step == "set the owner of" => {
                Some("only root may give a file to another user, or to a group it is not in")
            }
            Errno::ACCESS | Errno::PERM => {
                Some("bearerd's user needs write and search permission on the directory")
            }
            Errno::NOENT | Errno::NOTDIR => Some("create its directory first"),
            _ => None,
        }
    }
}
