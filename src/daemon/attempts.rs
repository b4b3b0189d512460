//! Requests for tokens: a task for each that is under way, and the tokens that they have brought.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{AttemptId, Delivery, Event, Failure, Use};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use crate::config::{Environment, TokenConfig};
use crate::oauth::{self, Client, InputTokens, ObtainError};
use crate::token::Token;

/// What an attempt needs.
pub(super) struct Request {
    pub(super) name: TokenName,
    pub(super) attempt: AttemptId,
    pub(super) by: Use,
    pub(super) token: Arc<TokenConfig>,
    /// `None` for grants that are no token request.
    pub(super) client: Option<Client>,
    pub(super) environment: Arc<Environment>,
    pub(super) input_tokens: InputTokens,
}

/// An attempt that is over.
pub(super) struct Finished {
    pub(super) name: TokenName,
    pub(super) attempt: AttemptId,
    pub(super) by: Use,
    /// An error of the outer kind is a defect in the attempt's own code.
    pub(super) result: Result<Result<Token, ObtainError>, JoinError>,
}

/// The attempts under way, and what those that are over have brought.
#[derive(Default)]
pub(super) struct Attempts {
    tasks: JoinSet<Result<Token, ObtainError>>,
    running: BTreeMap<Id, Running>,
    /// Tokens received and not yet judged by the core.
    received: BTreeMap<AttemptId, Token>,
    closed: bool,
}

struct Running {
    name: TokenName,
    attempt: AttemptId,
    by: Use,
    repeatable: bool,
    task: AbortHandle,
}

impl Attempts {
    pub(super) fn start(&mut self, request: Request) {
        let Request {
            name,
            attempt,
            by,
            token,
            client,
            environment,
            input_tokens,
        } = request;
        let repeatable = by == Use::Primary && !token.policy().grant.needs_person();
        let tasks = &mut self.tasks;
        let task = match client {
            Some(client) => tasks.spawn(client.obtain(token, by, input_tokens)),
            None => tasks.spawn(oauth::obtain_alone(token, environment, input_tokens)),
        };
        self.running.insert(
            task.id(),
            Running {
                name,
                attempt,
                by,
                repeatable,
                task,
            },
        );
    }

    pub(super) fn cancel(&mut self, attempt: AttemptId) {
        if let Some(running) = self
            .running
            .values()
            .find(|running| running.attempt == attempt)
        {
            running.task.abort();
        }
    }

    /// Lets no further attempt begin, and gives up on each that can be repeated without harm. A
    /// refresh under way may have spent its refresh token, and so may the first use of a seed:
    /// their answers are worth waiting for.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for running in self.running.values().filter(|running| running.repeatable) {
            running.task.abort();
        }
    }

    /// Whether no further attempt is to begin.
    pub(super) fn are_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Keeps what an attempt has brought until the core has judged it.
    pub(super) fn keep(&mut self, attempt: AttemptId, token: Token) {
        self.received.insert(attempt, token);
    }

    /// Hands out what an attempt has brought.
    pub(super) fn take(&mut self, attempt: AttemptId) -> Option<Token> {
        self.received.remove(&attempt)
    }

    /// Waits for the next attempt to end; for ever when none is under way. Cancelled ones are left
    /// out: the core knows of them already.
    pub(super) async fn finished(&mut self) -> Finished {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let (id, result) = match joined {
                Ok((id, result)) => (id, Ok(result)),
                Err(error) => (error.id(), Err(error)),
            };
            let Some(Running {
                name, attempt, by, ..
            }) = self.running.remove(&id)
            else {
                continue;
            };
            if !result.as_ref().is_err_and(JoinError::is_cancelled) {
                return Finished {
                    name,
                    attempt,
                    by,
                    result,
                };
            }
        }
    }
}

/// The event of an attempt that failed.
pub(super) fn failed(name: TokenName, attempt: AttemptId, failure: Failure) -> Event {
    Event::Failed {
        name,
        attempt,
        failure,
    }
}

/// The event of an attempt that ended before anything was sent.
pub(super) fn not_sent(name: TokenName, attempt: AttemptId) -> Event {
    let failure = Failure {
        delivery: Delivery::NotSent,
        ..Failure::LOST
    };
    failed(name, attempt, failure)
}
