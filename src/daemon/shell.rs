//! Carries events to the core and its commands to the world.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Command, Delivery, Event, Failure, Scheduler, Use};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::api::code::State;
use crate::api::requests::RefreshRequest;
use crate::clock;
use crate::config::{DaemonConfig, Environment};
use crate::error_chain::explain;
use crate::failpoint;
use crate::store::{DaemonView, Published};
use crate::systemd::ServiceManager;
use crate::token::Token;

use super::Options;
use super::announce::Announced;
use super::attempts::{Attempts, Finished, Request};
use super::durable::{Durable, Step, not_sent};
use super::inputs::Inputs;
use super::login::Logins;
use super::logout::Revocations;
use super::outcome::Outcome;
use super::reload::Reload;
use super::tokens::Tokens;

/// The owner of everything that changes.
pub(super) struct Shell {
    pub(super) options: Options,
    pub(super) environment: Arc<Environment>,
    pub(super) inputs: Inputs,
    pub(super) scheduler: Scheduler,
    pub(super) tokens: Tokens,
    pub(super) attempts: Attempts,
    /// Tokens received and not yet judged by the core.
    pub(super) received: BTreeMap<AttemptId, Token>,
    pub(super) logins: Logins,
    pub(super) durable: Durable,
    pub(super) revocations: Revocations,
    pub(super) view: watch::Sender<DaemonView>,
    pub(super) service: ServiceManager,
    pub(super) announced: Announced,
    /// `[daemon]` as it is until the next start.
    pub(super) started_with: DaemonConfig,
    /// What start-up found and what stays true until the next one.
    pub(super) start_warnings: Vec<Arc<str>>,
    /// Where the HTTP socket is bound that somebody else has bound.
    pub(super) passed_socket: Option<PathBuf>,
    /// Its mode contradicts the configuration.
    pub(super) socket_warning: Option<Arc<str>>,
    pub(super) reload: Reload,
    /// With `--once`: a token that is not done.
    pub(super) once_waits_for: Option<TokenName>,
    pub(super) stopping: bool,
}

impl Shell {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let core = self.scheduler.poll_timeout();
        let all = [core, self.durable.retry_at(), self.announced.status_at];
        all.into_iter().flatten().min()
    }

    /// Does what is due and all that the core commands.
    pub(super) fn carry_out(&mut self, now: Instant) {
        if self.durable.retry_at().is_some_and(|at| at <= now) {
            self.durable.retry(now, &self.tokens);
        }
        if self.scheduler.poll_timeout().is_some_and(|at| at <= now) {
            self.scheduler.handle_timeout(now);
        }
        while let Some(command) = self.scheduler.poll_command() {
            self.command(now, command);
        }
        while let Some(name) = self.scheduler.poll_changed() {
            self.refresh_status(&name);
        }
    }

    fn command(&mut self, now: Instant, command: Command) {
        let name = match command {
            Command::Cancel { name, attempt } => {
                self.durable.forget(attempt);
                self.attempts.cancel(attempt);
                // Not when it was given up for another configuration.
                let status = self.scheduler.status(&name);
                if status.is_some_and(|status| status.failures > 0) {
                    self.note_failure(now, &name, "no answer within the deadline");
                }
                name
            }
            Command::Commit { name, attempt } => {
                self.commit(&name, attempt);
                name
            }
            Command::Discard { name, attempt } => {
                self.received.remove(&attempt);
                debug!(token = %name, "an older token arrived late and was discarded");
                name
            }
            Command::Obtain { name, attempt, by } => {
                self.obtain(now, &name, attempt, by);
                name
            }
            // What else changes with these two, the core tells on its own.
            Command::AskForLogin { name, until } => {
                match until.map(|until| clock::utc(now, until)) {
                    Some(until) => warn!(token = %name, %until, "somebody has to log in soon"),
                    None => warn!(token = %name, "somebody has to log in"),
                }
                return self.tell(now, &name, until);
            }
            Command::Quarantine { name } => {
                warn!(token = %name, "refresh token set aside: it will not be used again");
                let entry = self.tokens.get_mut(&name);
                if let Some(record) =
                    entry.and_then(|entry| entry.held_mut().quarantine_refresh_token().cloned())
                {
                    self.durable.put(record, None);
                }
                name
            }
            Command::Withdraw { name } => {
                if let Some(entry) = self.tokens.get(&name) {
                    if entry.held().record().is_some() {
                        warn!(token = %name, "expired without a replacement");
                    }
                    entry.publisher().withdraw();
                }
                return;
            }
        };
        self.refresh_status(&name);
    }

    /// Hands an event to the core.
    pub(super) fn handle(&mut self, now: Instant, event: Event) {
        let name = event.name().clone();
        self.scheduler.handle_event(now, event);
        self.refresh_status(&name);
    }

    pub(super) fn refresh_status(&mut self, name: &TokenName) {
        if let Some(status) = self.scheduler.status(name) {
            self.tokens.set_status(name, status, None);
        }
    }

    fn obtain(&mut self, now: Instant, name: &TokenName, attempt: AttemptId, by: Use) {
        let Some(entry) = self.tokens.get_mut(name).filter(|_| !self.stopping) else {
            return;
        };
        let token = entry.config();
        if self.revocations.is_logging_out(name) {
            let failed = not_sent(name.clone(), attempt);
            return self.fail(now, failed, "somebody is logging out");
        }
        let client = match self.inputs.client(&token) {
            Some(Ok(client)) => Some(client.clone()),
            Some(Err(error)) => {
                let (text, failure) = (explain(error.as_ref(), error.hint()), error.failure());
                let name = name.clone();
                let failed = Event::Failed {
                    name,
                    attempt,
                    failure,
                };
                self.fail(now, failed, &text);
                return;
            }
            None => None,
        };
        debug!(token = %name, ?by, "requesting");
        let record = match by {
            Use::Primary => None,
            Use::RefreshToken => match entry.held_mut().open_intent(now) {
                Some(record) => Some(record.clone()),
                None => return,
            },
        };
        let mut input_tokens = self.tokens.input_tokens_of(&token);
        let refresh_token = record.as_ref().map(|record| &record.token.refresh_token);
        input_tokens.refresh_token = refresh_token.cloned().flatten();
        input_tokens.id_token = record
            .as_ref()
            .and_then(|record| record.token.id_token.clone());
        let request = Request {
            name: name.clone(),
            attempt,
            by,
            token,
            client,
            environment: Arc::clone(&self.environment),
            input_tokens,
        };
        match record {
            None => self.attempts.start(request),
            Some(record) => {
                failpoint::pass("intent");
                self.durable
                    .put(record, Some(Step::Send(Box::new(request))));
                failpoint::pass("intent-queued");
            }
        }
    }

    fn commit(&mut self, name: &TokenName, attempt: AttemptId) {
        let (Some(token), Some(entry)) =
            (self.received.remove(&attempt), self.tokens.get_mut(name))
        else {
            return;
        };
        let end = self.scheduler.status(name).and_then(|s| s.login_due_at);
        let window_fixed = end.is_some() && token.refresh_token.is_some();
        let record = entry.commit(token, window_fixed).clone();
        let published = Published::from(&record);
        failpoint::pass("record");
        self.durable.put(record, Some(Step::Publish(published)));
        failpoint::pass("record-queued");
    }

    pub(super) fn attempt_finished(&mut self, now: Instant, finished: Finished) {
        let Finished {
            name,
            attempt,
            by,
            result,
        } = finished;
        match result {
            Ok(Ok(token)) => {
                failpoint::pass("reply");
                let entry = self.tokens.get(&name);
                let client =
                    entry.and_then(|entry| Some(entry.config().client.as_ref()?.name.clone()));
                let token = match entry {
                    Some(entry) => entry.completed(token),
                    None => token,
                };
                let validity = token.validity;
                let expires_at = clock::utc(now, validity.expires_at);
                info!(token = %name, client, %expires_at, "obtained");
                self.received.insert(attempt, token);
                self.handle(
                    now,
                    Event::Obtained {
                        name,
                        attempt,
                        validity,
                    },
                );
            }
            Ok(Err(error)) => {
                let failure = error.failure();
                if by == Use::RefreshToken && failure.delivery != Delivery::Unknown {
                    self.close_intent(&name);
                }
                let text = explain(&error, error.hint());
                self.fail(
                    now,
                    Event::Failed {
                        name,
                        attempt,
                        failure,
                    },
                    &text,
                );
            }
            Err(defect) => {
                error!(token = %name, %defect, "a request's task has died");
                let failed = Event::Failed {
                    name,
                    attempt,
                    failure: Failure::LOST,
                };
                self.fail(now, failed, "a defect in bearerd; see the log");
            }
        }
    }

    /// The server has answered, or was never asked: the refresh token is as good as before.
    pub(super) fn close_intent(&mut self, name: &TokenName) {
        let entry = self.tokens.get_mut(name);
        if let Some(record) = entry.and_then(|entry| entry.held_mut().close_intent().cloned()) {
            self.durable.put(record, None);
        }
    }

    pub(super) fn fail(&mut self, now: Instant, failed: Event, error: &str) {
        let name = failed.name().clone();
        self.scheduler.handle_event(now, failed);
        self.note_failure(now, &name, error);
    }

    fn note_failure(&mut self, now: Instant, name: &TokenName, error: &str) {
        let (Some(entry), Some(status)) = (self.tokens.get(name), self.scheduler.status(name))
        else {
            return;
        };
        let client = entry
            .config()
            .client
            .as_ref()
            .map(|client| client.name.clone());
        self.tokens.set_status(name, status, Some(error.into()));
        let failures = status.failures;
        let state = State::of_health(status.health, false).as_str();
        let retry_at = status.next_attempt_at.map(|at| clock::utc(now, at));
        let retry_at = retry_at.map(|at| at.to_string());
        warn!(token = %name, client, state, error, failures, retry_at, "not obtained");
    }

    pub(super) fn refresh_requested(&mut self, now: Instant, request: RefreshRequest) {
        let RefreshRequest { name, instead_of } = request;
        let entry = self.tokens.get(&name);
        let held = entry.and_then(|entry| entry.held().generation());
        // Many ask at once, and some when its replacement has come and is on its way to the disk.
        if instead_of.is_none_or(|seen| held <= Some(seen)) {
            self.handle(now, Event::RefreshRequested { name });
        }
    }

    pub(super) fn refresh_all(&mut self, now: Instant) {
        info!("replacing every token");
        let names: Vec<_> = self.tokens.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.handle(now, Event::RefreshRequested { name });
        }
    }

    /// With `--once`: how it ended, once it has.
    pub(super) fn once_outcome(&mut self) -> Option<Outcome> {
        if !self.options.once {
            return None;
        }
        let waits_for = &mut self.once_waits_for;
        Outcome::of_single_pass(&self.tokens, waits_for, self.announced.patience_over)
    }

    pub(super) fn begin_stop(&mut self) {
        self.stopping = true;
        self.service.stopping();
        self.view.send_modify(|view| view.stopping = true);
        self.attempts.cancel_repeatable();
    }

    pub(super) fn has_unfinished_business(&self) -> bool {
        let redeeming = self.logins.are_redeeming() || self.revocations.somebody_waits();
        !self.attempts.is_empty() || self.durable.is_busy() || redeeming
    }

    pub(super) async fn end(mut self) {
        self.tokens.stop_outputs().await;
        self.durable.end().await;
    }
}
