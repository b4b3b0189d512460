//! Versions of files.

use std::path::Path;
use std::time::Duration;

/// What tells one version of a file from the next. All of it is zero for a file that does not
/// exist.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    /// Returns a file's present version. A directory's version includes its entries: a drop-in that
    /// is edited in place is a change of its directory.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let mut stamp = Self::of_itself(file);
        for entry in std::fs::read_dir(file).into_iter().flatten().flatten() {
            let entry = Self::of_itself(&entry.path());
            stamp.size = stamp.size.saturating_add(entry.size);
            stamp.modified = stamp.modified.max(entry.modified);
            stamp.changed = stamp.changed.max(entry.changed);
        }
        stamp
    }

    fn of_itself(file: &Path) -> Self {
        rustix::fs::stat(file).map_or_else(
            |_| Self::default(),
            |stat| Self {
                device: stat.st_dev,
                inode: stat.st_ino,
                size: stat.st_size,
                modified: (stat.st_mtime, stat.st_mtime_nsec),
                changed: (stat.st_ctime, stat.st_ctime_nsec),
            },
        )
    }

    /// Whether the file was changed after this moment.
    pub(super) fn changed_after(&self, since_epoch: Duration) -> bool {
        let (seconds, nanos) = self.changed;
        let nanos = u32::try_from(nanos).unwrap_or_default();
        let at = Duration::new(u64::try_from(seconds).unwrap_or_default(), nanos);
        at + KERNEL_TICK > since_epoch
    }

    /// What tells a directory from another one of the same path.
    pub(super) fn identity_of(directory: &Path) -> Self {
        let Self { device, inode, .. } = Self::of_itself(directory);
        Self {
            device,
            inode,
            ..Self::default()
        }
    }
}

/// The kernel stamps files with a clock that lags by up to one tick.
const KERNEL_TICK: Duration = Duration::from_millis(10);
