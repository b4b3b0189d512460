//! The configuration in force and what was loaded for it: keys, certificates, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::config::{self, ClientConfig, Config, ConfigErrors, Environment};
use crate::error_chain::error_chain;
use crate::source::{Registration, SourceError};
use crate::watch::Followed;

/// A client's registration, or why it cannot be used.
pub(super) type Loaded = Result<Arc<Registration>, Arc<SourceError>>;

/// What may have changed since the inputs were loaded.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    /// Anything: somebody asked for a reload.
    Anything,
    /// These files.
    Files(BTreeSet<PathBuf>),
}

impl Changed {
    pub(super) fn touches(&self, files: &[PathBuf]) -> bool {
        match self {
            Self::Anything => true,
            Self::Files(changed) => files.iter().any(|file| changed.contains(file)),
        }
    }

    /// This and an earlier change that has not been looked at yet.
    pub(super) fn and(self, earlier: Option<Self>) -> Self {
        match (self, earlier) {
            (Self::Files(mut files), Some(Self::Files(more))) => {
                files.extend(more);
                Self::Files(files)
            }
            (change, None) => change,
            _ => Self::Anything,
        }
    }
}

/// The configuration in force and what was loaded for it.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) config: Arc<Config>,
    pub(super) registrations: BTreeMap<String, Loaded>,
    /// Keys and secrets that could not be replaced by their new version; the old one is in use.
    pub(super) kept: Vec<Arc<str>>,
    pub(super) followed: Followed,
}

impl Inputs {
    /// Reads everything. Blocks: files are read and keys are parsed.
    ///
    /// # Errors
    /// When the configuration itself is wrong. A client whose key or secret cannot be used is no error
    /// here: its tokens are, and the others go on.
    pub(super) fn load(main_file: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::load_again(None, main_file, environment, &Changed::Anything)
    }

    /// Reads everything again, keeping the registrations that did not change or whose new key or secret
    /// cannot be used.
    ///
    /// # Errors
    /// As [`Inputs::load`].
    pub(super) fn load_again(
        before: Option<&Self>,
        main_file: &Path,
        environment: &Environment,
        changed: &Changed,
    ) -> Result<Self, ConfigErrors> {
        let read_at = clock::unix_now();
        let mut config = config::load(main_file, environment)?;
        if let Some(before) = before {
            keep_unchanged(&mut config, &before.config);
        }
        let mut kept = Vec::new();
        let mut registrations = BTreeMap::new();
        for (name, client) in &config.clients {
            let same = before.filter(|old| old.config.clients.get(name) == Some(client));
            let old = same.and_then(|old| old.registrations.get(name)?.as_ref().ok());
            let loaded = match old {
                Some(old) if !changed.touches(&client.inputs(environment)) => Ok(Arc::clone(old)),
                _ => load_registration(client, environment),
            };
            let loaded = match (loaded, old) {
                (Err(error), Some(old)) => {
                    let error = error_chain(error.as_ref());
                    kept.push(format!(
                        "client {name}: {error}; what was loaded before stays in use"
                    ));
                    Ok(Arc::clone(old))
                }
                (loaded, _) => loaded,
            };
            registrations.insert(name.clone(), loaded);
        }
        let mut files: BTreeSet<PathBuf> = config.read_from.iter().cloned().collect();
        files.extend(
            config
                .clients
                .values()
                .flat_map(|client| client.inputs(environment)),
        );
        files.extend(
            config
                .tokens
                .values()
                .flat_map(|token| token.inputs(environment)),
        );
        let kept = kept.into_iter().map(Arc::from).collect();
        let followed = Followed { files, read_at };
        Ok(Self {
            config: Arc::new(config),
            registrations,
            kept,
            followed,
        })
    }
}

/// Nobody has to hear of a token that has not changed, nor is it held twice.
fn keep_unchanged(config: &mut Config, before: &Config) {
    for (name, token) in &mut config.tokens {
        if let Some(same) = before.tokens.get(name).filter(|old| *old == token) {
            *token = Arc::clone(same);
        }
    }
}

fn load_registration(client: &Arc<ClientConfig>, environment: &Environment) -> Loaded {
    Registration::load(Arc::clone(client), environment.clone())
        .map(Arc::new)
        .map_err(Arc::new)
}
