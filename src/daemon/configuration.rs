//! The configuration in force, and what it means for the tokens that another one takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use tracing::warn;

use crate::config::{ConfigErrors, DaemonConfig, Environment, TokenConfig};

use super::inputs::{Changed, Inputs, Loaded};

/// The configuration in force.
pub(super) struct Configuration {
    file: PathBuf,
    environment: Arc<Environment>,
    inputs: Inputs,
    /// `[daemon]` as it is until the next start.
    started_with: DaemonConfig,
}

impl Configuration {
    pub(super) fn new(file: PathBuf, environment: Arc<Environment>, inputs: Inputs) -> Self {
        let started_with = inputs.config.daemon.clone();
        Self {
            file,
            environment,
            inputs,
            started_with,
        }
    }

    pub(super) fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    pub(super) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    pub(super) fn tokens(&self) -> &BTreeMap<TokenName, Arc<TokenConfig>> {
        &self.inputs.config.tokens
    }

    pub(super) fn started_with(&self) -> &DaemonConfig {
        &self.started_with
    }

    /// The client of a token, as loaded; `None` if the token has no client.
    pub(super) fn client(&self, token: &TokenConfig) -> Option<&Loaded> {
        self.inputs.client(token)
    }

    /// Puts other inputs in force. Returns those that they replace.
    pub(super) fn replace(&mut self, inputs: Inputs) -> Inputs {
        let before = std::mem::replace(&mut self.inputs, inputs);
        if before.config.daemon != self.inputs.config.daemon && self.is_outdated() {
            warn!("{OUTDATED}");
        }
        before
    }

    /// What reads the inputs again after a change. It blocks.
    pub(super) fn loader(
        &self,
        changed: Changed,
    ) -> impl FnOnce() -> Result<Inputs, ConfigErrors> + use<> {
        let (file, environment) = (self.file.clone(), Arc::clone(&self.environment));
        let before = self.inputs.clone();
        move || Inputs::load_again(Some(&before), &file, &environment, &changed)
    }

    /// The tokens whose requests may go differently from now on, apart from the `new` ones.
    pub(super) fn touched(
        &self,
        before: &Inputs,
        changed: &Changed,
        new: &BTreeSet<TokenName>,
    ) -> Vec<TokenName> {
        let clients = &self.inputs.clients;
        let replaced = |client: &str| match (clients.get(client), before.clients.get(client)) {
            (Some(Ok(now)), Some(Ok(before))) => !now.is(before),
            (Some(Ok(_)), Some(Err(_)) | None) => true,
            (Some(Err(_)) | None, _) => false,
        };
        let tokens = self.tokens().iter();
        tokens
            .filter(|(name, token)| {
                !new.contains(name)
                    && (token.client.as_ref().is_some_and(|c| replaced(&c.name))
                        || changed.touches(&token.inputs(&self.environment)))
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The tokens whose outputs read something that has changed, apart from the `new` ones.
    pub(super) fn outputs_touched(
        &self,
        changed: &Changed,
        new: &BTreeSet<TokenName>,
    ) -> Vec<TokenName> {
        let touched = self.tokens().iter().filter(|(name, token)| {
            let inputs = token.output_inputs(&self.environment);
            !inputs.is_empty() && !new.contains(*name) && changed.touches(&inputs)
        });
        touched.map(|(name, _)| name.clone()).collect()
    }

    /// What an administrator should know of the configuration.
    pub(super) fn warnings(&self) -> Vec<Arc<str>> {
        let outdated = self.is_outdated().then(|| OUTDATED.into());
        let loud = self.inputs.warnings.values().cloned();
        outdated.into_iter().chain(loud).collect()
    }

    /// Whether a part of the configuration waits for the next start.
    fn is_outdated(&self) -> bool {
        self.inputs.config.daemon != self.started_with
    }
}

const OUTDATED: &str = "[daemon] has changed: that takes effect at the next start";
