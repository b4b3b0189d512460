//! References to secrets. The configuration holds only these.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use secrecy::SecretString;
use zeroize::Zeroize;

use super::environment::Environment;

/// Where a secret is. It never holds the secret itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretRef {
    /// `{ credential = "NAME" }`: a file in `$CREDENTIALS_DIRECTORY` (`systemd.exec(5)`).
    Credential(String),
    /// `{ env = "NAME" }`: the value of an environment variable.
    Env(String),
    /// `{ file = "/path" }`: the content of a file.
    File(PathBuf),
    /// The same of a file that holds a token of somebody else's making, who sets its mode.
    TokenFile(PathBuf),
}

/// Why a secret cannot be read. It never holds any part of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is empty.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// The environment variable is not set, or is empty.
    #[error("environment variable {0} is not set")]
    EnvUnset(String),
    /// The secret is in a document that has not been fetched.
    #[error("http.{0} has not been fetched")]
    NotFetched(String),
    /// systemd has given no directory with credentials.
    #[error("credential {0}: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentialsDirectory(String),
    /// The path is that of a device, a directory or the like.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file holds bytes that are no text.
    #[error("{} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Somebody else may read or replace the file.
    #[error("{} is {rule} (mode {mode:04o}, owner {owner})", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// What is wrong with its owner or mode.
        rule: &'static str,
        /// Its permission bits.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// The file is larger than any secret.
    #[error("{} is larger than 64 KiB", .0.display())]
    TooLarge(PathBuf),
    /// The file cannot be opened or read.
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
    /// [`SecretError`] when it is missing, empty, over 64 KiB, not UTF-8, or open to others than
    /// its owner and root. A systemd credential is exempt from the last: systemd alone decides who
    /// reads it.
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
            Self::TokenFile(path) => read_file(path, Audit::OwnerWrites),
        }
    }

    /// The file that holds the secret, if a file does. It is watched for changes.
    #[must_use]
    pub fn path(&self, environment: &Environment) -> Option<PathBuf> {
        match self {
            Self::Credential(name) => {
                Some(environment.directory("CREDENTIALS_DIRECTORY")?.join(name))
            }
            Self::Env(_) => None,
            Self::File(path) | Self::TokenFile(path) => Some(path.clone()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Audit {
    OwnerOnly,
    OwnerWrites,
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
    let broken = match audit {
        Audit::OwnerOnly => broken_rule(stat.st_mode, stat.st_uid, READ_OR_WRITE),
        Audit::OwnerWrites => broken_rule(stat.st_mode, stat.st_uid, WRITE),
        Audit::SystemdCredential => None,
    };
    if let Some(rule) = broken {
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

/// `others` are the bits that only the owner may have.
fn broken_rule(mode: u32, owner: u32, others: u32) -> Option<&'static str> {
    let ours = rustix::process::geteuid().as_raw();
    if mode & others != 0 {
        Some("open to others than its owner")
    } else if owner != 0 && owner != ours {
        Some("owned by somebody else")
    } else {
        None
    }
}

const READ_OR_WRITE: u32 = 0o077;
const WRITE: u32 = 0o022;
const MAX_SIZE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use rustix::fs::{CWD, mkfifoat};
    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;

    /// A file of mode 0600 with this content.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's own file needs no atomic replacement"
    )]
    fn file(dir: &TempDir, content: &[u8]) -> PathBuf {
        let path = dir.path().join("secret");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn read(path: &Path) -> Result<String, SecretError> {
        let secret = SecretRef::File(path.into()).read(&Environment::default())?;
        Ok(secret.expose_secret().to_owned())
    }

    #[test]
    fn one_newline_at_the_end_is_no_part_of_it() {
        let dir = TempDir::new().unwrap();
        for (content, secret) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            ("hunter2\n\n", "hunter2\n"),
            (" hunter 2 \n", " hunter 2 "),
            ("a\nb\n", "a\nb"),
            ("pässwörd\n", "pässwörd"),
        ] {
            assert_eq!(read(&file(&dir, content.as_bytes())).unwrap(), secret);
        }
    }

    #[test]
    fn what_holds_no_secret_is_refused() {
        let dir = TempDir::new().unwrap();
        for content in ["", "\n", "\r\n"] {
            let error = read(&file(&dir, content.as_bytes())).unwrap_err();
            assert!(matches!(error, SecretError::Empty(_)), "{content:?}");
        }
        let error = read(&file(&dir, b"hunter\xff2")).unwrap_err();
        assert!(matches!(error, SecretError::NotUtf8(_)));
        assert!(!format!("{error:?} {error}").contains("hunter"));
        assert_eq!(
            read(&file(&dir, &[b'x'; MAX_SIZE])).unwrap().len(),
            MAX_SIZE
        );
        let error = read(&file(&dir, &[b'x'; MAX_SIZE + 1])).unwrap_err();
        assert!(matches!(error, SecretError::TooLarge(_)));
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let dir = TempDir::new().unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(matches!(error, SecretError::NotAFile(_)));
        // Nobody ever writes to this one: opening it must not block.
        let fifo = dir.path().join("fifo");
        mkfifoat(CWD, &fifo, Mode::from(0o600)).unwrap();
        assert!(matches!(read(&fifo), Err(SecretError::NotAFile(_))));
        let error = read(&dir.path().join("absent")).unwrap_err();
        assert!(error.to_string().ends_with("absent"));
        let SecretError::Unreadable { cause, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(cause.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_others_may_open_is_refused() {
        let dir = TempDir::new().unwrap();
        let path = file(&dir, b"hunter2");
        for (mode, allowed) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o620, false),
            (0o604, false),
            (0o602, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).is_ok(), allowed, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let shown = read(&path).unwrap_err().to_string();
        assert!(
            shown.contains("is open to others than its owner (mode 0640"),
            "{shown}"
        );
    }

    /// The kubelet writes a pod's token so that all of the pod can read it (0644; 0640 with
    /// `fsGroup`), and nobody there can change that.
    #[test]
    fn a_token_that_a_platform_writes_may_be_read_by_others() {
        let dir = TempDir::new().unwrap();
        let path = file(&dir, b"e30.e30.c2ln");
        for (mode, allowed) in [(0o644, true), (0o640, true), (0o664, false), (0o646, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let token = SecretRef::TokenFile(path.clone()).read(&Environment::default());
            assert_eq!(token.is_ok(), allowed, "{mode:o}");
        }
    }

    /// A symbolic link's own mode says nothing: what it leads to is checked, because that is what
    /// is open.
    #[test]
    fn a_link_does_not_hide_the_file_behind_it() {
        let dir = TempDir::new().unwrap();
        let path = file(&dir, b"hunter2");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(read(&link).unwrap(), "hunter2");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&link), Err(SecretError::Permissions { .. })));
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        assert_eq!(broken_rule(0o100_600, 0, READ_OR_WRITE), None);
        let ours = rustix::process::geteuid().as_raw();
        assert_eq!(broken_rule(0o100_600, ours, READ_OR_WRITE), None);
        assert_eq!(
            broken_rule(0o100_600, ours + 1, READ_OR_WRITE),
            Some("owned by somebody else")
        );
        if ours == 0 {
            let dir = TempDir::new().unwrap();
            let path = file(&dir, b"hunter2");
            chown(&path, Some(12345), None).unwrap();
            assert!(matches!(
                read(&path),
                Err(SecretError::Permissions { owner: 12345, .. })
            ));
        }
    }

    #[test]
    fn credentials_and_variables() {
        let dir = TempDir::new().unwrap();
        let path = file(&dir, b"hunter2");
        // systemd hands credentials out with modes of its own.
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        let directory = dir.path().display().to_string();
        let environment: Environment = [
            ("CREDENTIALS_DIRECTORY", directory.as_str()),
            ("PASSWORD", "hunter3"),
            ("EMPTY", ""),
        ]
        .into();
        let read = |secret: SecretRef, environment: &Environment| {
            secret
                .read(environment)
                .map(|s| s.expose_secret().to_owned())
        };
        let credential = SecretRef::Credential("secret".into());
        assert_eq!(credential.path(&environment), Some(path));
        assert_eq!(read(credential.clone(), &environment).unwrap(), "hunter2");
        assert!(matches!(
            read(credential, &Environment::default()),
            Err(SecretError::NoCredentialsDirectory(_))
        ));
        let variable = |name: &str| SecretRef::Env(name.into());
        assert_eq!(read(variable("PASSWORD"), &environment).unwrap(), "hunter3");
        for name in ["EMPTY", "ABSENT"] {
            let error = read(variable(name), &environment).unwrap_err();
            assert!(matches!(error, SecretError::EnvUnset(_)));
        }
        assert_eq!(variable("PASSWORD").path(&environment), None);
    }
}
