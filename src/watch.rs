//! Tells which of the followed files have changed.
//!
//! Directories are watched rather than files: editors replace files by renaming, Kubernetes swaps a
//! symlink in the parent, and a file may appear only later. An event only says "look again". A file
//! has changed when its identity, size or times differ from those that were seen last.

mod stamp;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

pub use stamp::Stamp;

/// The files and directories to follow, and when they were read: a later change is news. None of
/// them has to exist.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Each path, with the version that was read where its stamp was taken before reading.
    pub files: BTreeMap<PathBuf, Option<Stamp>>,
    /// When reading the files without a stamp began, as time since the epoch.
    pub read_at: Duration,
}

/// Follows files in a task of its own.
#[derive(Debug)]
pub struct Watch {
    followed: watch::Sender<Arc<Followed>>,
    changes: mpsc::Receiver<BTreeSet<PathBuf>>,
    task: AbortHandle,
}

impl Watch {
    /// Starts following; must be called within a tokio runtime.
    #[must_use]
    pub fn start(followed: Followed) -> Self {
        let (followed, receiver) = watch::channel(Arc::new(followed));
        let (sender, changes) = mpsc::channel(1);
        let (wake, woken) = mpsc::channel(1);
        let eyes = Eyes {
            watcher: new_watcher(wake),
            woken,
        };
        let task = tokio::spawn(follow(eyes, receiver, sender)).abort_handle();
        Self {
            followed,
            changes,
            task,
        }
    }

    /// Follows these files from now on, in place of the earlier ones.
    pub fn follow(&self, followed: Followed) {
        self.followed.send_replace(Arc::new(followed));
    }

    /// Waits for changes and returns the files that have changed. When the wait is given up, no
    /// change is lost.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        match self.changes.recv().await {
            Some(changed) => changed,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The source of events that say "look again".
struct Eyes {
    /// `None` when there are no events, so that files are polled.
    watcher: Option<RecommendedWatcher>,
    woken: mpsc::Receiver<()>,
}

async fn follow(
    mut eyes: Eyes,
    mut files: watch::Receiver<Arc<Followed>>,
    changes: mpsc::Sender<BTreeSet<PathBuf>>,
) {
    let mut watched = BTreeSet::new();
    let mut seen: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
    loop {
        let followed = Arc::clone(&files.borrow_and_update());
        // Arm first, look second: a change in between is then an event, not a gap.
        let armed = arm(eyes.watcher.as_mut(), &mut watched, &followed.files);
        let changed = look(&followed, &mut seen);
        if !changed.is_empty() && changes.send(changed).await.is_err() {
            return;
        }
        let pause = if armed { SAFETY_RESCAN } else { POLL };
        tokio::select! {
            changed = files.changed() => if changed.is_err() { return },
            Some(()) = eyes.woken.recv() => {
                let quiet = async { while timeout(QUIET, eyes.woken.recv()).await.is_ok() {} };
                // In a directory that is written to all the time it never gets quiet.
                let _waited_enough = timeout(QUIET_AT_LAST, quiet).await;
            }
            () = sleep(pause) => {}
        }
    }
}

fn new_watcher(wake: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        let ours = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
        if !ours {
            // A full channel already says "look again".
            let _already_woken = wake.try_send(());
        }
    };
    match notify::recommended_watcher(handler) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, "no inotify: files are looked at every few seconds instead");
            None
        }
    }
}

/// Watches the directories of all followed files. Returns `false` when one of them cannot be
/// watched, so that the files have to be polled.
fn arm(
    watcher: Option<&mut RecommendedWatcher>,
    watched: &mut BTreeSet<(PathBuf, Stamp)>,
    followed: &BTreeMap<PathBuf, Option<Stamp>>,
) -> bool {
    let Some(watcher) = watcher else { return false };
    let wanted: BTreeSet<(PathBuf, Stamp)> = followed
        .keys()
        .flat_map(|file| directories_of(file))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|directory| (directory.clone(), Stamp::identity_of(&directory)))
        .collect();
    for (gone, _) in watched.difference(&wanted) {
        // A directory that was removed and made again has lost its watch with its inode.
        let _not_watched_any_more = watcher.unwatch(gone);
    }
    let mut all = true;
    let mut now_watched: BTreeSet<_> = watched.intersection(&wanted).cloned().collect();
    for new in wanted.difference(watched) {
        match watcher.watch(&new.0, RecursiveMode::NonRecursive) {
            Ok(()) => {
                now_watched.insert(new.clone());
            }
            Err(error) => {
                debug!(directory = %new.0.display(), %error, "cannot be watched, will be polled");
                all = false;
            }
        }
    }
    *watched = now_watched;
    all
}

/// Returns the directories where a change to `file` shows: its own parent, or the nearest ancestor
/// that exists, the parents along a chain of symlinks, and `file` itself if it is a directory.
fn directories_of(file: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    if file.is_dir() {
        directories.insert(file.to_path_buf());
    }
    let mut at = file.to_path_buf();
    for _ in 0..MAX_LINKS {
        if let Some(parent) = at.ancestors().skip(1).find(|ancestor| ancestor.is_dir()) {
            directories.insert(parent.to_path_buf());
        }
        let Ok(target) = std::fs::read_link(&at) else {
            break;
        };
        at = at
            .parent()
            .map_or_else(|| target.clone(), |parent| parent.join(&target));
    }
    if let Ok(resolved) = file.canonicalize()
        && let Some(parent) = resolved.parent()
    {
        directories.insert(parent.to_path_buf());
    }
    directories
}

fn look(followed: &Followed, seen: &mut BTreeMap<PathBuf, Stamp>) -> BTreeSet<PathBuf> {
    seen.retain(|file, _| followed.files.contains_key(file));
    let mut changed = BTreeSet::new();
    for (file, read) in &followed.files {
        let stamp = Stamp::of(file);
        let before = seen.insert(file.clone(), stamp).or(*read);
        let news = match before {
            Some(before) => before != stamp,
            None => stamp.changed_after(followed.read_at),
        };
        if news {
            changed.insert(file.clone());
        }
    }
    changed
}

/// So long no event may come before files are looked at: an editor's several steps, or a copy that
/// is under way, are one change.
const QUIET: Duration = Duration::from_millis(200);
/// The wait for quiet is at most so long.
const QUIET_AT_LAST: Duration = Duration::from_secs(2);
/// How often files are looked at where inotify does not work: no watches are left, or on some
/// network file systems.
const POLL: Duration = Duration::from_secs(5);
/// How often files are looked at where inotify works: a watch can be lost silently. Longer is
/// better, as each look costs several wake-ups: tokio approaches a distant time in steps.
const SAFETY_RESCAN: Duration = Duration::from_secs(240);
/// So many symbolic links of a chain are followed.
const MAX_LINKS: usize = 8;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::clock;

    async fn following(files: &[&Path]) -> Watch {
        let files = files
            .iter()
            .map(|file| (file.to_path_buf(), None))
            .collect();
        // The files of a test are made just before: to the watch they are not news.
        let read_at = clock::unix_now() + Duration::from_secs(1);
        let watch = Watch::start(Followed { files, read_at });
        // On this runtime of one thread the task now arms its watches and takes its first look.
        tokio::task::yield_now().await;
        watch
    }

    async fn next(watch: &mut Watch) -> Vec<PathBuf> {
        let wait = timeout(Duration::from_secs(4), watch.changed());
        wait.await.expect("a change").into_iter().collect()
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test plays the editor")]
    async fn sees_every_way_a_file_can_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let later = dir.path().join("new/dir/later");
        let link = dir.path().join("mounted");
        for version in ["v1", "v2"] {
            fs::create_dir(dir.path().join(version)).unwrap();
            fs::write(dir.path().join(version).join("key"), version).unwrap();
        }
        symlink("v1", dir.path().join("..data")).unwrap();
        symlink("..data/key", &link).unwrap();
        fs::write(&file, "one").unwrap();
        let mut watch = following(&[&file, &later, &link]).await;

        fs::write(&file, "in place").unwrap();
        assert_eq!(next(&mut watch).await, [file.as_path()]);

        fs::write(dir.path().join("tmp"), "renamed").unwrap();
        fs::rename(dir.path().join("tmp"), &file).unwrap();
        assert_eq!(next(&mut watch).await, [file.as_path()]);

        symlink("v2", dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        assert_eq!(next(&mut watch).await, [link]);

        fs::create_dir_all(later.parent().unwrap()).unwrap();
        fs::write(&later, "here").unwrap();
        assert_eq!(next(&mut watch).await, [later.as_path()]);

        fs::remove_dir_all(dir.path().join("new")).unwrap();
        assert_eq!(next(&mut watch).await, [later.as_path()]);
        fs::create_dir_all(later.parent().unwrap()).unwrap();
        fs::write(&later, "again").unwrap();
        assert_eq!(next(&mut watch).await, [later]);

        fs::remove_file(&file).unwrap();
        assert_eq!(next(&mut watch).await, [file]);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test plays the editor")]
    async fn a_file_edited_within_a_followed_directory_is_a_change_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("10-lev.toml"), "one").unwrap();
        let mut watch = following(&[dir.path()]).await;
        fs::write(dir.path().join("10-lev.toml"), "edited").unwrap();
        assert_eq!(next(&mut watch).await, [dir.path()]);
        fs::write(dir.path().join("20-new.toml"), "new").unwrap();
        assert_eq!(next(&mut watch).await, [dir.path()]);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the test plays the editor")]
    async fn a_change_shows_in_a_directory_that_is_never_quiet() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        fs::write(&file, "one").unwrap();
        let mut watch = following(&[&file]).await;
        let noise = dir.path().join("log");
        let noisy = tokio::spawn(async move {
            loop {
                fs::write(&noise, "a line").unwrap();
                sleep(QUIET / 4).await;
            }
        });
        fs::write(&file, "two").unwrap();
        assert_eq!(next(&mut watch).await, [file]);
        noisy.abort();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test plays the editor")]
    fn what_changed_between_reading_and_following_is_news() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let read_at = clock::unix_now();
        let nothing = Stamp::of(&file);
        fs::write(&file, "written after it was read").unwrap();
        for (stamp, expected) in [
            (None, true),
            (Some(nothing), true),
            (Some(Stamp::of(&file)), false),
        ] {
            let files = BTreeMap::from([(file.clone(), stamp)]);
            let followed = Followed { files, read_at };
            assert_eq!(!look(&followed, &mut BTreeMap::new()).is_empty(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "the test plays the editor")]
    async fn without_inotify_it_polls() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let (_keep, woken) = mpsc::channel(1);
        let eyes = Eyes {
            watcher: None,
            woken,
        };
        let files = BTreeMap::from([(file.clone(), Some(Stamp::of(&file)))]);
        let followed = Followed {
            files,
            read_at: Duration::ZERO,
        };
        let (_followed, receiver) = watch::channel(Arc::new(followed));
        let (sender, mut changes) = mpsc::channel(1);
        let task = tokio::spawn(follow(eyes, receiver, sender));
        tokio::task::yield_now().await;
        fs::write(&file, "here").unwrap();
        let changed = timeout(POLL * 2, changes.recv()).await.unwrap();
        assert_eq!(changed, Some(BTreeSet::from([file])));
        task.abort();
    }
}
