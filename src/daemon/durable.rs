//! What waits for the disk: requests whose intent must be durable before they are sent, tokens that must
//! be durable before they are published, and records that could not be written yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Delivery, Event, Failure};
use tracing::{info, warn};

use crate::api::requests::{LoggedOut, LogoutError};
use crate::error_chain::error_chain;
use crate::failpoint;
use crate::store::{Published, Record, StateWriter, Written};

use super::attempts::Request;
use super::logout::Answer;
use super::shell::Shell;
use super::tokens::Tokens;

/// What to do once a record is durable.
pub(super) enum Step {
    /// Readers may see this one; a newer one may have been committed in the meantime.
    Publish(Published),
    /// Somebody has logged out.
    Answer(Answer, LoggedOut),
    /// The refresh may be sent.
    Send(Box<Request>),
}

/// What waits for the disk.
pub(super) struct Durable {
    writer: StateWriter,
    next_ticket: u64,
    waiting: BTreeMap<u64, Option<Step>>,
    unsaved: BTreeSet<TokenName>,
    retry: Option<Retry>,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Durable {
    pub(super) fn new(writer: StateWriter) -> Self {
        Self {
            writer,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            retry: None,
        }
    }

    /// Has a record written; then `step`.
    pub(super) fn put(&mut self, record: Record, step: Option<Step>) {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, step);
        self.writer.put(Box::new(record), self.next_ticket);
    }

    /// Has the state of a token removed; then `step`.
    pub(super) fn remove(&mut self, name: TokenName, step: Option<Step>) {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, step);
        self.writer.remove(name, self.next_ticket);
    }

    /// The outcome of a write, and what was to follow it. It follows a failed write too, where the
    /// caller has to judge: a full disk is no reason to keep a good token from its readers.
    pub(super) fn written(&mut self, now: Instant, written: Written) -> Option<Step> {
        let Written {
            name,
            ticket,
            result,
        } = written;
        match result {
            Ok(()) => {
                if self.unsaved.remove(&name) && self.unsaved.is_empty() {
                    self.retry = None;
                    info!("the state is saved again");
                }
            }
            Err(error) => {
                if self.unsaved.insert(name.clone()) {
                    warn!(token = %name, error = error_chain(&error), "the state cannot be saved");
                }
                let pause = self.retry.map_or(FIRST_PAUSE, |retry| retry.pause);
                self.retry.get_or_insert(Retry {
                    at: now + pause,
                    pause,
                });
            }
        }
        self.waiting.remove(&ticket).flatten()
    }

    /// When records that could not be written are to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    pub(super) fn retry(&mut self, now: Instant, tokens: &Tokens) {
        let pause = self
            .retry
            .map_or(FIRST_PAUSE, |retry| (retry.pause * 2).min(LONGEST_PAUSE));
        self.retry = Some(Retry {
            at: now + pause,
            pause,
        });
        for name in self.unsaved.clone() {
            match tokens
                .get(&name)
                .map(|entry| entry.held().record().cloned())
            {
                Some(Some(record)) => self.put(record, None),
                Some(None) => self.remove(name, None),
                None => {
                    self.unsaved.remove(&name);
                }
            }
        }
        if self.unsaved.is_empty() {
            self.retry = None;
        }
    }

    /// Does not send what was waiting to be sent for this attempt.
    pub(super) fn forget(&mut self, attempt: AttemptId) {
        for step in self.waiting.values_mut() {
            if matches!(step, Some(Step::Send(request)) if request.attempt == attempt) {
                *step = None;
            }
        }
    }

    /// Whether a record is not on disk that should be.
    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets the writer end what it has begun.
    pub(super) async fn end(self) {
        // Joining a thread blocks; the loop is over, but the sinks' last lines may still be on their way.
        let joined = tokio::task::spawn_blocking(move || drop(self.writer)).await;
        if joined.is_err() {
            warn!("the state writer has died");
        }
    }
}

impl Shell {
    /// A state record is on disk, or is not.
    pub(super) fn written(&mut self, now: Instant, written: Written) {
        let name = written.name.clone();
        let error = written
            .result
            .as_ref()
            .err()
            .map(|error| error_chain(error));
        match self.durable.written(now, written) {
            Some(Step::Publish(published)) => {
                let generation = published.generation;
                failpoint::pass("publish");
                if self.tokens.publish(now, &name, published) {
                    info!(token = %name, generation, "published");
                }
                failpoint::pass("published");
            }
            Some(Step::Answer(answer, outcome)) => {
                let outcome = error.map_or(Ok(outcome), |error| {
                    Err(LogoutError::NotForgotten(error.into()))
                });
                // Whoever waited may be gone.
                let _ = answer.send(outcome);
            }
            Some(Step::Send(request)) => self.send(now, *request, error),
            None => {}
        }
    }

    /// Sends a refresh whose intent is durable, or could not be made so.
    fn send(&mut self, now: Instant, request: Request, unsaved: Option<String>) {
        let name = request.name.clone();
        // With nothing but the refresh token to go on, it must not be risked without a record.
        let irreplaceable = request.token.policy().grant.needs_person();
        let refusal = unsaved.filter(|_| irreplaceable);
        if refusal.is_none() && !self.stopping {
            failpoint::pass("intent-durable");
            return self.attempts.start(request);
        }
        self.close_intent(&name);
        if let Some(error) = refusal {
            self.fail(now, not_sent(name, request.attempt), &error);
        }
    }
}

/// An attempt that ended before anything was sent.
pub(super) fn not_sent(name: TokenName, attempt: AttemptId) -> Event {
    let failure = Failure {
        delivery: Delivery::NotSent,
        ..Failure::LOST
    };
    Event::Failed {
        name,
        attempt,
        failure,
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
