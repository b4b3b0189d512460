//! Binds a socket of our own, in place of one that nobody listens on any more.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::error::ApiError;

/// Listens at `path`, mode 0600, in place of a socket that nobody listens on any more.
///
/// While somebody still listens there, it waits, at most for `patience`. A daemon that was killed
/// may have left its sockets to a program that it was about to start, and that has them until it
/// begins.
///
/// # Errors
/// [`ApiError`] when somebody listens there, when something else has that name, and when the system
/// refuses.
pub fn bind(path: &Path, patience: Duration) -> Result<UnixListener, ApiError> {
    let failed = |cause: Errno| ApiError::Bind {
        path: path.into(),
        cause: cause.into(),
    };
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory.unwrap_or(Path::new(".")), flags, Mode::empty())
        .map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => ApiError::NoDirectory(path.into()),
            errno => failed(errno),
        })?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    wait_for_predecessor(&address, patience);
    // Two daemons that start at once must not each take the other's new socket for a stale one.
    rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    remove_stale(path, &address)?;
    let socket = stream_socket().map_err(failed)?;
    // Linux gives the file the mode of the unbound socket, less the umask: at no time is it wider.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    rustix::net::bind(&socket, &address).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    Ok(UnixListener::from(socket))
}

fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), ApiError> {
    let failed = |cause: Errno| ApiError::Bind {
        path: path.into(),
        cause: cause.into(),
    };
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket() {
        return Err(ApiError::NotASocket(path.into()));
    }
    match connect(address).map(drop) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(failed),
        Ok(()) | Err(Errno::AGAIN) => Err(ApiError::InUse(path.into())),
        Err(errno) => Err(failed(errno)),
    }
}

/// Waits until nobody can accept connections at `address` any more, at most for `patience`: then
/// the kernel ends a connection that nobody has accepted. Whether somebody still listens is found
/// out afterwards.
fn wait_for_predecessor(address: &SocketAddrUnix, patience: Duration) {
    let (Ok(probe), Ok(patience)) = (connect(address), Timespec::try_from(patience)) else {
        return;
    };
    let mut ended = [PollFd::new(&probe, PollFlags::empty())];
    let _ = poll(&mut ended, Some(&patience));
}

/// Connects without waiting. A full queue (EAGAIN) also means that somebody listens.
fn connect(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let probe = stream_socket()?;
    rustix::net::connect(&probe, address)?;
    Ok(probe)
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn waits_for_who_is_about_to_leave() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        let leaving = bind(&path, Duration::ZERO).unwrap();
        let bound = std::thread::scope(|scope| {
            let next = scope.spawn(|| bind(&path, Duration::from_secs(20)));
            // It is waiting now: what it has to learn by can be seen here.
            let mut knocked = [PollFd::new(&leaving, PollFlags::IN)];
            let soon = Timespec::try_from(Duration::from_secs(20)).unwrap();
            assert_eq!(poll(&mut knocked, Some(&soon)), Ok(1));
            drop(leaving);
            next.join().unwrap()
        });
        assert!(bound.is_ok(), "{bound:?}");
    }

    #[test]
    fn binds_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        let _listener = bind(&path, Duration::ZERO).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn replaces_a_stale_socket_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        let listener = bind(&path, Duration::ZERO).unwrap();
        assert!(matches!(
            bind(&path, Duration::ZERO),
            Err(ApiError::InUse(_))
        ));
        drop(listener);
        let _listener = bind(&path, Duration::ZERO).unwrap();

        let file = directory.path().join("file");
        std::fs::File::create(&file).unwrap();
        assert!(matches!(
            bind(&file, Duration::ZERO),
            Err(ApiError::NotASocket(_))
        ));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            bind(&link, Duration::ZERO),
            Err(ApiError::NotASocket(_))
        ));
        let nowhere = directory.path().join("none/bearerd.sock");
        assert!(matches!(
            bind(&nowhere, Duration::ZERO),
            Err(ApiError::NoDirectory(_))
        ));
        let long = directory.path().join("x".repeat(108));
        assert!(matches!(
            bind(&long, Duration::ZERO),
            Err(ApiError::Bind { .. })
        ));
    }

    #[test]
    fn of_many_at_once_one_takes_over_a_stale_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.sock");
        for _ in 0..100 {
            let start = std::sync::Barrier::new(8);
            let race = || {
                start.wait();
                bind(&path, Duration::ZERO)
            };
            let bound: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });
            let won = bound.iter().filter(|bound| bound.is_ok()).count();
            let in_use = |bound: &&Result<_, _>| matches!(bound, Err(ApiError::InUse(_)));
            assert_eq!((won, bound.iter().filter(in_use).count()), (1, 7));
        }
    }
}
