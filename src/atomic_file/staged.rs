//! A file on its way: complete under a temporary name, and then renamed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::WriteError;
use super::directory::{Directory, TEMPORARY, lock};
use crate::failpoint;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// The owner's user id; `None` means the process's own.
    pub owner: Option<u32>,
    /// The group id; `None` means the process's own, or the directory's where that is set-group-ID.
    pub group: Option<u32>,
    /// The permission bits; the umask does not change them.
    pub mode: u32,
}

/// A complete temporary file, removed unless renamed.
pub(super) struct Staged<'a> {
    directory: &'a Directory,
    name: OsString,
    /// The temporary name; `None` after the file was renamed.
    temporary: Option<OsString>,
    /// The open file; `None` when another way of syncing is used.
    file: Option<OwnedFd>,
}

impl<'a> Staged<'a> {
    /// Writes a temporary file beside the one of this name.
    pub(super) fn new(
        directory: &'a Directory,
        name: &OsStr,
        content: &[u8],
        attributes: &Attributes,
    ) -> Result<Self, WriteError> {
        let failed = |step| move |e| directory.failed(step, name, e);
        let temporary = temporary_name().map_err(failed("name a temporary file for"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory.descriptor, &temporary, flags, Mode::RUSR)
            .map_err(failed("create a temporary file for"))?;
        let mut staged = Self {
            directory,
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

    /// Syncs the content; does nothing when another way of syncing is used.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        self.file.as_ref().map_or(Ok(()), rustix::fs::fsync)
    }

    /// Closes the temporary file. The caller has to sync its content in another way.
    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// The error of a sync that failed for this reason.
    pub(super) fn not_synced(&self, cause: Errno) -> WriteError {
        self.directory.failed("sync", &self.name, cause)
    }

    /// Changes places with the old file, and returns the old file's new name.
    pub(super) fn exchange(mut self) -> Result<Option<OsString>, WriteError> {
        let descriptor = self.directory.descriptor.as_fd();
        let exchanged = self.temporary.as_ref().map(|temporary| {
            let flags = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(descriptor, temporary, descriptor, &self.name, flags)
        });
        match exchanged {
            Some(Ok(())) => Ok(self.temporary.take()),
            // There is no old file, or the file system cannot exchange.
            Some(Err(_)) | None => self.rename().map(|()| None),
        }
    }

    /// Takes the place of the old file, if there is one.
    pub(super) fn rename(mut self) -> Result<(), WriteError> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let descriptor = self.directory.descriptor.as_fd();
        rustix::fs::renameat(descriptor, temporary, descriptor, &self.name)
            .map_err(|e| self.directory.failed("replace", &self.name, e))?;
        self.temporary = None;
        Ok(())
    }

    /// Takes its name where no file has that yet.
    pub(super) fn rename_new(mut self) -> Result<(), WriteError> {
        let Some(temporary) = &self.temporary else {
            return Ok(());
        };
        let descriptor = self.directory.descriptor.as_fd();
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(descriptor, temporary, descriptor, &self.name, flags)
            .map_err(|e| self.directory.failed("create", &self.name, e))?;
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

/// Makes a name that nobody can guess: in a sticky directory, somebody else could make a file of a
/// known name first.
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
