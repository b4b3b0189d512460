//! Has tokens revoked: at a logout, and when a token is no longer configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::api::requests::{LoggedOut, Logout, LogoutError};
use crate::error_chain::explain;
use crate::oauth::{Client, InputTokens, RevocationError, revoke};
use crate::store::Record;
use crate::token::Token;

use super::configuration::Configuration;
use super::inputs::Loaded;
use super::tokens::Tokens;

/// Who waits for the end of a logout.
pub(super) type Answer = oneshot::Sender<Result<LoggedOut, LogoutError>>;

/// What a revocation needs: the tokens, and the client that they were obtained with.
struct Held {
    client: Client,
    token: Arc<Token>,
    generation: u64,
    input_tokens: Arc<InputTokens>,
}

/// A logout whose token is to be forgotten now. Once its state is removed, `answer` is due.
pub(super) struct Forget {
    pub(super) name: TokenName,
    pub(super) answer: Answer,
    pub(super) outcome: LoggedOut,
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
    /// `None` where the token is no longer configured.
    answer: Option<Answer>,
}

/// A revocation that is over.
pub(super) struct Ended {
    running: Running,
    result: Result<(), RevocationError>,
}

impl Revocations {
    /// Has what a token holds revoked, if somebody may log out of it now; [`Ended::conclude`] tells
    /// when it is to be forgotten. Whoever waits is answered otherwise. `redeeming` says whether a
    /// login to it is just being completed.
    pub(super) fn log_out(
        &mut self,
        logout: Logout,
        redeeming: bool,
        tokens: &Tokens,
        configuration: &Configuration,
    ) {
        let Logout { name, answer } = logout;
        let busy = redeeming || self.is_logging_out(&name);
        match held_by_login(&name, busy, tokens, configuration) {
            Ok(Some(held)) => {
                info!(token = %name, "logging out");
                let work = revoke(held.client, held.token, held.input_tokens);
                let running = Running {
                    name,
                    generation: held.generation,
                    answer: Some(answer),
                };
                self.start(running, work);
            }
            // Whoever waited may be gone.
            Ok(None) => drop(answer.send(Ok(LoggedOut::Nothing))),
            Err(refusal) => drop(answer.send(Err(refusal))),
        }
    }

    /// Has a token revoked that is no longer configured, by the client that it was obtained with.
    pub(super) fn revoke_removed(
        &mut self,
        record: Record,
        client: Option<&Loaded>,
        input_tokens: InputTokens,
    ) {
        let Record {
            name,
            generation,
            token,
            ..
        } = record;
        let Some(Ok(client)) = client else {
            warn!(token = %name, "not revoked: its client cannot be used");
            return;
        };
        let work = revoke_persistently(client.clone(), token, Arc::new(input_tokens));
        let running = Running {
            name,
            generation,
            answer: None,
        };
        self.start(running, work);
    }

    fn start(
        &mut self,
        running: Running,
        work: impl Future<Output = Result<(), RevocationError>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.running.insert(task.id(), running);
    }

    /// Whether somebody is logging out of this token, which must not be refreshed then.
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

    /// Waits for the next revocation to end; for ever when none is under way.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
            // When a task has died, whoever waits learns of it by the end of the channel.
            if let (Some(running), Ok((_, result))) = (self.running.remove(&id), joined) {
                return Ended { running, result };
            }
        }
    }
}

impl Ended {
    /// Says how it ended, and answers whoever waits if nothing is to be forgotten.
    pub(super) fn conclude(self, tokens: &Tokens) -> Option<Forget> {
        let Running {
            name,
            generation,
            answer,
        } = self.running;
        let Some(answer) = answer else {
            tell_removed(&name, self.result);
            return None;
        };
        let outcome = match self.result {
            Ok(()) => LoggedOut::Revoked,
            Err(error) => {
                let why: Arc<str> = explain(&error, error.hint()).into();
                warn!(token = %name, error = &*why, "not revoked");
                if !error.is_final() {
                    let _ = answer.send(Err(LogoutError::NotRevoked(why)));
                    return None;
                }
                LoggedOut::Unrevoked(why)
            }
        };
        // Somebody else has logged in meanwhile.
        if tokens
            .generation(&name)
            .is_some_and(|held| held != generation)
        {
            let _ = answer.send(Err(LogoutError::Busy));
            return None;
        }
        info!(token = %name, "logged out");
        Some(Forget {
            name,
            answer,
            outcome,
        })
    }
}

fn tell_removed(name: &TokenName, result: Result<(), RevocationError>) {
    match result {
        Ok(()) => info!(token = %name, "no longer configured, and revoked"),
        Err(error) => {
            let error = explain(&error, error.hint());
            warn!(token = %name, error, "no longer configured, and not revoked");
        }
    }
}

/// What is held of a token that a person has logged in to. `None` if nobody has.
fn held_by_login(
    name: &TokenName,
    busy: bool,
    tokens: &Tokens,
    configuration: &Configuration,
) -> Result<Option<Held>, LogoutError> {
    let entry = tokens.get(name).ok_or(LogoutError::NoSuchToken)?;
    let config = entry.config();
    if !config.policy().grant.needs_person() {
        return Err(LogoutError::NoLogin);
    }
    if busy || entry.status().in_flight {
        return Err(LogoutError::Busy);
    }
    let Some(record) = entry.held().record() else {
        return Ok(None);
    };
    match configuration.client(&config) {
        Some(Ok(client)) => Ok(Some(Held {
            client: client.clone(),
            token: Arc::clone(&record.token),
            generation: record.generation,
            input_tokens: Arc::new(tokens.input_tokens_of(&config)),
        })),
        Some(Err(error)) => {
            let why = explain(error.as_ref(), error.hint());
            Err(LogoutError::NotRevoked(why.into()))
        }
        None => Err(LogoutError::NoSuchToken),
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

/// The pauses between the tries for a token that is no longer configured.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(30),
    Duration::from_secs(300),
];
