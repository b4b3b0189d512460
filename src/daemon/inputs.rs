//! The configuration in force and what was loaded for it: keys, certificates, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::config::{self, Config, ConfigErrors, Environment, GrantConfig, TokenConfig};
use crate::error_chain::error_chain;
use crate::oauth::{Client, ObtainError};
use crate::watch::{Followed, Stamp};

/// A client as loaded, or why it cannot be used.
pub(super) type Loaded = Result<Client, Arc<ObtainError>>;

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
    pub(super) clients: BTreeMap<String, Loaded>,
    /// By client, or `token NAME`: what is loud about it. Of a client, its key or secret cannot be used, or could not be replaced by its new version.
    pub(super) warnings: BTreeMap<String, Arc<str>>,
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

    /// Reads everything again, keeping the clients that did not change or whose new key or secret
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
        let mut files: BTreeMap<PathBuf, Option<Stamp>> = config
            .read_from
            .iter()
            .map(|file| (file.clone(), None))
            .collect();
        let clients = config
            .clients
            .values()
            .map(|client| client.inputs(environment));
        let tokens = config.tokens.values().map(|token| {
            let mut files = token.inputs(environment);
            files.extend(token.output_inputs(environment));
            files
        });
        for input in clients.chain(tokens).flatten() {
            files
                .entry(input)
                .or_insert_with_key(|input| Some(Stamp::of(input)));
        }
        let mut warnings = form_logins(&config);
        let mut clients = BTreeMap::new();
        for (name, client) in &config.clients {
            let same = before.filter(|old| old.config.clients.get(name) == Some(client));
            let old = same.and_then(|old| old.clients.get(name)?.as_ref().ok());
            let mut warning = same.and_then(|old| old.warnings.get(name)).cloned();
            let loaded =
                match old {
                    Some(old) if !changed.touches(&client.inputs(environment)) => {
                        Ok(Client::clone(old))
                    }
                    _ => {
                        let loaded = Client::load(Arc::clone(client), environment.clone());
                        let loaded = loaded.map_err(Arc::new);
                        let error = loaded.as_ref().err().map(|error| error_chain(error));
                        warning = error.as_ref().map(|error| match old {
                        Some(_) => {
                            format!("client {name}: {error}; what was loaded before stays in use")
                        }
                        None => format!("client {name}: {error}"),
                    }).map(Arc::from);
                        loaded.or_else(|error| old.cloned().ok_or(error))
                    }
                };
            warnings.extend(warning.map(|warning| (name.clone(), warning)));
            clients.insert(name.clone(), loaded);
        }
        let followed = Followed { files, read_at };
        Ok(Self {
            config: Arc::new(config),
            clients,
            warnings,
            followed,
        })
    }

    /// That of a token's client; `None` if it has no client.
    pub(super) fn client(&self, token: &TokenConfig) -> Option<&Loaded> {
        self.clients.get(&token.client.as_ref()?.name)
    }
}

/// Which tokens are obtained in a person's place: to be said loudly.
fn form_logins(config: &Config) -> BTreeMap<String, Arc<str>> {
    let by_form = |token: &&Arc<TokenConfig>| match &token.grant {
        GrantConfig::AuthorizationCode(grant) => grant.form_login.is_some(),
        _ => false,
    };
    let warning = |token: &Arc<TokenConfig>| {
        let key = format!("token {}", token.name);
        let text =
            format!("{key}: form_login logs in in a person's place; only for mock providers");
        (key, text.into())
    };
    config
        .tokens
        .values()
        .filter(by_form)
        .map(warning)
        .collect()
}

/// Nobody has to hear of a token that has not changed, nor is it held twice.
fn keep_unchanged(config: &mut Config, before: &Config) {
    for (name, token) in &mut config.tokens {
        if let Some(same) = before.tokens.get(name).filter(|old| *old == token) {
            *token = Arc::clone(same);
        }
    }
}
