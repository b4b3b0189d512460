//! Why a file could not be written, in words that help.

use std::path::PathBuf;

use rustix::io::Errno;

/// Why a file cannot be replaced or removed. What was there before is still there, whole.
///
/// Any of these can end without a restart (somebody makes room, mounts, changes a mode), so trying again
/// can always help; with a backoff.
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
    /// A path that ends in no file name.
    #[error("{} does not name a file", .0.display())]
    NoFileName(PathBuf),
    /// Something that is not to be replaced by a file.
    #[error("{} is {found}, not a regular file", path.display())]
    NotAFile {
        /// The target.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
}

impl WriteError {
    /// What the reader can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Failed { cause, step, .. } = self else {
            return Some(match self {
                Self::NotAFile { .. } => "remove it, or name the file it stands for",
                _ => "use a directory that only root or bearerd's own user can write to",
            });
        };
        match *cause {
            Errno::BUSY => Some("it is a mount point: mount its directory, not the single file"),
            Errno::NOSPC | Errno::DQUOT => Some("make room; the old file stays until then"),
            Errno::ROFS => Some("the file system is read-only: see ReadWritePaths= in the unit"),
            Errno::ACCESS | Errno::PERM if *step == "set the owner of" => {
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
