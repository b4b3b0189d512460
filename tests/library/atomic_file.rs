//! What readers, other users and broken disks see of `atomic_file`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bearerd::atomic_file::{
    Attributes, Directory, WriteError, read_matching, remove, write, write_all,
};
use rustix::io::Errno;
use tempfile::TempDir;
use zeroize::Zeroizing;

const OURS: Attributes = Attributes {
    owner: None,
    group: None,
    mode: 0o600,
};

fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Every name but the ones expected: leftovers.
fn others(directory: &Path, expected: &[&str]) -> Vec<OsString> {
    let names = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| !expected.iter().any(|e| name == *e))
        .collect()
}

fn errno(result: Result<(), WriteError>) -> (Errno, String) {
    let error = result.unwrap_err();
    let hint = error.hint().unwrap_or_default();
    let WriteError::Failed { cause, .. } = &error else {
        panic!("{error:?}");
    };
    (*cause, format!("{error}: {cause}; hint: {hint}"))
}

/// One of many contents, each of its own length, and recognizable when cut or mixed.
fn content(generation: u64) -> Vec<u8> {
    let lines = 1 + generation % 700;
    format!("{generation:016}\n")
        .repeat(usize::try_from(lines).unwrap())
        .into_bytes()
}

#[test]
fn a_reader_never_sees_a_partial_or_empty_file() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    write(&path, &content(0), &OURS).unwrap();
    let (done, reads, changes) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let seen = fs::read(&path).unwrap();
                let line = std::str::from_utf8(seen.get(..16).expect("cut or empty")).unwrap();
                let generation: u64 = line.parse().unwrap();
                assert!(
                    seen == content(generation),
                    "generation {generation} is not whole"
                );
                assert!(generation >= last, "{last} was newer than {generation}");
                reads.fetch_add(1, Ordering::Relaxed);
                changes.fetch_add(u64::from(generation > last), Ordering::Relaxed);
                last = generation;
            }
        });
        for generation in 1..=10_000 {
            write(&path, &content(generation), &OURS).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let (reads, changes) = (reads.into_inner(), changes.into_inner());
    println!("10000 replacements, {reads} reads, {changes} different contents seen");
    assert!(
        changes > 100,
        "the reader and the writer did not run side by side"
    );
    assert_eq!(others(scratch.path(), &["token"]), Vec::<OsString>::new());
}

#[test]
fn owner_and_mode_are_set_before_the_content() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    let owner = is_root().then_some(12345);
    let group = is_root().then_some(23456);
    let attributes = Attributes {
        owner,
        group,
        mode: 0o640,
    };
    let (done, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(scratch.path()).unwrap().flatten() {
                    if entry.file_name() == "token" {
                        continue;
                    }
                    // Gone by now, as likely as not.
                    let Ok(now) = entry.metadata() else { continue };
                    assert_eq!(now.mode() & 0o007, 0, "others may read it");
                    if now.len() > 0 {
                        seen.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(now.mode() & 0o7777, 0o640);
                        assert!(owner.is_none_or(|owner| owner == now.uid()));
                        assert!(group.is_none_or(|group| group == now.gid()));
                    }
                }
            }
        });
        for generation in 0..5000 {
            write(&path, &content(699 + 700 * generation), &attributes).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let seen = seen.into_inner();
    println!("{seen} temporary files with content seen");
    assert!(seen > 0);
}

#[test]
fn owner_group_and_mode_are_applied_at_every_write() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    if !is_root() {
        println!("skipped: only root may give files away");
        return;
    }
    let attributes = Attributes {
        owner: Some(12345),
        group: Some(23456),
        mode: 0o640,
    };
    for content in ["one", "two"] {
        write(&path, content.as_bytes(), &attributes).unwrap();
        let now = fs::metadata(&path).unwrap();
        assert_eq!((now.uid(), now.gid(), mode(&path)), (12345, 23456, 0o640));
        assert!(read_matching(&path, &attributes).is_some());
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        assert!(read_matching(&path, &attributes).is_none());
        set_mode(&path, 0o666);
        assert!(read_matching(&path, &OURS).is_none());
    }
    write(&path, b"three", &OURS).unwrap();
    assert_eq!(*read_matching(&path, &OURS).unwrap().content, b"three");
    // A directory that hands its group down does so.
    std::os::unix::fs::chown(scratch.path(), None, Some(34567)).unwrap();
    set_mode(scratch.path(), 0o2755);
    assert!(read_matching(&path, &OURS).is_none());
    write(&path, b"three", &OURS).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().gid(), 34567);
    assert!(read_matching(&path, &OURS).is_some());
}

#[test]
fn the_umask_has_no_say() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    for umask in ["0000", "0077", "0777"] {
        let status = Command::new("sh")
            .args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "atomic_file::child_writes_0644", "--ignored"])
            .env("TARGET", &path)
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(mode(&path), 0o644, "umask {umask}");
        remove(&path).unwrap();
    }
}

#[test]
#[ignore = "run by the_umask_has_no_say"]
fn child_writes_0644() {
    let attributes = Attributes {
        mode: 0o644,
        ..OURS
    };
    write(&target_of_child(), b"token", &attributes).unwrap();
}

fn target_of_child() -> PathBuf {
    std::env::var_os("TARGET").unwrap().into()
}

#[test]
fn only_regular_files_are_replaced_or_removed() {
    let scratch = scratch();
    let victim = scratch.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let [link, dangling, directory, pipe] =
        ["link", "dangling", "directory", "pipe"].map(|name| scratch.path().join(name));
    symlink(&victim, &link).unwrap();
    symlink("/nowhere/at/all", &dangling).unwrap();
    fs::create_dir(&directory).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    for (path, what) in [
        (&link, "a symbolic link"),
        (&dangling, "a symbolic link"),
        (&directory, "a directory"),
        (&pipe, "a device, socket or pipe"),
    ] {
        for result in [write(path, b"token", &OURS), remove(path)] {
            let text = result.unwrap_err().to_string();
            assert_eq!(
                text,
                format!("{} is {what}, not a regular file", path.display())
            );
        }
        assert!(read_matching(path, &OURS).is_none());
    }
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    let expected = ["victim", "link", "dangling", "directory", "pipe"];
    assert_eq!(others(scratch.path(), &expected), Vec::<OsString>::new());
    assert!(matches!(
        write(Path::new("/"), b"", &OURS),
        Err(WriteError::NoFileName(_))
    ));
}

#[test]
fn a_directory_others_can_write_to_is_refused() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    for (bits, accepted) in [
        (0o755, true),
        (0o775, false),
        (0o757, false),
        (0o1777, true),
        (0o2755, true),
        (0o2775, false),
    ] {
        set_mode(scratch.path(), bits);
        let result = write(&path, b"token", &OURS);
        assert_eq!(result.is_ok(), accepted, "{bits:o}: {result:?}");
        if let Err(e) = result {
            let text = e.to_string();
            assert!(
                text.contains("is writable by others than its owner"),
                "{text}"
            );
            assert!(text.contains(&format!("mode {bits:04o}")), "{text}");
            assert!(text.contains(scratch.path().to_str().unwrap()), "{text}");
        }
    }
    if is_root() {
        set_mode(scratch.path(), 0o755);
        std::os::unix::fs::chown(scratch.path(), Some(12345), None).unwrap();
        let text = write(&path, b"token", &OURS).unwrap_err().to_string();
        assert!(
            text.contains("is owned by somebody else (mode 0755, owner 12345)"),
            "{text}"
        );
    }
}

/// A mount that is undone at the end; `None` where the kernel refuses.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], target: &Path) -> Option<Self> {
        let output = Command::new("mount")
            .args(arguments)
            .arg(target)
            .output()
            .unwrap();
        if output.status.success() {
            return Some(Self(target.into()));
        }
        println!(
            "skipped: mount: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_single_file_bind_mount_is_explained() {
    let scratch = scratch();
    let [source, target] = ["source", "target"].map(|name| scratch.path().join(name));
    fs::write(&source, "old").unwrap();
    fs::write(&target, "").unwrap();
    let Some(mount) = Mount::new(&["--bind", source.to_str().unwrap()], &target) else {
        return;
    };
    let (cause, text) = errno(write(&target, b"new", &OURS));
    assert_eq!(cause, Errno::BUSY);
    assert!(text.contains("it is a mount point"), "{text}");
    assert_eq!(errno(remove(&target)).0, Errno::BUSY);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(
        others(scratch.path(), &["source", "target"]),
        Vec::<OsString>::new()
    );
    drop(mount);
    write(&target, b"new", &OURS).unwrap();
}

#[test]
fn the_old_file_outlives_a_full_and_a_read_only_disk() {
    let scratch = scratch();
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"], &disk)
    else {
        return;
    };
    let path = disk.join("token");
    write(&path, b"old", &OURS).unwrap();
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 48 << 10]).unwrap();

    let (cause, text) = errno(write(&path, &[b'x'; 32 << 10], &OURS));
    assert_eq!(cause, Errno::NOSPC);
    assert!(text.contains("hint: make room"), "{text}");
    let files = [
        (OsString::from("token"), Zeroizing::new(b"ne".to_vec())),
        (OsString::from("big"), Zeroizing::new(vec![b'x'; 32 << 10])),
    ];
    let directory = Directory::open(&disk).unwrap();
    let mut replaced = Vec::new();
    let results = write_all(&directory, files, &OURS, &mut replaced);
    assert_eq!(others(&disk, &["token", "filler"]), replaced);
    assert_eq!(fs::read(disk.join(&replaced[0])).unwrap(), b"old");
    directory.discard(&replaced[0]);
    assert!(
        matches!(results.as_slice(), [Ok(()), Err(_)]),
        "{results:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"ne");
    assert_eq!(others(&disk, &["token", "filler"]), Vec::<OsString>::new());
    fs::remove_file(filler).unwrap();
    write(&path, &[b'x'; 32 << 10], &OURS).unwrap();

    mount.remount("ro");
    for result in [write(&path, b"new", &OURS), remove(&path)] {
        let (cause, text) = errno(result);
        assert_eq!(cause, Errno::ROFS);
        assert!(text.contains("read-only"), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), [b'x'; 32 << 10]);
    mount.remount("rw");
    write(&path, b"new", &OURS).unwrap();
    assert_eq!(others(&disk, &["token"]), Vec::<OsString>::new());
}

#[test]
fn missing_permission_is_explained() {
    if !is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let scratch = scratch();
    set_mode(scratch.path(), 0o755);
    let path = scratch.path().join("token");
    fs::write(&path, "old").unwrap();
    // The build directory may be closed to others.
    let program = scratch.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(program)
        .args([
            "--exact",
            "atomic_file::child_is_refused",
            "--ignored",
            "--nocapture",
        ])
        .env("TARGET", &path)
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
#[ignore = "run by missing_permission_is_explained"]
fn child_is_refused() {
    let (cause, text) = errno(write(&target_of_child(), b"new", &OURS));
    assert_eq!(cause, Errno::ACCESS, "{text}");
    assert!(
        text.contains("search permission on the directory"),
        "{text}"
    );
    assert_eq!(errno(remove(&target_of_child())).0, Errno::ACCESS);
    let own = tempfile::tempdir().unwrap();
    let foreign = Attributes {
        owner: Some(0),
        ..OURS
    };
    let (cause, text) = errno(write(&own.path().join("token"), b"new", &foreign));
    assert_eq!(cause, Errno::PERM, "{text}");
    assert!(text.contains("only root may give a file"), "{text}");
    assert_eq!(others(own.path(), &[]), Vec::<OsString>::new());
}

#[test]
fn what_killed_writers_left_is_swept_and_nothing_else() {
    let scratch = scratch();
    let names = [".bearerd-tmp-dead", ".bearerd-tmp-alive", "token", ".other"];
    for name in names {
        fs::write(scratch.path().join(name), "content").unwrap();
    }
    let alive = fs::File::open(scratch.path().join(".bearerd-tmp-alive")).unwrap();
    alive.lock().unwrap();
    let directory = Directory::open(scratch.path()).unwrap();
    directory.sweep().unwrap();
    assert_eq!(others(scratch.path(), &names[1..]), Vec::<OsString>::new());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
    drop(alive);
    directory.sweep().unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
}

#[test]
fn removing_what_is_not_there_is_no_error() {
    let scratch = scratch();
    let path = scratch.path().join("token");
    remove(&path).unwrap();
    remove(&scratch.path().join("no/such/directory/token")).unwrap();
    write(&path, b"token", &OURS).unwrap();
    remove(&path).unwrap();
    assert!(!path.exists());
    let (cause, text) = errno(write(&scratch.path().join("no/token"), b"", &OURS));
    assert_eq!(cause, Errno::NOENT);
    assert!(text.contains("hint: create its directory first"), "{text}");
}

#[test]
fn in_a_batch_each_file_has_its_own_result() {
    let scratch = scratch();
    fs::create_dir(scratch.path().join("taken")).unwrap();
    let file = |name: &str| {
        (
            OsString::from(name),
            Zeroizing::new(name.as_bytes().to_vec()),
        )
    };
    let files = [file("one"), file("taken"), file("two")];
    let directory = Directory::open(scratch.path()).unwrap();
    let results = write_all(&directory, files, &OURS, &mut Vec::new());
    assert!(
        matches!(results.as_slice(), [Ok(()), Err(_), Ok(())]),
        "{results:?}"
    );
    assert_eq!(fs::read(scratch.path().join("two")).unwrap(), b"two");
    assert_eq!(mode(&scratch.path().join("one")), 0o600);
    assert_eq!(
        others(scratch.path(), &["one", "two", "taken"]),
        Vec::<OsString>::new()
    );
}
