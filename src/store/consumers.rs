//! Which units were given which token. They have to ask again when it is replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bearerd_core::credential::TokenName;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::atomic_file::{self, Attributes, Directory, WriteError};
use crate::error_chain::error_chain;

/// By token, the units that have got it as a credential, each with the generation that it got last.
type Served = BTreeMap<String, BTreeMap<String, u64>>;

/// What is known of the consumers. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Consumers(watch::Sender<Served>);

/// Why the consumers of before the restart are forgotten.
#[derive(Debug, thiserror::Error)]
enum RestoreError {
    #[error(transparent)]
    Unreadable(#[from] WriteError),
    #[error("{} is not as bearerd writes it", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
}

impl Consumers {
    /// Reads `STATE_DIR/consumers.json`. A task of its own writes the file anew when something
    /// changes. Without the file nothing is known: a unit that is not known keeps its old token
    /// until it is restarted.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn restore(state_dir: &Path) -> Self {
        let served = read(state_dir).unwrap_or_else(|error| {
            tracing::warn!(error = error_chain(&error), "consumers forgotten");
            Served::default()
        });
        let consumers = Self(watch::Sender::new(served));
        tokio::spawn(keep(consumers.0.subscribe(), state_dir.join(FILE)));
        consumers
    }

    /// Notes that a unit was given this generation of a token. Of too many units, the one with the
    /// oldest generation is forgotten.
    pub fn note(&self, token: &TokenName, unit: &str, generation: u64) {
        self.0.send_if_modified(|served| {
            let units = served.entry(token.to_string()).or_default();
            if units.insert(unit.to_owned(), generation) == Some(generation) {
                return false;
            }
            if units.len() > MAX_UNITS {
                let oldest = units.iter().min_by_key(|(_, generation)| **generation);
                let oldest = oldest.map(|(unit, _)| unit.clone());
                oldest.map(|unit| units.remove(&unit));
            }
            true
        });
    }

    /// The units that were last given an older generation.
    #[must_use]
    pub fn behind(&self, token: &TokenName, generation: u64) -> Vec<String> {
        let served = self.0.borrow();
        let units = served.get(token.as_str()).into_iter().flatten();
        let behind = units.filter(|(_, served)| **served < generation);
        behind.map(|(unit, _)| unit.clone()).collect()
    }

    /// Forgets a unit that has ended: it will ask anew when it starts.
    pub fn forget(&self, token: &TokenName, unit: &str) {
        self.0.send_if_modified(|served| {
            let units = served.get_mut(token.as_str());
            units.is_some_and(|units| units.remove(unit).is_some())
        });
    }
}

fn read(state_dir: &Path) -> Result<Served, RestoreError> {
    let directory = Directory::open(state_dir)?;
    let bytes = match directory.read(FILE.as_ref(), MAX_SIZE) {
        Err(WriteError::Failed { cause, .. }) if cause == rustix::io::Errno::NOENT => {
            return Ok(Served::default());
        }
        other => other?.0,
    };
    serde_json::from_slice(&bytes).map_err(|cause| RestoreError::Malformed {
        path: state_dir.join(FILE),
        cause,
    })
}

/// Writes what is known whenever it changes. Of several changes during a write, the last counts.
async fn keep(mut served: watch::Receiver<Served>, path: PathBuf) {
    while served.changed().await.is_ok() {
        let bytes = serde_json::to_vec(&*served.borrow_and_update());
        let path = path.clone();
        let write = move || atomic_file::write(&path, &bytes.unwrap_or_default(), &ATTRIBUTES);
        match spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = error_chain(&error);
                tracing::warn!(error, "consumers not kept: a restart will forget them");
            }
            // The daemon is ending.
            Err(_) => return,
        }
    }
}

const ATTRIBUTES: Attributes = Attributes {
    owner: None,
    group: None,
    mode: 0o600,
};
const FILE: &str = "consumers.json";
const MAX_SIZE: usize = 16 << 20;
/// So many units of one token are known at most.
const MAX_UNITS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> TokenName {
        TokenName::parse(name).unwrap()
    }

    #[test]
    fn who_has_an_older_one_is_behind() {
        let consumers = Consumers::default();
        let (lev, nhs) = (token("lev"), token("nhs"));
        consumers.note(&lev, "a.service", 3);
        consumers.note(&lev, "b.service", 4);
        consumers.note(&nhs, "c.service", 1);
        assert_eq!(consumers.behind(&lev, 4), ["a.service"]);
        assert_eq!(consumers.behind(&lev, 5), ["a.service", "b.service"]);
        consumers.note(&lev, "a.service", 5);
        assert_eq!(consumers.behind(&lev, 5), ["b.service"]);
        consumers.forget(&lev, "b.service");
        assert!(consumers.behind(&lev, 5).is_empty());
        assert_eq!(consumers.behind(&nhs, 2), ["c.service"]);
        assert!(consumers.behind(&token("none"), 9).is_empty());
    }

    #[test]
    fn there_is_an_end_to_the_units_of_a_token() {
        let consumers = Consumers::default();
        let lev = token("lev");
        consumers.note(&lev, "old.service", 1);
        for number in 0..2 * MAX_UNITS {
            consumers.note(&lev, &format!("run-u{number}.service"), 2);
        }
        let behind = consumers.behind(&lev, 9);
        assert_eq!(behind.len(), MAX_UNITS);
        assert!(!behind.contains(&"old.service".into()));
    }

    #[tokio::test]
    async fn they_are_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let lev = token("lev");
        let consumers = Consumers::restore(directory.path());
        consumers.note(&lev, "a@\\x2d.service", 3);
        let file = directory.path().join(FILE);
        while !file.exists() {
            tokio::task::yield_now().await;
        }
        let again = Consumers::restore(directory.path());
        assert_eq!(again.behind(&lev, 4), ["a@\\x2d.service"]);

        std::fs::rename(file, directory.path().join("elsewhere")).unwrap();
        let none = Consumers::restore(directory.path());
        assert!(none.behind(&lev, 4).is_empty());
    }
}
