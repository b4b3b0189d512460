//! The only writer of files.
//!
//! A reader sees the old content or the new, whole, always; and after a return without an error the new
//! content also survives a power failure. The order of steps is what guarantees it: a temporary file in
//! the same directory gets its owner, then its mode, and only then its content; it is synced, renamed
//! over the target, and the directory is synced.

mod directory;
mod error;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use zeroize::Zeroizing;

use crate::failpoint;

use directory::{TEMPORARY, lock};

pub use directory::Directory;
pub use error::WriteError;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// Owner's user id; `None` is the process's own.
    pub owner: Option<u32>,
    /// Group id; `None` is the process's own, or the directory's where that is set-group-ID.
    pub group: Option<u32>,
    /// Permission bits; the umask has no say.
    pub mode: u32,
}

/// Replaces `path` by a file with this content, or creates it.
///
/// # Errors
/// [`WriteError`]; the old file is whole and no temporary file is left.
pub fn write(path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
    let (directory, name) = Directory::of(path)?;
    directory.audit()?;
    directory.refuse_special(&name)?;
    let staged = directory.stage(&name, content, attributes)?;
    staged
        .sync()
        .map_err(|e| directory.failed("sync", &name, e))?;
    failpoint::pass("file-synced");
    staged.rename()?;
    failpoint::pass("file-renamed");
    directory.sync()?;
    failpoint::pass("file-directory-synced");
    Ok(())
}

/// Creates `path` with this content; what is there already stays.
///
/// # Errors
/// [`WriteError`], with `EEXIST` as its cause where there is something of that name.
pub fn create(path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
    let (directory, name) = Directory::of(path)?;
    directory.audit()?;
    let mut staged = directory.stage(&name, content, attributes)?;
    staged
        .sync()
        .map_err(|e| directory.failed("sync", &name, e))?;
    if let Some(temporary) = &staged.temporary {
        let descriptor = directory.descriptor.as_fd();
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(descriptor, temporary, descriptor, &name, flags)
            .map_err(|e| directory.failed("create", &name, e))?;
        staged.temporary = None;
    }
    directory.sync()
}

/// Removes `path`; one that is not there counts as removed.
///
/// # Errors
/// [`WriteError`], also for anything but a regular file: bearerd did not put it there.
pub fn remove(path: &Path) -> Result<(), WriteError> {
    let (directory, name) = match Directory::of(path) {
        Err(WriteError::Failed { cause, .. }) if cause == Errno::NOENT => return Ok(()),
        other => other?,
    };
    directory.refuse_special(&name)?;
    match rustix::fs::unlinkat(&directory.descriptor, &name, AtFlags::empty()) {
        Ok(()) => directory.sync(),
        Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(directory.failed("remove", &name, e)),
    }
}

/// A file as it stands, if it is a regular one with the attributes that a [`write()`] would give it.
#[must_use]
pub fn read_matching(path: &Path, attributes: &Attributes) -> Option<Existing> {
    let (directory, name) = Directory::of(path).ok()?;
    let (content, stat) = directory.read(&name, MAX_COMPARED).ok()?;
    let inherited = directory.stat().ok().filter(|d| d.st_mode & 0o2000 != 0);
    let default_group = inherited.map_or(getegid().as_raw(), |directory| directory.st_gid);
    let matches = stat.st_mode & 0o7777 == attributes.mode
        && stat.st_uid == attributes.owner.unwrap_or(geteuid().as_raw())
        && stat.st_gid == attributes.group.unwrap_or(default_group);
    let modified_unix = Duration::new(
        u64::try_from(stat.st_mtime).ok()?,
        u32::try_from(stat.st_mtime_nsec).ok()?,
    );
    matches.then_some(Existing {
        content,
        modified_unix,
    })
}

/// What [`read_matching`] found.
#[derive(Debug)]
pub struct Existing {
    /// All its bytes.
    pub content: Zeroizing<Vec<u8>>,
    /// When it was written: time since the epoch.
    pub modified_unix: Duration,
}

impl Directory {
    /// Replaces many files at about the cost of one: one sync for all of their contents, one for the
    /// directory. A result for each, in order. The caller holds [`Directory::lock`]: of more than one
    /// file the temporary ones are not locked, for want of descriptors.
    ///
    /// Freeing an old file can cost a disk more than writing the new one. The old ones are therefore only
    /// moved away, to names that are added to `replaced`, for [`Directory::discard`] when there is time.
    pub fn write_all(
        &self,
        files: impl IntoIterator<Item = (OsString, Zeroizing<Vec<u8>>)>,
        attributes: &Attributes,
        replaced: &mut Vec<OsString>,
    ) -> Vec<Result<(), WriteError>> {
        let mut staged = Vec::new();
        for (name, content) in files {
            let mut next = self
                .refuse_special(&name)
                .and_then(|()| self.stage(&name, &content, attributes));
            if let (Ok(next), false) = (&mut next, staged.is_empty()) {
                next.file = None;
            }
            staged.push(next);
        }
        let contents_synced = match staged.as_slice() {
            [Ok(one)] => one.sync(),
            _ => rustix::fs::syncfs(&self.descriptor),
        };
        failpoint::pass("state-synced");
        let renamed: Vec<_> = staged
            .into_iter()
            .map(|staged| {
                let staged = staged?;
                contents_synced.map_err(|e| self.failed("sync", &staged.name, e))?;
                replaced.extend(staged.exchange()?);
                Ok(())
            })
            .collect();
        failpoint::pass("state-renamed");
        let names_synced = self.sync();
        failpoint::pass("state-directory-synced");
        renamed
            .into_iter()
            .map(|result| result.and_then(|()| names_synced.clone()))
            .collect()
    }

    fn stage(
        &self,
        name: &OsStr,
        content: &[u8],
        attributes: &Attributes,
    ) -> Result<Staged<'_>, WriteError> {
        let failed = |step| move |e| self.failed(step, name, e);
        let temporary = temporary_name().map_err(failed("name a temporary file for"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.descriptor, &temporary, flags, Mode::RUSR)
            .map_err(failed("create a temporary file for"))?;
        let mut staged = Staged {
            directory: self,
            name: name.into(),
            temporary: Some(temporary),
            file: None,
        };
        lock(&file).map_err(failed("lock the temporary file for"))?;
        failpoint::pass("temporary-made");
        if attributes.owner.is_some() || attributes.group.is_some() {
            let owner = attributes.owner.map(Uid::from_raw);
            let group = attributes.group.map(Gid::from_raw);
            rustix::fs::fchown(&file, owner, group).map_err(failed("set the owner of"))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(attributes.mode))
            .map_err(failed("set the mode of"))?;
        write_to_end(&file, content).map_err(failed("write"))?;
        failpoint::pass("temporary-written");
        staged.file = Some(file);
        Ok(staged)
    }
}

/// A complete temporary file, removed unless renamed.
struct Staged<'a> {
    directory: &'a Directory,
    name: OsString,
    /// `None` once renamed.
    temporary: Option<OsString>,
    /// `None` where another way of syncing was chosen.
    file: Option<OwnedFd>,
}

impl Staged<'_> {
    fn sync(&self) -> Result<(), Errno> {
        self.file.as_ref().map_or(Ok(()), rustix::fs::fsync)
    }

    /// Changes places with the old file, and returns the name that has now.
    fn exchange(mut self) -> Result<Option<OsString>, WriteError> {
        let descriptor = self.directory.descriptor.as_fd();
        let exchanged = self.temporary.as_ref().map(|temporary| {
            let flags = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(descriptor, temporary, descriptor, &self.name, flags)
        });
        match exchanged {
            Some(Ok(())) => Ok(self.temporary.take()),
            // There is no old file, or the file system cannot exchange.
            _ => self.rename().map(|()| None),
        }
    }

    fn rename(mut self) -> Result<(), WriteError> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let descriptor = self.directory.descriptor.as_fd();
        rustix::fs::renameat(descriptor, temporary, descriptor, &self.name)
            .map_err(|e| self.directory.failed("replace", &self.name, e))?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about a failure here; the next sweep finds the file.
            let _ = rustix::fs::unlinkat(&self.directory.descriptor, temporary, AtFlags::empty());
        }
    }
}

/// Not to be guessed: in a sticky directory somebody else could have made one of that name.
fn temporary_name() -> Result<OsString, Errno> {
    let mut random = [0_u8; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let mut name = TEMPORARY.to_vec();
    name.extend_from_slice(format!("{:032x}", u128::from_ne_bytes(random)).as_bytes());
    Ok(OsString::from_vec(name))
}

fn write_to_end(file: &OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        match rustix::io::write(file, content) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => content = content.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Larger files are written anew without a look at what they hold.
const MAX_COMPARED: usize = 16 << 20;
