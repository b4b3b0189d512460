//! The configuration in force and what was loaded for it: keys, certificates, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock;
use crate::config::{
    self, ClientConfig, Config, ConfigErrors, Environment, GrantConfig, TokenConfig,
};
use crate::error_chain::error_chain;
use crate::oauth::{Client, ObtainError};
use crate::watch::{Followed, Stamp};

/// A client as loaded, or why it cannot be used.
pub(super) type Loaded = Result<Client, Arc<ObtainError>>;

/// What may have changed since the inputs were loaded.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    /// Anything may have changed: somebody asked for a reload.
    Anything,
    /// These files have changed.
    Files(BTreeSet<PathBuf>),
}

impl Changed {
    pub(super) fn touches(&self, files: &[PathBuf]) -> bool {
        match self {
            Self::Anything => true,
            Self::Files(changed) => files.iter().any(|file| changed.contains(file)),
        }
    }

    /// This change together with an earlier one that has not been looked at yet.
    pub(super) fn and(self, earlier: Option<Self>) -> Self {
        match (self, earlier) {
            (Self::Files(mut files), Some(Self::Files(more))) => {
                files.extend(more);
                Self::Files(files)
            }
            (change, None) => change,
            (Self::Anything, Some(_)) | (Self::Files(_), Some(Self::Anything)) => Self::Anything,
        }
    }
}

/// The configuration in force and what was loaded for it.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) config: Arc<Config>,
    pub(super) clients: BTreeMap<String, Loaded>,
    /// What an administrator should know, by the name of a client or by `token NAME`. Of a client:
    /// its key or secret cannot be used, or its new version could not take the place of the old
    /// one.
    pub(super) warnings: BTreeMap<String, Arc<str>>,
    pub(super) followed: Followed,
}

impl Inputs {
    /// Reads everything. Blocks: files are read and keys are parsed.
    ///
    /// # Errors
    /// When the configuration itself is wrong. A client whose key or secret cannot be used is no
    /// error here: its tokens fail, and the others go on.
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
        // The stamps come before the keys and secrets are read, so that no change between is missed.
        let files = stamped(&config, environment);
        let mut warnings = form_logins(&config);
        let mut clients = BTreeMap::new();
        for (name, client) in &config.clients {
            let same = before.filter(|old| old.config.clients.get(name) == Some(client));
            let old = same.and_then(|old| old.clients.get(name)?.as_ref().ok());
            let (loaded, warning) = match old {
                Some(old) if !changed.touches(&client.inputs(environment)) => {
                    let warning = same.and_then(|same| same.warnings.get(name)).cloned();
                    (Ok(Client::clone(old)), warning)
                }
                Some(_) | None => load_client(client, environment, old),
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

    /// The client of a token, as loaded; `None` if the token has no client.
    pub(super) fn client(&self, token: &TokenConfig) -> Option<&Loaded> {
        self.clients.get(&token.client.as_ref()?.name)
    }
}

/// The files to follow: those that the configuration was read from, and those that clients, tokens
/// and outputs read.
fn stamped(config: &Config, environment: &Environment) -> BTreeMap<PathBuf, Option<Stamp>> {
    let read_from = config.read_from.iter().map(|file| (file.clone(), None));
    let mut files: BTreeMap<PathBuf, Option<Stamp>> = read_from.collect();
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
    files
}

/// Loads a client. If its key or secret cannot be used, the old one goes on, if there is one; then
/// there is a warning, too.
fn load_client(
    config: &Arc<ClientConfig>,
    environment: &Environment,
    old: Option<&Client>,
) -> (Loaded, Option<Arc<str>>) {
    let error = match Client::load(Arc::clone(config), environment.clone()) {
        Ok(client) => return (Ok(client), None),
        Err(error) => error,
    };
    let text = format!("client {}: {}", config.name, error_chain(&error));
    match old.cloned() {
        Some(old) => {
            let warning = format!("{text}; what was loaded before stays in use");
            (Ok(old), Some(warning.into()))
        }
        None => (Err(Arc::new(error)), Some(text.into())),
    }
}

/// Warns of each token that is obtained in a person's place.
fn form_logins(config: &Config) -> BTreeMap<String, Arc<str>> {
    let by_form = |token: &&Arc<TokenConfig>| match &token.grant {
        GrantConfig::AuthorizationCode(grant) => grant.form_login.is_some(),
        GrantConfig::ClientCredentials
        | GrantConfig::Command(_)
        | GrantConfig::DeviceCode
        | GrantConfig::Http(_)
        | GrantConfig::JwtBearer(_)
        | GrantConfig::Password { .. }
        | GrantConfig::RefreshToken { .. }
        | GrantConfig::TokenExchange(_) => false,
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

/// Keeps the old configuration of each token that has not changed: nobody has to hear of such a
/// token, and it is not held twice.
fn keep_unchanged(config: &mut Config, before: &Config) {
    for (name, token) in &mut config.tokens {
        if let Some(same) = before.tokens.get(name).filter(|old| *old == token) {
            *token = Arc::clone(same);
        }
    }
}
