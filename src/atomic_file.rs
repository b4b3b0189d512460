//! The only writer of files.
//!
//! A reader always sees the whole old content or the whole new one, and after a return without an
//! error the new content also survives a power failure. The order of steps is what guarantees it: a
//! temporary file in the same directory gets its owner, then its mode, and only then its content;
//! it is synced, renamed over the target, and the directory is synced.

mod directory;
mod error;
mod staged;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use zeroize::Zeroizing;

use crate::failpoint;

use staged::Staged;

pub use directory::Directory;
pub use error::WriteError;
pub use staged::Attributes;

/// Replaces `path` by a file with this content, or creates it.
///
/// # Errors
/// [`WriteError`]; the old file is whole and no temporary file is left.
pub fn write(path: &Path, content: &[u8], attributes: &Attributes) -> Result<(), WriteError> {
    let (directory, name) = Directory::of(path)?;
    directory.audit()?;
    directory.refuse_special(&name)?;
    let staged = Staged::new(&directory, &name, content, attributes)?;
    staged.sync().map_err(|e| staged.not_synced(e))?;
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
    let staged = Staged::new(&directory, &name, content, attributes)?;
    staged.sync().map_err(|e| staged.not_synced(e))?;
    staged.rename_new()?;
    directory.sync()
}

/// Replaces many files at about the cost of one: one sync for all of their contents, one for the
/// directory. Returns a result for each file, in order. The caller has to hold [`Directory::lock`]:
/// only the first temporary file is locked, as each lock needs an open descriptor.
///
/// Freeing an old file can cost a disk more than writing the new one. The old ones are therefore
/// only moved away, to names that are added to `replaced`, for [`Directory::discard`] when there is
/// time.
pub fn write_all(
    directory: &Directory,
    files: impl IntoIterator<Item = (OsString, Zeroizing<Vec<u8>>)>,
    attributes: &Attributes,
    replaced: &mut Vec<OsString>,
) -> Vec<Result<(), WriteError>> {
    let mut staged = Vec::new();
    for (name, content) in files {
        let mut next = directory
            .refuse_special(&name)
            .and_then(|()| Staged::new(directory, &name, &content, attributes));
        if let (Ok(next), false) = (&mut next, staged.is_empty()) {
            next.close();
        }
        staged.push(next);
    }
    let contents_synced = match staged.as_slice() {
        [Ok(one)] => one.sync(),
        _ => rustix::fs::syncfs(&directory.descriptor),
    };
    failpoint::pass("state-synced");
    let renamed: Vec<_> = staged
        .into_iter()
        .map(|staged| {
            let staged = staged?;
            contents_synced.map_err(|e| staged.not_synced(e))?;
            replaced.extend(staged.exchange()?);
            Ok(())
        })
        .collect();
    failpoint::pass("state-renamed");
    let names_synced = directory.sync();
    failpoint::pass("state-directory-synced");
    renamed
        .into_iter()
        .map(|result| result.and_then(|()| names_synced.clone()))
        .collect()
}

/// Removes `path`. A file that is not there counts as removed.
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

/// Reads a file, if it is a regular one with the attributes that [`write()`] would give it.
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
    /// All of the file's bytes.
    pub content: Zeroizing<Vec<u8>>,
    /// When the file was written, as time since the epoch.
    pub modified_unix: Duration,
}

/// A larger file is not compared, but written anew.
const MAX_COMPARED: usize = 16 << 20;
