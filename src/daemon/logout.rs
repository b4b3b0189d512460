//! Has tokens revoked and forgets them: at a logout, and when a token is no longer configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::Event;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::api::requests::{LoggedOut, Logout, LogoutError};
use crate::config::TokenConfig;
use crate::error_chain::explain;
use crate::oauth::{Client, InputTokens, RevocationError, revoke};
use crate::store::Record;
use crate::token::Token;

use super::durable::Step;
use super::inputs::Inputs;
use super::shell::Shell;

/// Who waits for the end of a logout.
pub(super) type Answer = oneshot::Sender<Result<LoggedOut, LogoutError>>;

/// A record, the client that its token was obtained with, and what that client proves itself by.
struct Held<'a> {
    client: Client,
    record: &'a Record,
    input_tokens: Arc<InputTokens>,
}

/// Revocations under way.
#[derive(Default)]
pub(super) struct Revocations {
    tasks: JoinSet<Result<(), RevocationError>>,
    running: BTreeMap<Id, Running>,
}

struct Running {
    name: TokenName,
    generation: u64,
    /// `None`: it is no longer configured.
    answer: Option<Answer>,
}

/// A revocation that is over.
pub(super) struct Ended {
    running: Running,
    result: Result<(), RevocationError>,
}

impl Revocations {
    fn start(
        &mut self,
        running: Running,
        work: impl Future<Output = Result<(), RevocationError>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.running.insert(task.id(), running);
    }

    /// Whether somebody is logging out of it: it must not be refreshed then.
    pub(super) fn is_logging_out(&self, name: &TokenName) -> bool {
        self.logouts().any(|other| other == name)
    }

    pub(super) fn somebody_waits(&self) -> bool {
        self.logouts().next().is_some()
    }

    fn logouts(&self) -> impl Iterator<Item = &TokenName> {
        let logouts = self.running.values().filter(|r| r.answer.is_some());
        logouts.map(|running| &running.name)
    }

    /// Waits for the next one to end; for ever when none is under way.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            // Of one that has died, whoever waits learns by the end of the channel.
            if let (Some(running), Ok((_, result))) = (self.running.remove(&id), joined) {
                return Ended { running, result };
            }
        }
    }
}

impl Shell {
    /// Has what a token holds revoked; [`Shell::revoked`] then forgets it.
    pub(super) fn log_out(&mut self, logout: Logout) {
        let Logout { name, answer } = logout;
        match self.held_by_login(&name) {
            Ok(Some(Held {
                client,
                record,
                input_tokens,
            })) => {
                info!(token = %name, "logging out");
                let work = revoke(client, Arc::clone(&record.token), input_tokens);
                let running = Running {
                    name,
                    generation: record.generation,
                    answer: Some(answer),
                };
                self.revocations.start(running, work);
            }
            // Whoever waited may be gone.
            Ok(None) => drop(answer.send(Ok(LoggedOut::Nothing))),
            Err(refusal) => drop(answer.send(Err(refusal))),
        }
    }

    fn held_by_login(&self, name: &TokenName) -> Result<Option<Held<'_>>, LogoutError> {
        let entry = self.tokens.get(name).ok_or(LogoutError::NoSuchToken)?;
        let config = entry.config();
        if !config.policy().grant.needs_person() {
            return Err(LogoutError::NoLogin);
        }
        let changes = entry.status().in_flight || self.logins.is_redeeming(name);
        if changes || self.revocations.is_logging_out(name) {
            return Err(LogoutError::Busy);
        }
        let Some(record) = entry.held().record() else {
            return Ok(None);
        };
        match self.inputs.client(&config) {
            Some(Ok(client)) => Ok(Some(Held {
                client: client.clone(),
                record,
                input_tokens: Arc::new(self.tokens.input_tokens_of(&config)),
            })),
            Some(Err(error)) => {
                let why = explain(error.as_ref(), error.hint());
                Err(LogoutError::NotRevoked(why.into()))
            }
            None => Err(LogoutError::NoSuchToken),
        }
    }

    /// A revocation is over.
    pub(super) fn revoked(&mut self, now: Instant, ended: Ended) {
        let Ended { running, result } = ended;
        let Running {
            name,
            generation,
            answer,
        } = running;
        let Some(answer) = answer else {
            match result {
                Ok(()) => info!(token = %name, "no longer configured, and revoked"),
                Err(error) => {
                    let error = explain(&error, error.hint());
                    warn!(token = %name, error, "no longer configured, and not revoked");
                }
            }
            return;
        };
        let outcome = match result {
            Ok(()) => LoggedOut::Revoked,
            Err(error) => {
                let why: Arc<str> = explain(&error, error.hint()).into();
                warn!(token = %name, error = &*why, "not revoked");
                if !error.is_final() {
                    return drop(answer.send(Err(LogoutError::NotRevoked(why))));
                }
                LoggedOut::Unrevoked(why)
            }
        };
        // Somebody else has logged in meanwhile.
        if self
            .tokens
            .generation(&name)
            .is_some_and(|held| held != generation)
        {
            return drop(answer.send(Err(LogoutError::Busy)));
        }
        info!(token = %name, "logged out");
        self.tokens.forget(&name);
        self.handle(now, Event::LoggedOut { name: name.clone() });
        let step = Step::Answer(answer, outcome);
        self.durable.remove(name, Some(step));
    }

    /// Forgets those of the tokens no longer configured that are to be revoked, and has them revoked by the
    /// client that they were obtained with.
    pub(super) fn revoke_removed(
        &mut self,
        before: &Inputs,
        removed: Vec<(Arc<TokenConfig>, Record)>,
    ) {
        for (config, record) in removed {
            let name = config.name.clone();
            self.durable.remove(name.clone(), None);
            if let Some(Ok(client)) = before.client(&config) {
                let input_tokens = Arc::new(self.tokens.input_tokens_of(&config));
                let work = revoke_persistently(client.clone(), record.token, input_tokens);
                let running = Running {
                    name,
                    generation: record.generation,
                    answer: None,
                };
                self.revocations.start(running, work);
            } else {
                warn!(token = %name, "not revoked: its client cannot be used");
            }
        }
    }
}

async fn revoke_persistently(
    client: Client,
    token: Arc<Token>,
    input_tokens: Arc<InputTokens>,
) -> Result<(), RevocationError> {
    for pause in PAUSES {
        match revoke(client.clone(), token.clone(), input_tokens.clone()).await {
            Err(error) if !error.is_final() => sleep(pause).await,
            ended => return ended,
        }
    }
    revoke(client, token, input_tokens).await
}

/// Between the tries for a token that is no longer configured.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(30),
    Duration::from_secs(300),
];
