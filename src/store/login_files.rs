//! Logins that have begun, across a restart: `STATE_DIR/logins/NAME.json`, sealed as the state is.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bearerd_core::credential::TokenName;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::seal::{SealError, Sealed, Sealer};
use crate::atomic_file::{self, Attributes, Directory, WriteError};

/// The directory of logins that have begun.
#[derive(Debug)]
pub struct LoginFiles {
    path: PathBuf,
    sealer: Sealer,
}

/// Why a login that has begun would not survive a restart.
#[derive(Debug, thiserror::Error)]
pub enum LoginFileError {
    /// The directory cannot be made.
    #[error("cannot create {}", path.display())]
    NotCreated {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// The login cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The login cannot be put into JSON.
    #[error("cannot put the login into words")]
    Json,
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Plain(String),
    Sealed(Sealed),
}

impl LoginFiles {
    /// The files of logins below this state directory. Nothing is made yet.
    #[must_use]
    pub fn new(state_dir: &Path, sealer: Sealer) -> Self {
        Self {
            path: state_dir.join("logins"),
            sealer,
        }
    }

    /// Makes a login durable. Blocks.
    ///
    /// # Errors
    /// [`LoginFileError`].
    pub fn write(&self, name: &TokenName, login: Zeroizing<Vec<u8>>) -> Result<(), LoginFileError> {
        let content = match &self.sealer {
            Sealer::Aes256Gcm(key) => Content::Sealed(key.seal(&bound_to(name), login)?),
            Sealer::None => {
                let text = String::from_utf8(login.to_vec());
                Content::Plain(text.map_err(|_| LoginFileError::Json)?)
            }
        };
        let bytes = serde_json::to_vec(&content).map_err(|_| LoginFileError::Json)?;
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path);
        made.map_err(|cause| LoginFileError::NotCreated {
            path: self.path.clone(),
            cause,
        })?;
        let own = Attributes {
            owner: None,
            group: None,
            mode: 0o600,
        };
        Ok(atomic_file::write(
            &self.file(name),
            &Zeroizing::new(bytes),
            &own,
        )?)
    }

    /// Forgets a login. Blocks.
    pub fn remove(&self, name: &TokenName) {
        if let Err(error) = atomic_file::remove(&self.file(name)) {
            tracing::warn!(token = %name, %error, "a login that is over cannot be removed");
        }
    }

    /// Reads all logins. Files that cannot be read are removed: whoever logs in has to begin again.
    /// Blocks.
    #[must_use]
    pub fn load_all(&self) -> Vec<(TokenName, Zeroizing<Vec<u8>>)> {
        let Ok(directory) = Directory::open(&self.path) else {
            return Vec::new();
        };
        let names = directory.names().unwrap_or_default();
        let names = names.iter().filter_map(|file| {
            let name = file.to_str()?.strip_suffix(".json")?;
            TokenName::parse(name).ok()
        });
        names
            .filter_map(|name| match self.load(&directory, &name) {
                Some(login) => Some((name, login)),
                None => {
                    self.remove(&name);
                    None
                }
            })
            .collect()
    }

    fn load(&self, directory: &Directory, name: &TokenName) -> Option<Zeroizing<Vec<u8>>> {
        let file = format!("{name}.json");
        let (bytes, _) = directory.read(file.as_ref(), MAX_SIZE).ok()?;
        match (serde_json::from_slice(&bytes).ok()?, &self.sealer) {
            (Content::Plain(login), _) => Some(Zeroizing::new(login.into_bytes())),
            (Content::Sealed(sealed), Sealer::Aes256Gcm(key)) => {
                key.open(&bound_to(name), &sealed).ok()
            }
            (Content::Sealed(_), Sealer::None) => None,
        }
    }

    fn file(&self, name: &TokenName) -> PathBuf {
        self.path.join(format!("{name}.json"))
    }
}

/// What a login's file is sealed for. No token's name has a NUL, so that a token's record never
/// passes for a login, nor a login for a record.
fn bound_to(name: &TokenName) -> String {
    format!("{name}\0login")
}

const MAX_SIZE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (
            TokenName::parse("one").unwrap(),
            TokenName::parse("other").unwrap(),
        );
        let login = || Zeroizing::new(br#"{"state":"canary"}"#.to_vec());
        let key = |byte| Sealer::from_key(&[byte; 32]).unwrap();
        for sealer in [Sealer::None, key(1)] {
            let sealed = !matches!(sealer, Sealer::None);
            let files = LoginFiles::new(directory.path(), sealer);
            files.write(&one, login()).unwrap();
            assert_eq!(files.load_all(), [(one.clone(), login())]);
            let text = std::fs::read_to_string(files.file(&one)).unwrap();
            assert_eq!(text.contains("canary"), !sealed);
        }
        // as another's, or with another key
        let files = LoginFiles::new(directory.path(), key(1));
        std::fs::rename(files.file(&one), files.file(&other)).unwrap();
        assert_eq!(files.load_all(), []);
        files.write(&one, login()).unwrap();
        assert_eq!(LoginFiles::new(directory.path(), key(2)).load_all(), []);
        assert_eq!(std::fs::read_dir(&files.path).unwrap().count(), 0);
    }
}
