//! Secrets by reference.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use secrecy::SecretString;
use zeroize::Zeroize;

use super::environment::Environment;

/// Where a secret is: never the secret itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretRef {
    /// `{ credential = "NAME" }`: a file in `$CREDENTIALS_DIRECTORY` (`systemd.exec(5)`).
    Credential(String),
    /// `{ env = "NAME" }`.
    Env(String),
    /// `{ file = "/path" }`.
    File(PathBuf),
}

/// Why a secret cannot be read. Never holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file holds nothing.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// The environment lacks it.
    #[error("environment variable {0} is not set")]
    EnvUnset(String),
    /// There is no credentials directory.
    #[error("credential {0}: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentialsDirectory(String),
    /// A device, a directory or the like.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Bytes that are no text.
    #[error("{} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Somebody else may read or replace it.
    #[error("{} is {rule} (mode {mode:04o}, owner {owner})", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        rule: &'static str,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// No secret is that long.
    #[error("{} is larger than 64 KiB", .0.display())]
    TooLarge(PathBuf),
    /// It cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}

impl SecretRef {
    /// Reads the secret. One trailing newline is not part of it.
    ///
    /// # Errors
    /// [`SecretError`] when it is missing, empty, over 64 KiB, not UTF-8, or open to others than its owner
    /// and root. A systemd credential is exempt from the last: systemd alone decides who reads it.
    pub fn read(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        match self {
            Self::Credential(name) => {
                let path = self
                    .path(environment)
                    .ok_or_else(|| SecretError::NoCredentialsDirectory(name.clone()))?;
                read_file(&path, Audit::SystemdCredential)
            }
            Self::Env(name) => match environment.var(name) {
                Some(value) if !value.is_empty() => Ok(SecretString::from(value)),
                _ => Err(SecretError::EnvUnset(name.clone())),
            },
            Self::File(path) => read_file(path, Audit::OwnerOnly),
        }
    }

    /// The file that holds the secret, if a file does: the one to watch.
    #[must_use]
    pub fn path(&self, environment: &Environment) -> Option<PathBuf> {
        match self {
            Self::Credential(name) => {
                Some(environment.directory("CREDENTIALS_DIRECTORY")?.join(name))
            }
            Self::Env(_) => None,
            Self::File(path) => Some(path.clone()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Audit {
    OwnerOnly,
    SystemdCredential,
}

/// Checks the opened descriptor, not the path: what is checked is what is read.
fn read_file(path: &Path, audit: Audit) -> Result<SecretString, SecretError> {
    let unreadable = |cause: io::Error| SecretError::Unreadable {
        path: path.into(),
        cause,
    };
    // NONBLOCK: opening a FIFO must not wait for its writer. It means nothing to a regular file.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let descriptor =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|e| unreadable(e.into()))?;
    let stat = rustix::fs::fstat(&descriptor).map_err(|e| unreadable(e.into()))?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(SecretError::NotAFile(path.into()));
    }
    if audit == Audit::OwnerOnly
        && let Some(rule) = broken_rule(stat.st_mode, stat.st_uid)
    {
        let mode = stat.st_mode & 0o7777;
        return Err(SecretError::Permissions {
            path: path.into(),
            rule,
            mode,
            owner: stat.st_uid,
        });
    }
    let mut content =
        Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(MAX_SIZE) + 1);
    File::from(descriptor)
        .take(MAX_SIZE as u64 + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    let secret = parse(path, &content);
    content.zeroize();
    secret
}

fn parse(path: &Path, content: &[u8]) -> Result<SecretString, SecretError> {
    if content.len() > MAX_SIZE {
        return Err(SecretError::TooLarge(path.into()));
    }
    let text = std::str::from_utf8(content).map_err(|_| SecretError::NotUtf8(path.into()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(SecretError::Empty(path.into()));
    }
    Ok(SecretString::from(text))
}

fn broken_rule(mode: u32, owner: u32) -> Option<&'static str> {
    let ours = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 {
        Some("open to others than its owner")
    } else if owner != 0 && owner != ours {
        Some("owned by somebody else")
    } else {
        None
    }
}

const MAX_SIZE: usize = 64 * 1024;
