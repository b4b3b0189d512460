//! From a changed file or a signal to a configuration in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::Event;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use crate::config::ConfigErrors;
use crate::sink;
use crate::store::Topic;
use crate::watch::Followed;

use super::announce::OUTDATED;
use super::inputs::{Changed, Inputs};
use super::shell::Shell;
use super::tokens::Configured;

/// Changes that have not been loaded, and the load under way.
#[derive(Default)]
pub(super) struct Reload {
    pending: Option<Changed>,
    loading: Option<Changed>,
    /// Changes that came with a configuration that was refused. They count again with the next load.
    refused: Option<Changed>,
    /// systemd waits for READY=1 after the load under way.
    announced: bool,
}

impl Shell {
    pub(super) fn note_change(&mut self, changed: Changed) {
        if let Changed::Files(files) = &changed {
            for file in files {
                info!(file = %file.display(), "changed");
            }
        }
        self.reload.pending = Some(changed.and(self.reload.pending.take()));
    }

    pub(super) fn reload_requested(&mut self) {
        info!("reloading");
        // Its end is announced as READY=1, which before the first tokens would not be true.
        if self.announced.ready {
            self.service.reloading();
            self.reload.announced = true;
        }
        self.note_change(Changed::Anything);
    }

    /// Starts a load if there is something to load; called while none is under way.
    pub(super) fn start_loading(&mut self) -> Option<JoinHandle<Result<Inputs, ConfigErrors>>> {
        let changed = self.reload.pending.take()?;
        let changed = changed.and(self.reload.refused.take());
        self.reload.loading = Some(changed.clone());
        let (file, environment) = (self.options.config.clone(), Arc::clone(&self.environment));
        let before = self.inputs.clone();
        Some(spawn_blocking(move || {
            Inputs::load_again(Some(&before), &file, &environment, &changed)
        }))
    }

    /// Takes over what was loaded, or keeps what is in force. Returns the files to follow from now on.
    pub(super) fn loaded(
        &mut self,
        now: Instant,
        loaded: Result<Inputs, ConfigErrors>,
    ) -> Option<Followed> {
        let changed = self.reload.loading.take();
        let followed = match loaded {
            Ok(inputs) => {
                let followed = inputs.followed.clone();
                self.apply(now, inputs, changed.unwrap_or(Changed::Anything));
                self.tokens.events().send(Topic::Configuration(Ok(())));
                info!(
                    tokens = self.inputs.config.tokens.len(),
                    "configuration in force"
                );
                Some(followed)
            }
            Err(errors) => {
                self.reload.refused = changed;
                let text = errors.to_string();
                error!(
                    "the new configuration is refused, the one before it stays in force\n{text}"
                );
                let text: Arc<str> = text.into();
                let shown = Some(Arc::clone(&text));
                self.view
                    .send_modify(|view| view.configuration_error = shown);
                self.tokens.events().send(Topic::Configuration(Err(text)));
                None
            }
        };
        // Asked for while an earlier load was under way, the reload is still to come.
        if self.reload.pending.is_none() && std::mem::take(&mut self.reload.announced) {
            self.service.ready();
        }
        followed
    }

    /// Puts inputs in force: the first ones at start, and each later reload.
    pub(super) fn apply(&mut self, now: Instant, inputs: Inputs, changed: Changed) {
        let before = std::mem::replace(&mut self.inputs, inputs);
        if before.config.daemon != self.inputs.config.daemon && self.is_outdated() {
            warn!("{OUTDATED}");
        }
        let Configured { new, revocable } = self.tokens.configure(&self.inputs.config.tokens);
        let policies = self.inputs.config.tokens.iter();
        let policies = policies
            .map(|(name, token)| (name.clone(), token.policy()))
            .collect();
        self.scheduler.configure(now, policies);
        self.revoke_removed(&before, revocable);
        self.forget_outdated_logins();
        for name in &new {
            self.restore(now, name);
        }
        for name in self.touched(&before, &changed, &new) {
            self.handle(now, Event::InputsChanged { name });
        }
        for (name, token) in &self.inputs.config.tokens {
            let inputs = token.output_inputs(&self.environment);
            if !inputs.is_empty() && !new.contains(name) && changed.touches(&inputs) {
                self.tokens.retire_outputs(name);
            }
        }
        for name in self
            .inputs
            .config
            .tokens
            .keys()
            .cloned()
            .collect::<Vec<_>>()
        {
            self.refresh_status(&name);
        }
        let tokens = self.inputs.config.tokens.values().map(AsRef::as_ref);
        sink::make_directories(&self.started_with.runtime_dir, tokens);
        self.tokens.start_outputs();
        for text in self.inputs.warnings.values() {
            warn!("{text}");
        }
        self.check_passed_socket();
        self.view
            .send_modify(|view| view.configuration_error = None);
        self.update_view();
    }

    fn restore(&mut self, now: Instant, name: &TokenName) {
        let Some(restored) = self.tokens.restore(now, name) else {
            return;
        };
        let event = Event::Restored {
            name: name.clone(),
            restored,
        };
        self.handle(now, event);
    }

    /// The tokens whose requests may go differently from now on.
    fn touched(
        &self,
        before: &Inputs,
        changed: &Changed,
        new: &BTreeSet<TokenName>,
    ) -> Vec<TokenName> {
        let clients = &self.inputs.clients;
        let replaced = |client: &str| match (clients.get(client), before.clients.get(client)) {
            (Some(Ok(now)), Some(Ok(before))) => !now.is(before),
            (Some(Ok(_)), _) => true,
            _ => false,
        };
        let tokens = self.inputs.config.tokens.iter();
        tokens
            .filter(|(name, token)| {
                !new.contains(name)
                    && (token.client.as_ref().is_some_and(|c| replaced(&c.name))
                        || changed.touches(&token.inputs(&self.environment)))
            })
            .map(|(name, _)| name.clone())
            .collect()
    }
}
