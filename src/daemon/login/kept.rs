//! The logins that have begun and have not ended: at most one of each token, in memory and on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::AttemptId;
use tokio::task::{AbortHandle, spawn_blocking};

use crate::clock;
use crate::config::TokenConfig;
use crate::oauth::login::DeviceLogin;
use crate::store::LoginFiles;

use super::pending::{Pending, Way};

/// The logins that have begun and have not ended.
pub(super) struct Kept {
    files: Arc<LoginFiles>,
    /// By token, which has at most one.
    pending: BTreeMap<TokenName, Pending>,
    /// The attempts that poll for logins on other devices.
    polling: BTreeMap<TokenName, (AttemptId, AbortHandle)>,
}

impl Kept {
    pub(super) fn new(files: LoginFiles) -> Self {
        Self {
            files: Arc::new(files),
            pending: BTreeMap::new(),
            polling: BTreeMap::new(),
        }
    }

    pub(super) fn files(&self) -> Arc<LoginFiles> {
        Arc::clone(&self.files)
    }

    /// Takes up what had begun before a restart. Returns the tokens whose login goes on.
    pub(super) fn resume(
        &mut self,
        configured: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> Vec<TokenName> {
        let mut resumed = Vec::new();
        for (name, record) in self.files.load_all() {
            if let Ok(pending) = serde_json::from_slice::<Pending>(&record) {
                self.pending.insert(name.clone(), pending);
            }
            let token = configured.get(&name);
            if token.is_some_and(|token| self.current(token).is_some()) {
                resumed.push(name);
            } else {
                self.pending.remove(&name);
                self.remove_file(&name);
            }
        }
        resumed
    }

    /// Keeps a login that has begun; its file has been written.
    pub(super) fn insert(&mut self, name: TokenName, pending: Pending) {
        self.pending.insert(name, pending);
    }

    /// The login on another device that has begun for a token, and until when it can be completed.
    pub(super) fn on_device(&self, name: &TokenName) -> Option<(&DeviceLogin, u64)> {
        let pending = self.pending.get(name)?;
        match &pending.way {
            Way::Device(device) => Some((device, pending.until)),
            Way::Code(_) => None,
        }
    }

    /// Notes the attempt that polls for the login of a token.
    pub(super) fn poll(&mut self, name: TokenName, attempt: AttemptId, task: AbortHandle) {
        self.polling.insert(name, (attempt, task));
    }

    /// Whether it is this attempt that polls for the login of a token.
    pub(super) fn is_polling(&self, name: &TokenName, attempt: AttemptId) -> bool {
        let current = self.polling.get(name);
        current.is_some_and(|(current, _)| *current == attempt)
    }

    /// The login of a token that has begun and can still be completed.
    pub(super) fn current(&mut self, token: &TokenConfig) -> Option<&Pending> {
        // A poll ends by itself.
        let polls = self.polling.contains_key(&token.name);
        let good = |pending: &Pending| {
            pending.identity == token.identity
                && (polls || clock::unix_now().as_secs() < pending.until)
        };
        if self.pending.get(&token.name).is_some_and(|p| !good(p)) {
            self.forget(&token.name);
        }
        self.pending.get(&token.name)
    }

    /// Forgets the logins of tokens that are gone, or are obtained in another way now. Returns
    /// their names.
    pub(super) fn forget_outdated(
        &mut self,
        configured: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> Vec<TokenName> {
        let names: Vec<TokenName> = self.pending.keys().cloned().collect();
        let outdated = names.into_iter().filter(|name| {
            let token = configured.get(name);
            let outdated = token.is_none_or(|token| self.current(token).is_none());
            if outdated {
                self.forget(name);
            }
            outdated
        });
        outdated.collect()
    }

    /// Forgets the login of a token, and ends the attempt that polls for it.
    pub(super) fn forget(&mut self, name: &TokenName) {
        if let Some((_, task)) = self.polling.remove(name) {
            task.abort();
        }
        if self.pending.remove(name).is_some() {
            self.remove_file(name);
        }
    }

    pub(super) fn remove_file(&self, name: &TokenName) {
        let (files, name) = (self.files(), name.clone());
        spawn_blocking(move || files.remove(&name));
    }
}
