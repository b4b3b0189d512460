//! One configured token as the daemon holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Health, Status};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, watch};

use crate::config::{Environment, TokenConfig};
use crate::sink::{self, Output, Report, Sinks};
use crate::store::{
    Consumers, EventBus, EventKind, Published, Record, Snapshot, Standing, TokenEvent, TokenView,
    Topic,
};
use crate::token::Token;

/// One configured token.
pub(super) struct Entry {
    pub(super) record: Option<Record>,
    /// The number of the last token that was forgotten: the next one is told from it.
    forgotten: u64,
    view: watch::Sender<TokenView>,
    events: EventBus,
    sinks: Option<Sinks>,
    undelivered: BTreeSet<Output>,
    output_errors: BTreeMap<Output, Arc<str>>,
    /// An earlier refresh stayed unanswered: the answer to a later one does not settle what became of it.
    earlier_intent_open: bool,
}

impl Entry {
    pub(super) fn new(config: &Arc<TokenConfig>, record: Option<Record>, events: EventBus) -> Self {
        let status = Status {
            validity: None,
            health: Health::Pending,
            in_flight: false,
            queued: false,
            waits_for_parent: false,
            login_due_at: None,
            next_attempt_at: None,
            failures: 0,
            attempts: 0,
        };
        let standing = Standing {
            status,
            last_error: None,
            output_errors: Vec::new(),
        };
        let view = TokenView {
            config: Arc::clone(config),
            current: None,
            standing,
        };
        Self {
            record,
            forgotten: 0,
            view: watch::channel(view).0,
            events,
            sinks: None,
            undelivered: outputs(config),
            output_errors: BTreeMap::new(),
            earlier_intent_open: false,
        }
    }

    /// Takes over another configuration. Whether the outputs are others now.
    pub(super) fn reconfigure(&mut self, config: &Arc<TokenConfig>) -> bool {
        let before = self.config();
        if Arc::ptr_eq(&before, config) {
            return false;
        }
        let others = before.files != config.files || before.hooks != config.hooks;
        if others {
            self.undelivered = outputs(config);
            self.output_errors.clear();
        }
        self.view
            .send_modify(|view| view.config = Arc::clone(config));
        others
    }

    /// Starts the outputs, if there are any, they are not running, and nobody is `leaving` their files. A
    /// restored token is published before.
    pub(super) fn start_sinks(
        &mut self,
        environment: &Arc<Environment>,
        reports: &mpsc::Sender<Report>,
        consumers: &Consumers,
        leaving: &BTreeSet<PathBuf>,
    ) {
        let config = self.config();
        let none = config.files.is_empty() && config.hooks.is_empty();
        let wait = config.files.iter().any(|file| leaving.contains(&file.path));
        if self.sinks.is_none() && !none && !wait {
            let view = self.subscribe();
            let (environment, reports) = (Arc::clone(environment), reports.clone());
            self.sinks = Some(sink::spawn(view, environment, reports, consumers.clone()));
        }
    }

    /// Ends the outputs, letting a write under way end.
    pub(super) fn stop_sinks(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        self.sinks.take().map(Sinks::stop)
    }

    /// Takes note of what an output reports; one that is not configured any more may still do so.
    pub(super) fn report(&mut self, report: Report) {
        if !has_output(&self.config(), &report.output) {
            return;
        }
        match report.result {
            Ok(()) => {
                // Generation 0 is no token: at start, what an earlier run left has been removed.
                if report.generation != 0 {
                    self.undelivered.remove(&report.output);
                }
                self.output_errors.remove(&report.output);
            }
            Err(error) => {
                self.output_errors.insert(report.output, error);
            }
        }
        let errors: Vec<_> = self.output_errors.values().cloned().collect();
        self.view.send_if_modified(|view| {
            let differs = view.standing.output_errors != errors;
            view.standing.output_errors = errors;
            differs
        });
    }

    pub(super) fn config(&self) -> Arc<TokenConfig> {
        Arc::clone(&self.view.borrow().config)
    }

    /// Published, unexpired, and written to every file.
    pub(super) fn is_delivered(&self) -> bool {
        self.undelivered.is_empty() && self.view.borrow().current.is_some()
    }

    /// Whether an output cannot be served.
    pub(super) fn has_output_errors(&self) -> bool {
        !self.output_errors.is_empty()
    }

    pub(super) fn status(&self) -> Status {
        self.view.borrow().standing.status
    }

    /// A new token with what its reply may leave out.
    pub(super) fn completed(&self, token: Token) -> Token {
        // Not with what was obtained under another configuration.
        let identity = self.config().identity;
        let held = self
            .record
            .as_ref()
            .filter(|held| held.identity == identity);
        completed(held.map(|record| &*record.token), token)
    }

    /// Makes a new token the durable one; readers see it once it is published.
    pub(super) fn commit(&mut self, token: Token, window_fixed: bool) -> &Record {
        let old = self.record.take();
        let old = old.map(|old| (old.generation, old.quarantined_refresh_tokens));
        let (generation, quarantined_refresh_tokens) = old.unwrap_or((self.forgotten, Vec::new()));
        let config = self.config();
        self.record.insert(Record {
            name: config.name.clone(),
            generation: generation + 1,
            identity: config.identity,
            token: Arc::new(token),
            window_fixed,
            open_intent: None,
            quarantined_refresh_tokens,
        })
    }

    /// Forgets the token and all refresh tokens.
    pub(super) fn forget(&mut self) {
        self.forgotten = self.record.take().map_or(0, |record| record.generation);
        self.earlier_intent_open = false;
    }

    /// Lets readers see a token, unless it has expired or they have a newer one. Whether they see it now.
    pub(super) fn publish(&self, now: Instant, published: Published) -> bool {
        let valid = now < published.token.validity.expires_at;
        valid
            && self.change(|view| {
                let current = view.current.as_ref();
                let newer = current.is_none_or(|held| held.generation < published.generation);
                if newer {
                    view.current = Some(published);
                }
                newer
            })
    }

    /// Notes that the refresh token is about to be used. `None` if there is none.
    pub(super) fn open_intent(&mut self, now: Instant) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        self.earlier_intent_open = record.open_intent.is_some();
        record.open_intent.get_or_insert(now);
        Some(record)
    }

    /// Notes that the refresh under way has not spent the refresh token. `None` if that changes nothing.
    pub(super) fn close_intent(&mut self) -> Option<&Record> {
        if self.earlier_intent_open {
            return None;
        }
        let record = self
            .record
            .as_mut()
            .filter(|record| record.open_intent.is_some())?;
        record.open_intent = None;
        Some(record)
    }

    /// Sets the refresh token aside. `None` if there is none.
    pub(super) fn quarantine_refresh_token(&mut self) -> Option<&Record> {
        let record = self.record.as_mut()?;
        record.token.refresh_token.as_ref()?;
        record.quarantine_refresh_token();
        Some(record)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<TokenView> {
        self.view.subscribe()
    }

    pub(super) fn set_status(&self, status: Status, error: Option<Arc<str>>) {
        self.change(|view| {
            let standing = &mut view.standing;
            let differs = standing.status != status || standing.last_error != error;
            standing.status = status;
            standing.last_error = error;
            differs
        });
    }

    pub(super) fn withdraw(&self) {
        self.change(|view| view.current.take().is_some());
    }

    /// Tells followers what is not seen by comparing views.
    pub(super) fn tell(&self, kind: EventKind) {
        let news = TokenEvent::new(kind, &self.view.borrow());
        self.events.send(Topic::Token(news));
    }

    /// Changes what readers see and tells followers what that means.
    fn change(&self, change: impl FnOnce(&mut TokenView) -> bool) -> bool {
        let before = Snapshot::from(&*self.view.borrow());
        let changed = self.view.send_if_modified(change);
        if changed {
            self.events.compare(before, &self.view.borrow());
        }
        changed
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.view.borrow().standing.last_error.clone()
    }
}

fn has_output(config: &TokenConfig, output: &Output) -> bool {
    match output {
        Output::File(path) => config.files.iter().any(|file| file.path == *path),
        Output::Hook(index) => *index < config.hooks.len(),
    }
}

/// A refresh token that stays in use keeps its expiry, which the reply need not repeat (RFC 6749 section 6).
/// Nor need it bring another ID token (OpenID Connect Core section 12.2): the one held stays until it expires.
fn completed(held: Option<&Token>, mut token: Token) -> Token {
    if let (None, Some(held)) = (&token.id_token, held) {
        token.id_token.clone_from(&held.id_token);
        token.validity.id_token_expires_at = held.validity.id_token_expires_at;
    }
    let refresh_of = |held: &Token| {
        let same = same(token.refresh_token.as_ref(), held.refresh_token.as_ref());
        held.validity.refresh.filter(|_| same)
    };
    let before = held.and_then(refresh_of);
    if let (Some(refresh), Some(before)) = (&mut token.validity.refresh, before) {
        refresh.expires_at = refresh.expires_at.or(before.expires_at);
    }
    token
}

fn same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(ExposeSecret::expose_secret) == other.map(ExposeSecret::expose_secret)
}

fn outputs(config: &TokenConfig) -> BTreeSet<Output> {
    config
        .files
        .iter()
        .map(|file| Output::File(file.path.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use bearerd_core::credential::{RefreshValidity, Validity};

    fn token(refresh_token: &str, refresh_expires_in: Option<u64>) -> Token {
        let after = |seconds| Instant::BOOT + Duration::from_secs(seconds);
        let expires_at = refresh_expires_in.map(after);
        Token {
            access_token: "access".into(),
            token_type: "Bearer".into(),
            scope: None,
            id_token: None,
            refresh_token: Some(refresh_token.into()),
            validity: Validity {
                obtained_at: Instant::BOOT,
                expires_at: after(60),
                refresh: Some(RefreshValidity { expires_at }),
                id_token_expires_at: None,
            },
        }
    }

    #[test]
    fn a_refresh_token_that_stays_keeps_its_expiry() {
        let held = token("same", Some(3600));
        let refresh_expiry = |held: &Token, new: Token| {
            let refresh = completed(Some(held), new).validity.refresh;
            refresh.and_then(|refresh| refresh.expires_at)
        };
        let kept = held.validity.refresh.and_then(|refresh| refresh.expires_at);
        assert_eq!(refresh_expiry(&held, token("same", None)), kept);
        assert_eq!(refresh_expiry(&held, token("other", None)), None);
        assert_ne!(refresh_expiry(&held, token("same", Some(7200))), kept);
    }
}
