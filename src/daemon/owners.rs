//! The owners of all that changes, and what is carried from one to the next.
//!
//! An owner answers a verb with what has to happen next, and knows nothing of those that come after
//! it. Here stands what follows from each thing that has happened; what the core commands then
//! stands in `commands`.

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Delivery, Event, Failure, Use};
use tracing::{error, info};

use crate::api::problem::Problem;
use crate::api::requests::{LoginRequest, Logout, RefreshRequest};
use crate::clock;
use crate::error_chain::explain;
use crate::failpoint;
use crate::oauth::ObtainError;
use crate::store::Written;
use crate::token::Token;

use super::announcements::Announcements;
use super::attempts::{Attempts, Finished, failed, not_sent};
use super::configuration::Configuration;
use super::durability::{Durability, Next, Step};
use super::login::{self, Logins, Target};
use super::reload::Reload;
use super::revocations::{self, Forget, Revocations};
use super::schedule::Schedule;
use super::tokens::Tokens;

/// The owners of all that changes.
pub(super) struct Owners {
    pub(super) schedule: Schedule,
    pub(super) tokens: Tokens,
    pub(super) attempts: Attempts,
    pub(super) durability: Durability,
    pub(super) logins: Logins,
    pub(super) revocations: Revocations,
    pub(super) configuration: Configuration,
    pub(super) reload: Reload,
    pub(super) announcements: Announcements,
}

impl Owners {
    /// When something is due without anything happening before.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let core = self.schedule.wakes_at();
        let all = [
            core,
            self.durability.retry_at(),
            self.announcements.status_at(),
        ];
        all.into_iter().flatten().min()
    }

    /// An attempt is over.
    pub(super) fn attempt_finished(&mut self, now: Instant, finished: Finished) {
        let Finished {
            name,
            attempt,
            by,
            result,
        } = finished;
        match result {
            Ok(Ok(token)) => self.obtained(now, name, attempt, token),
            Ok(Err(error)) => {
                let failure = error.failure();
                if by == Use::RefreshToken && failure.delivery != Delivery::Unknown {
                    self.close_intent(&name);
                }
                let text = explain(&error, error.hint());
                self.fail(now, failed(name, attempt, failure), &text);
            }
            Err(defect) => {
                error!(token = %name, %defect, "a request's task has died");
                let failed = failed(name, attempt, Failure::LOST);
                self.fail(now, failed, "a defect in bearerd; see the log");
            }
        }
    }

    fn obtained(&mut self, now: Instant, name: TokenName, attempt: AttemptId, token: Token) {
        failpoint::pass("reply");
        let entry = self.tokens.get(&name);
        let client = entry.and_then(|entry| Some(entry.config().client.as_ref()?.name.clone()));
        let token = match entry {
            Some(entry) => entry.completed(token),
            None => token,
        };
        let validity = token.validity;
        let expires_at = clock::utc(now, validity.expires_at);
        info!(token = %name, client, %expires_at, "obtained");
        self.attempts.keep(attempt, token);
        let event = Event::Obtained {
            name,
            attempt,
            validity,
        };
        self.handle(now, event);
    }

    /// A state record is on disk, or could not be written.
    pub(super) fn written(&mut self, now: Instant, written: Written) {
        match self.durability.written(now, written) {
            Some(Next::Publish(name, published)) => {
                let generation = published.generation;
                failpoint::pass("publish");
                if self.tokens.publish(now, &name, published) {
                    info!(token = %name, generation, "published");
                }
                failpoint::pass("published");
            }
            Some(Next::Send(request)) if self.attempts.are_closed() => {
                self.close_intent(&request.name);
            }
            Some(Next::Send(request)) => {
                failpoint::pass("intent-durable");
                self.attempts.start(*request);
            }
            Some(Next::Withhold {
                name,
                attempt,
                error,
            }) => {
                self.close_intent(&name);
                self.fail(now, not_sent(name, attempt), &error);
            }
            None => {}
        }
    }

    /// The server has answered, or was never asked: the refresh token is as good as before.
    fn close_intent(&mut self, name: &TokenName) {
        let entry = self.tokens.get_mut(name);
        if let Some(record) = entry.and_then(|entry| entry.held_mut().close_intent().cloned()) {
            self.durability.put(record, None);
        }
    }

    /// Somebody asks for a replacement of a token.
    pub(super) fn refresh_requested(&mut self, now: Instant, request: RefreshRequest) {
        let RefreshRequest { name, instead_of } = request;
        let held = self.tokens.generation(&name);
        // Many ask at once, and some when its replacement has come and is on its way to the disk.
        if instead_of.is_none_or(|seen| held <= Some(seen)) {
            self.handle(now, Event::RefreshRequested { name });
        }
    }

    /// An administrator asks for a replacement of every token.
    pub(super) fn refresh_all(&mut self, now: Instant) {
        info!("replacing every token");
        let names: Vec<_> = self.configuration.tokens().keys().cloned().collect();
        for name in names {
            self.handle(now, Event::RefreshRequested { name });
        }
    }

    /// Somebody at the socket begins a login, or completes one.
    pub(super) fn login_requested(&mut self, request: LoginRequest) {
        let (LoginRequest::Begin { name, .. } | LoginRequest::Complete { name, .. }) = &request;
        let target = self.login_target(name);
        let attempt = self.schedule.begin_attempt();
        self.logins.requested(request, target, attempt);
    }

    /// Takes up the logins that had begun before a restart.
    pub(super) fn resume_logins(&mut self) {
        for name in self.logins.resume(self.configuration.tokens()) {
            if let Ok(target) = self.login_target(&name) {
                let attempt = self.schedule.begin_attempt();
                self.logins.poll(target, attempt);
            }
        }
    }

    /// A step of a login is over.
    pub(super) fn login_ended(&mut self, now: Instant, ended: login::Ended) {
        match ended {
            login::Ended::Begun(name, pending) => {
                let target = self.login_target(&name);
                let attempt = self.schedule.begin_attempt();
                self.logins.begun(&name, pending, target, attempt);
            }
            login::Ended::Brought(name, attempt, brought) => {
                self.login_brought(now, name, attempt, brought);
            }
        }
    }

    fn login_brought(
        &mut self,
        now: Instant,
        name: TokenName,
        attempt: AttemptId,
        brought: Result<Token, ObtainError>,
    ) {
        let Some(token) = self.logins.brought(&name, attempt, brought) else {
            return;
        };
        let validity = token.validity;
        self.attempts.keep(attempt, token);
        let event = Event::LoggedIn {
            name: name.clone(),
            attempt,
            validity,
        };
        self.handle(now, event);
        self.logins.logged_in(&name);
    }

    /// What a login to this token needs.
    ///
    /// # Errors
    /// When there is no such token.
    pub(super) fn login_target(&self, name: &TokenName) -> Result<Target, Problem> {
        Target::find(name, &self.tokens, &self.configuration)
    }

    /// Somebody logs out.
    pub(super) fn log_out(&mut self, logout: Logout) {
        let redeeming = self.logins.is_redeeming(&logout.name);
        self.revocations
            .log_out(logout, redeeming, &self.tokens, &self.configuration);
    }

    /// A revocation is over.
    pub(super) fn revoked(&mut self, now: Instant, ended: revocations::Ended) {
        let Some(Forget {
            name,
            answer,
            outcome,
        }) = ended.conclude(&self.tokens)
        else {
            return;
        };
        self.tokens.forget(&name);
        self.handle(now, Event::LoggedOut { name: name.clone() });
        let step = Step::Answer(answer, outcome);
        self.durability.remove(name, Some(step));
    }

    /// Somebody asks for a reload.
    pub(super) fn reload_requested(&mut self) {
        info!("reloading");
        let announced = self.announcements.reloading();
        self.reload.note_all(announced);
    }

    /// Says what has changed since the last turn.
    pub(super) fn announce(&mut self, now: Instant) {
        self.announcements
            .announce(now, &self.tokens, &self.configuration, &self.durability);
    }

    /// Begins nothing any more, and gives up on what can be given up without harm.
    pub(super) fn begin_stop(&mut self) {
        self.announcements.stopping();
        self.attempts.close();
    }

    /// Whether something is under way that a stop waits for.
    pub(super) fn are_busy(&self) -> bool {
        let redeeming = self.logins.are_redeeming() || self.revocations.somebody_waits();
        !self.attempts.is_empty() || self.durability.is_busy() || redeeming
    }

    /// Lets outputs and state writer end what they have begun.
    pub(super) async fn end(mut self) {
        self.tokens.stop_outputs().await;
        self.durability.end().await;
    }

    /// Tells the core what has happened.
    pub(super) fn handle(&mut self, now: Instant, event: Event) {
        self.schedule.handle(now, event, &mut self.tokens);
    }

    /// Tells the core of an attempt that failed, for the reason in `error`.
    pub(super) fn fail(&mut self, now: Instant, failed: Event, error: &str) {
        self.schedule.fail(now, failed, error, &mut self.tokens);
    }
}
