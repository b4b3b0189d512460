//! The directory that files are written in: opened once, audited and cleaned.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::WriteError;

/// A directory held by its descriptor, so that all steps happen in the same one.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    pub(super) descriptor: OwnedFd,
}

impl Directory {
    /// Opens a directory. It is not audited yet.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Self {
                path: path.into(),
                descriptor,
            }),
            Err(cause) => Err(WriteError::Failed {
                path: path.into(),
                step: "open directory",
                cause,
            }),
        }
    }

    /// Opens the directory that holds `path`, and returns it with the file's name.
    pub(super) fn of(path: &Path) -> Result<(Self, OsString), WriteError> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
                Ok((Self::open(parent)?, name.into()))
            }
            _ => Err(WriteError::NoFileName(path.into())),
        }
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a directory in which somebody else could replace our files.
    ///
    /// # Errors
    /// [`WriteError::Directory`], which names the rule.
    pub fn audit(&self) -> Result<(), WriteError> {
        let stat = self.stat()?;
        let (mode, owner) = (stat.st_mode & 0o7777, stat.st_uid);
        let rule = if owner != 0 && owner != geteuid().as_raw() {
            "owned by somebody else"
        } else if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            "writable by others than its owner"
        } else {
            return Ok(());
        };
        let path = self.path.clone();
        Err(WriteError::Directory {
            path,
            rule,
            mode,
            owner,
        })
    }

    /// Returns the directory's owner, mode and other attributes.
    ///
    /// # Errors
    /// When the system does not return them.
    pub fn stat(&self) -> Result<Stat, WriteError> {
        rustix::fs::fstat(&self.descriptor).map_err(|e| self.failed("examine", OsStr::new(""), e))
    }

    /// Removes a temporary file, or one that [`write_all`](super::write_all) has replaced.
    pub fn discard(&self, replaced: &OsStr) {
        // Nothing more can be done about a failure here; the next sweep finds the file.
        let _ = rustix::fs::unlinkat(&self.descriptor, replaced, AtFlags::empty());
    }

    /// Renames a file out of the way, to `name` plus `suffix` or, where that is taken, a number
    /// more.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_aside(&self, name: &OsStr, suffix: &str) -> Result<OsString, WriteError> {
        for number in 0_u32.. {
            let mut aside = name.to_os_string();
            aside.push(suffix);
            if number > 0 {
                aside.push(format!("-{number}"));
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            if rustix::fs::statat(&self.descriptor, &aside, flags).is_ok() {
                continue;
            }
            rustix::fs::renameat(&self.descriptor, name, &self.descriptor, &aside)
                .map_err(|e| self.failed("set aside", name, e))?;
            self.sync()?;
            return Ok(aside);
        }
        Err(self.failed("set aside", name, Errno::EXIST))
    }

    /// Reads a regular file, and its attributes; at most `limit` bytes are accepted.
    ///
    /// # Errors
    /// When it is missing, something else than a file, larger, or unreadable.
    pub fn read(
        &self,
        name: &OsStr,
        limit: usize,
    ) -> Result<(Zeroizing<Vec<u8>>, Stat), WriteError> {
        let failed = |e| self.failed("read", name, e);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        self.refuse_special(name)?;
        let file = rustix::fs::openat(&self.descriptor, name, flags, Mode::empty());
        let file = file.map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(failed(Errno::FBIG));
        }
        Ok((read_to_end(&file, size).map_err(failed)?, stat))
    }

    /// Takes the lock that makes this process the directory's only writer, until the directory is
    /// dropped. Waits a short time for another process to release the lock: when a process is
    /// killed while it starts a program, that program inherits the lock and holds it until it runs.
    ///
    /// # Errors
    /// `EWOULDBLOCK` when another process has it.
    pub fn lock(&self) -> Result<(), WriteError> {
        let failed = |e| self.failed("lock", OsStr::new(""), e);
        let at_once = lock(&self.descriptor);
        if at_once != Err(Errno::WOULDBLOCK) {
            return at_once.map_err(failed);
        }
        let same = rustix::io::fcntl_dupfd_cloexec(&self.descriptor, 0).map_err(failed)?;
        let (answer, answered) = mpsc::channel();
        // Without a thread nobody answers, and nobody waits.
        let _ = thread::Builder::new().spawn(move || {
            let _ = answer.send(rustix::fs::flock(&same, FlockOperation::LockExclusive));
        });
        let locked = answered.recv_timeout(HANDOVER);
        locked.unwrap_or(Err(Errno::WOULDBLOCK)).map_err(failed)
    }

    /// Sets the directory's permission bits.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<(), WriteError> {
        rustix::fs::fchmod(&self.descriptor, Mode::from_raw_mode(mode))
            .map_err(|e| self.failed("set the mode of", OsStr::new(""), e))
    }

    /// Returns the names of everything in the directory but temporary files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> Result<Vec<OsString>, WriteError> {
        let mut names = self.all_names()?;
        names.retain(|name| !name.as_bytes().starts_with(TEMPORARY));
        Ok(names)
    }

    /// Returns the names of the temporary files in the directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn temporary_names(&self) -> Result<Vec<OsString>, WriteError> {
        let mut names = self.all_names()?;
        names.retain(|name| name.as_bytes().starts_with(TEMPORARY));
        Ok(names)
    }

    /// Removes the temporary files of writers that were killed. A file that is locked has a living
    /// writer.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self) -> Result<(), WriteError> {
        for name in self.temporary_names()? {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let opened = rustix::fs::openat(&self.descriptor, &name, flags, Mode::empty());
            if opened.is_ok_and(|file| lock(&file).is_ok()) {
                rustix::fs::unlinkat(&self.descriptor, &name, AtFlags::empty())
                    .map_err(|e| self.failed("remove", &name, e))?;
            }
        }
        Ok(())
    }

    fn all_names(&self) -> Result<Vec<OsString>, WriteError> {
        let failed = |e| self.failed("list", OsStr::new(""), e);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(names)
    }

    /// Refuses a name that something else than a regular file has.
    pub(super) fn refuse_special(&self, name: &OsStr) -> Result<(), WriteError> {
        let found = match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(self.failed("examine", name, e)),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => return Ok(()),
                FileType::Directory => "a directory",
                FileType::Symlink => "a symbolic link",
                _ => "a device, socket or pipe",
            },
        };
        let path = self.path.join(name);
        Err(WriteError::NotAFile { path, found })
    }

    /// Has the names in the directory written to the disk.
    pub(super) fn sync(&self) -> Result<(), WriteError> {
        rustix::fs::fsync(&self.descriptor).map_err(|e| self.failed("sync", OsStr::new(""), e))
    }

    /// The error of a step with the file of this name, or with the directory itself where it is
    /// empty.
    pub(super) fn failed(&self, step: &'static str, name: &OsStr, cause: Errno) -> WriteError {
        let path = self.path.join(name);
        WriteError::Failed { path, step, cause }
    }
}

/// Locks a file, or fails at once when another process has locked it.
pub(super) fn lock(file: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Reads `size` bytes, fewer if the file ends before. The buffer never moves, so that no copy is
/// left.
fn read_to_end(file: &OwnedFd, size: usize) -> Result<Zeroizing<Vec<u8>>, Errno> {
    let mut content = Zeroizing::new(vec![0; size]);
    let mut filled = 0;
    while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    content.truncate(filled);
    Ok(content)
}

/// How long another process may take to release its lock on a directory.
const HANDOVER: Duration = Duration::from_secs(1);

/// How the name of every temporary file begins.
pub(super) const TEMPORARY: &[u8] = b".bearerd-tmp-";
