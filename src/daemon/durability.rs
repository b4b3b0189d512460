//! What waits for the disk: requests whose intent must be durable before they are sent, tokens that
//! must be durable before they are published, and records that could not be written yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::AttemptId;
use tracing::{info, warn};

use crate::api::requests::{LoggedOut, LogoutError};
use crate::error_chain::error_chain;
use crate::store::writer::StateError;
use crate::store::{Published, Record, StateWriter, Written};

use super::attempts::Request;
use super::revocations::Answer;
use super::tokens::Tokens;

/// What waits for a record to be durable.
pub(super) enum Step {
    /// Readers may see this token. A newer one may have been committed in the meantime.
    Publish(Published),
    /// Somebody has logged out, and waits to hear that nothing is kept.
    Answer(Answer, LoggedOut),
    /// The refresh may be sent.
    Send(Box<Request>),
}

/// What has to happen after a write.
pub(super) enum Next {
    /// Readers may see this token.
    Publish(TokenName, Published),
    /// The refresh may be sent.
    Send(Box<Request>),
    /// The refresh must not be sent, since its intent could not be made durable, for the reason in
    /// `error`.
    Withhold {
        name: TokenName,
        attempt: AttemptId,
        error: String,
    },
}

/// The writer of the durable state, and what waits for it.
pub(super) struct Durability {
    writer: StateWriter,
    next_ticket: u64,
    /// By ticket. `None` where nothing follows the write.
    waiting: BTreeMap<u64, Option<Step>>,
    unsaved: BTreeSet<TokenName>,
    retry: Option<Retry>,
}

/// When records that could not be written are to be tried again.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Durability {
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

    /// Takes note of the outcome of a write. Returns what has to happen now. After a failed write
    /// something has to happen, too: a full disk is no reason to keep a good token from its
    /// readers.
    pub(super) fn written(&mut self, now: Instant, written: Written) -> Option<Next> {
        let Written {
            name,
            ticket,
            result,
        } = written;
        let failure = result.as_ref().err().map(|error| error_chain(error));
        self.note(now, &name, result);
        match self.waiting.remove(&ticket).flatten()? {
            Step::Publish(published) => Some(Next::Publish(name, published)),
            Step::Answer(answer, outcome) => {
                let outcome = failure.map_or(Ok(outcome), |error| {
                    Err(LogoutError::NotForgotten(error.into()))
                });
                // Whoever waited may be gone.
                let _ = answer.send(outcome);
                None
            }
            Step::Send(request) => Some(sent_unless(failure, request)),
        }
    }

    fn note(&mut self, now: Instant, name: &TokenName, result: Result<(), StateError>) {
        match result {
            Ok(()) => {
                if self.unsaved.remove(name) && self.unsaved.is_empty() {
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
    }

    /// When records that could not be written are to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Tries again what could not be written, if that is due.
    pub(super) fn retry(&mut self, now: Instant, tokens: &Tokens) {
        let Some(retry) = self.retry.filter(|retry| retry.at <= now) else {
            return;
        };
        let pause = (retry.pause * 2).min(LONGEST_PAUSE);
        self.retry = Some(Retry {
            at: now + pause,
            pause,
        });
        for name in self.unsaved.clone() {
            match tokens.get(&name).map(|entry| entry.held().record()) {
                Some(Some(record)) => self.put(record.clone(), None),
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
        // Joining a thread blocks; the loop is over, but the sinks' last lines may still be on
        // their way.
        let joined = tokio::task::spawn_blocking(move || drop(self.writer)).await;
        if joined.is_err() {
            warn!("the state writer has died");
        }
    }
}

/// A token with nothing but its refresh token to go on must not risk that without a record.
fn sent_unless(failure: Option<String>, request: Box<Request>) -> Next {
    let irreplaceable = request.token.policy().grant.needs_person();
    match failure.filter(|_| irreplaceable) {
        Some(error) => Next::Withhold {
            name: request.name,
            attempt: request.attempt,
            error,
        },
        None => Next::Send(request),
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
