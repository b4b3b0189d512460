//! The directory of the durable state: `STATE_DIR/tokens/NAME.json`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bearerd_core::credential::TokenName;
use rustix::io::Errno;

use super::moment::Moment;
use super::seal::{OpenError, Sealer};
use super::state_file::{DecodeError, Record, decode};
use crate::atomic_file::{Directory, WriteError};

/// The directory of the durable state, locked against a second bearerd: two that refresh with the
/// same rotating refresh token would log each other out.
#[derive(Debug)]
pub struct StateDir {
    pub(super) directory: Directory,
    /// The tokens whose files are there and could not be read. The next write sets such a file
    /// aside and does not replace it: the refresh tokens in it may come back with the key.
    pub(super) unread: BTreeSet<TokenName>,
    /// The files that the last process did not come to remove. The writer removes them when it has
    /// time: a disk may take long over it, and the start must not.
    pub(super) leftovers: Vec<OsString>,
    tightened: Option<u32>,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The directory cannot be made.
    #[error("cannot create {}", path.display())]
    NotCreated {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// Another process holds the directory.
    #[error("{} is in use by another bearerd", .0.display())]
    InUse(PathBuf),
    /// The directory cannot be trusted, or not be read.
    #[error(transparent)]
    Unusable(#[from] WriteError),
}

/// Something in the state directory that an administrator should know of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StateWarning {
    /// A file that cannot be understood. It was renamed.
    #[error("state of {name} cannot be used: {cause}; it is kept as {}", kept_as.display())]
    Quarantined {
        /// The token.
        name: TokenName,
        /// The file's new path.
        kept_as: PathBuf,
        /// What is wrong with the file.
        cause: DecodeError,
    },
    /// A file that could not even be renamed. It stays, and counts as absent.
    #[error("state of {name} cannot be used: {cause}; nor set aside: {refusal}")]
    NotQuarantined {
        /// The token.
        name: TokenName,
        /// What is wrong with the file.
        cause: DecodeError,
        /// Why the file stays.
        refusal: WriteError,
    },
    /// A file sealed with a key that is not there. It stays until the token is obtained anew, and
    /// is then set aside.
    #[error("state of {name} cannot be used: {cause}")]
    Unopened {
        /// The token.
        name: TokenName,
        /// Which key is missing.
        cause: OpenError,
    },
    /// A file that cannot be read. It stays until the token is obtained anew, and is then set
    /// aside.
    #[error("state of {name} cannot be used: {cause}: {}", errno(cause))]
    Unreadable {
        /// The token.
        name: TokenName,
        /// Why it cannot be read.
        cause: WriteError,
    },
    /// Others could enter the directory. Its mode has been changed, so that they no longer can.
    #[error("the state directory had mode {0:04o}; it was set to 0700")]
    Tightened(u32),
}

/// What [`StateDir::load_all`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The usable records, by name.
    pub records: Vec<Record>,
    /// All that is not as it should be.
    pub warnings: Vec<StateWarning>,
}

impl StateDir {
    /// Opens `STATE_DIR/tokens`, makes both where they are missing, and locks it.
    ///
    /// # Errors
    /// [`StateDirError`], also when somebody else owns it: what bearerd writes there as another
    /// user, it could not read again as its own.
    pub fn open(state_dir: &Path) -> Result<Self, StateDirError> {
        let path = state_dir.join("tokens");
        let created = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        created.map_err(|cause| StateDirError::NotCreated {
            path: path.clone(),
            cause,
        })?;
        Directory::open(state_dir)?.audit()?;
        let directory = Directory::open(&path)?;
        let stat = directory.stat()?;
        let mode = stat.st_mode & 0o7777;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(StateDirError::Unusable(WriteError::Directory {
                path,
                rule: "owned by somebody else",
                mode,
                owner: stat.st_uid,
            }));
        }
        match directory.lock() {
            Err(WriteError::Failed { cause, .. }) if cause == Errno::WOULDBLOCK => {
                return Err(StateDirError::InUse(path));
            }
            other => other?,
        }
        let open_to_others = mode & 0o077 != 0;
        if open_to_others {
            directory.set_mode(0o700)?;
        }
        let leftovers = directory.temporary_names()?;
        Ok(Self {
            directory,
            leftovers,
            unread: BTreeSet::new(),
            tightened: open_to_others.then_some(mode),
        })
    }

    /// Reads all records. What cannot be used is set aside or left in place and never stops the
    /// others; each case is a warning.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn load_all(&mut self, sealer: &Sealer, moment: &Moment) -> Result<Loaded, StateDirError> {
        let mut loaded = Loaded::default();
        loaded
            .warnings
            .extend(self.tightened.take().map(StateWarning::Tightened));
        let mut names: Vec<TokenName> = self
            .directory
            .names()?
            .iter()
            .filter_map(|name| TokenName::parse(name.to_str()?.strip_suffix(".json")?).ok())
            .collect();
        names.sort_unstable();
        for name in names {
            match self.load(&name, sealer, moment) {
                Ok(record) => loaded.records.push(record),
                Err(warning) => loaded.warnings.push(warning),
            }
        }
        Ok(loaded)
    }

    fn load(
        &mut self,
        name: &TokenName,
        sealer: &Sealer,
        moment: &Moment,
    ) -> Result<Record, StateWarning> {
        let file = file_name(name);
        let name = name.clone();
        let bytes = match self.directory.read(&file, MAX_SIZE) {
            Ok((bytes, _)) => bytes,
            Err(cause) => {
                self.unread.insert(name.clone());
                return Err(StateWarning::Unreadable { name, cause });
            }
        };
        let cause = match decode(&name, &bytes, sealer, moment) {
            Ok(record) => return Ok(record),
            Err(DecodeError::Sealed(cause @ (OpenError::NoKey | OpenError::OtherKey))) => {
                self.unread.insert(name.clone());
                return Err(StateWarning::Unopened { name, cause });
            }
            Err(cause) => cause,
        };
        Err(match self.set_aside(&file, moment.unix_now.as_secs()) {
            Ok(kept_as) => StateWarning::Quarantined {
                name,
                kept_as,
                cause,
            },
            Err(refusal) => {
                self.unread.insert(name.clone());
                StateWarning::NotQuarantined {
                    name,
                    cause,
                    refusal,
                }
            }
        })
    }

    pub(super) fn set_aside(&self, file: &OsStr, unix_now: u64) -> Result<PathBuf, WriteError> {
        let kept_as = self
            .directory
            .set_aside(file, &format!(".quarantined-{unix_now}"))?;
        Ok(self.directory.path().join(kept_as))
    }
}

pub(super) fn file_name(name: &TokenName) -> OsString {
    format!("{name}.json").into()
}

fn errno(error: &WriteError) -> String {
    if let WriteError::Failed { cause, .. } = error {
        return cause.to_string();
    }
    "not as bearerd writes it".into()
}

/// A token response is at most 1 MiB; sealed, and with what was set aside, its record stays far
/// below.
const MAX_SIZE: usize = 64 << 20;
