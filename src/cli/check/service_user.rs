//! Root that checks the configuration of another user's service becomes that user, so that the
//! kernel judges the permissions.

use std::ffi::CString;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, initgroups, setgid, setgroups, setuid};

use crate::config::Environment;

/// Why root stays root.
#[derive(Debug, thiserror::Error)]
#[error("cannot become the user that owns {}", state_dir.display())]
pub(in crate::cli) struct ServiceUserError {
    state_dir: PathBuf,
    #[source]
    cause: Errno,
}

/// Becomes the owner of the state directory, whom the service runs as, if the process is root's and
/// the directory is somebody else's. Says so on standard error, and returns the environment with
/// the credentials of the running service, if it has any.
pub(super) fn become_it(
    state_dir: &Path,
    environment: &Environment,
) -> Result<Option<Environment>, ServiceUserError> {
    let (uid, gid) = match std::fs::metadata(state_dir) {
        Ok(found) => (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())),
        // The service has not been started yet.
        Err(_) => return Ok(None),
    };
    if uid.is_root() || !Uid::effective().is_root() {
        return Ok(None);
    }
    let name = drop_to(uid, gid).map_err(|cause| ServiceUserError {
        state_dir: state_dir.into(),
        cause,
    })?;
    let state_dir = state_dir.display();
    // Where it cannot be said, the result still can.
    let _ = writeln!(
        std::io::stderr(),
        "bearerd: checking as {name}, who owns {state_dir}"
    );
    let environment = environment.clone();
    Ok(Some(match Path::new(CREDENTIALS).exists() {
        true => environment.or("CREDENTIALS_DIRECTORY", CREDENTIALS),
        false => environment,
    }))
}

fn drop_to(uid: Uid, gid: Gid) -> nix::Result<String> {
    let user = User::from_uid(uid)?;
    let name = match user {
        Some(user) => {
            let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
            initgroups(&name, user.gid)?;
            setgid(user.gid)?;
            format!("user {}", user.name)
        }
        None => {
            setgroups(&[])?;
            setgid(gid)?;
            format!("uid {uid}")
        }
    };
    setuid(uid)?;
    Ok(name)
}

const CREDENTIALS: &str = "/run/credentials/bearerd.service";
