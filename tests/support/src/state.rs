//! What the authorization server's thread and the test share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock;

use super::entra::Entra;
use super::fault::Fault;
use super::id_token::IdTokens;
use super::keys::{SigningKey, random_text};
use super::lev::{Lev, LevState};
use super::nhs::{Nhs, NhsState};
use super::record::{Issued, Log, System};

/// How the three systems are set up; may change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `/auth/realms/lev`.
    pub lev: Lev,
    /// `/tenant`.
    pub entra: Entra,
    /// `/oauth2/token`.
    pub nhs: Nhs,
    /// APIs accept a token this much longer than its `expires_in` says.
    pub leeway: Duration,
    /// Begins every token, so that it can be found where it should not be.
    pub mark: String,
}

impl Settings {
    /// With a key registered at NHS England as `test-1`.
    #[must_use]
    pub fn with_key(key: &SigningKey) -> Self {
        let mut settings = Self::default();
        let keys = &mut settings.nhs.public_keys;
        keys.insert("test-1".into(), key.public_der.clone());
        settings
    }

    /// The same lifetime for the access tokens of all three.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lev.lifetime = lifetime;
        self.entra.lifetime = lifetime;
        self.nhs.lifetime = lifetime;
        self
    }
}

/// Everything the server's thread and the test share.
#[derive(Debug, Default)]
pub struct State {
    /// Scheme, address and port.
    pub origin: String,
    /// As now set.
    pub settings: Settings,
    /// What was seen and issued.
    pub log: Log,
    /// Keycloak's memory.
    pub lev: LevState,
    /// The ID tokens made.
    pub id_tokens: IdTokens,
    /// Apigee's memory.
    pub nhs: NhsState,
    /// Each for one token request of a system, in this order.
    pub queue: VecDeque<(System, Fault)>,
    /// For every request of a system.
    pub modes: BTreeMap<System, Fault>,
}

impl State {
    /// Makes an access token and remembers it.
    pub fn issue(
        &mut self,
        system: System,
        lifetime: Duration,
        refresh_token: Option<String>,
    ) -> String {
        let access_token = match system {
            // Opaque, 28 characters.
            System::Nhs => format!("{}{}", self.settings.mark, random_text(28)),
            // Shaped as a JWT; clients have no business with what is in it (RFC 9068 section 6).
            System::Entra | System::Lev => format!(
                "eyJhbGciOiJSUzI1NiJ9.{}{}.{}",
                self.settings.mark,
                random_text(200),
                random_text(342)
            ),
        };
        let at = clock::now();
        self.log.issued.push(Issued {
            system,
            access_token: access_token.clone(),
            refresh_token,
            at,
            expires_at: at + lifetime + self.settings.leeway,
            session: None,
            revoked: false,
        });
        access_token
    }

    /// The fault that a request meets.
    pub fn next_fault(&mut self, system: System, token_request: bool) -> Option<Fault> {
        let meant = |(of, _): &(System, Fault)| *of == system;
        if token_request && let Some(position) = self.queue.iter().position(meant) {
            return self.queue.remove(position).map(|(_, fault)| fault);
        }
        self.modes.get(&system).cloned()
    }
}

/// The state, and a bell that rings at every change.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// Reads or changes the state and wakes the waiting.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Reads the log and wakes nobody.
    pub fn peek<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.lock().log)
    }

    /// Waits until the log holds what the probe looks for; `None` when the time is up.
    pub fn wait<T>(
        &self,
        timeout: Duration,
        probe: &mut impl FnMut(&Log) -> Option<T>,
    ) -> Option<T> {
        let deadline = clock::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = probe(&state.log) {
                return Some(found);
            }
            let left = deadline - clock::now();
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // A test that failed while it held the lock must not fail the others' clean-up.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
