//! Logins under way: begun for somebody at the socket, kept across a restart, and ended by the code that
//! the browser brings or by the device that is polled for.

mod notify;
mod pending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, ErrorState, Event};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tracing::{error, info, warn};

use crate::api::problem::Problem;
use crate::api::requests::LoginRequest;
use crate::clock;
use crate::config::TokenConfig;
use crate::error_chain::error_chain;
use crate::oauth::login::{self, DeviceLogin, Redemption};
use crate::oauth::{Client, InputTokens, ObtainError};
use crate::sink::Notice;
use crate::store::LoginFiles;
use crate::token::Token;

use super::shell::Shell;
use notify::Asker;
use pending::{Pending, Way, begin, begun, problem, save};

/// Logins under way.
pub(super) struct Logins {
    files: Arc<LoginFiles>,
    /// Whom to tell that somebody has to log in.
    notifier: Option<mpsc::Sender<Notice>>,
    /// At most one of each token.
    pending: BTreeMap<TokenName, Pending>,
    tasks: JoinSet<Ended>,
    /// Who wants to know how a login begins.
    beginning: BTreeMap<TokenName, Vec<Asker>>,
    /// The attempts that redeem codes: worth waiting for.
    redeeming: BTreeMap<AttemptId, TokenName>,
    /// The attempts that poll for logins on other devices.
    polling: BTreeMap<TokenName, (AttemptId, AbortHandle)>,
    /// Who wants to know how a login on another device ends.
    waiting: BTreeMap<TokenName, Vec<Reply<()>>>,
}

type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// A step that is over.
pub(super) enum Ended {
    Begun(TokenName, Result<Pending, ObtainError>),
    Brought(TokenName, AttemptId, Result<Token, ObtainError>),
}

impl Logins {
    pub(super) fn new(files: LoginFiles, notifier: Option<mpsc::Sender<Notice>>) -> Self {
        Self {
            files: Arc::new(files),
            notifier,
            pending: BTreeMap::new(),
            beginning: BTreeMap::new(),
            tasks: JoinSet::new(),
            redeeming: BTreeMap::new(),
            polling: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Waits for the next step to end; for ever when none is under way.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                // Forgotten.
                Some(Err(end)) if end.is_cancelled() => {}
                Some(Err(defect)) => error!(%defect, "a login's task has died"),
                None => return std::future::pending().await,
            }
        }
    }

    /// Whether a code is being redeemed.
    pub(super) fn are_redeeming(&self) -> bool {
        !self.redeeming.is_empty()
    }

    /// Whether it is one for this token.
    pub(super) fn is_redeeming(&self, name: &TokenName) -> bool {
        self.redeeming.values().any(|of| of == name)
    }

    fn is_polling(&self, name: &TokenName, attempt: AttemptId) -> bool {
        let current = self.polling.get(name);
        current.is_some_and(|(current, _)| *current == attempt)
    }

    fn forget(&mut self, name: &TokenName) {
        if let Some((_, task)) = self.polling.remove(name) {
            task.abort();
        }
        if self.pending.remove(name).is_some() {
            self.remove_file(name);
        }
    }

    /// Tells all who wait for the end of a login. Whoever has gone need not hear of it.
    fn answer_all(&mut self, name: &TokenName, outcome: &Result<(), Problem>) {
        for reply in self.waiting.remove(name).unwrap_or_default() {
            let _ = reply.send(outcome.clone());
        }
    }

    fn remove_file(&self, name: &TokenName) {
        let (files, name) = (Arc::clone(&self.files), name.clone());
        spawn_blocking(move || files.remove(&name));
    }

    /// The login of a token that has begun and can still be completed.
    fn current(&mut self, token: &TokenConfig) -> Option<&Pending> {
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

    fn redeem(
        &mut self,
        attempt: AttemptId,
        client: Client,
        (token, input_tokens): (Arc<TokenConfig>, InputTokens),
        redemption: Redemption,
    ) {
        self.redeeming.insert(attempt, token.name.clone());
        self.tasks.spawn(async move {
            let name = token.name.clone();
            let brought = match client.registration().await {
                Ok(registration) => {
                    login::redeem(registration, token, redemption, &input_tokens).await
                }
                Err(error) => Err(error),
            };
            Ended::Brought(name, attempt, brought)
        });
    }
}

impl Shell {
    /// Takes up what had begun before a restart.
    pub(super) fn resume_logins(&mut self) {
        for (name, record) in self.logins.files.load_all() {
            let token = self.tokens.get(&name).map(|entry| entry.config());
            let pending = serde_json::from_slice::<Pending>(&record);
            if let Ok(pending) = pending {
                self.logins.pending.insert(name.clone(), pending);
            }
            match token {
                Some(token) if self.logins.current(&token).is_some() => self.poll(&token),
                _ => {
                    self.logins.pending.remove(&name);
                    self.logins.remove_file(&name);
                }
            }
        }
    }

    /// Forgets the logins of tokens that are gone, or are obtained in another way now.
    pub(super) fn forget_outdated_logins(&mut self) {
        let names: Vec<TokenName> = self.logins.pending.keys().cloned().collect();
        for name in names {
            let token = self.tokens.get(&name).map(|entry| entry.config());
            if token.is_none_or(|token| self.logins.current(&token).is_none()) {
                self.logins.forget(&name);
                if !self.logins.is_redeeming(&name) {
                    self.logins.answer_all(&name, &Err(none_under_way(&name)));
                }
            }
        }
    }

    pub(super) fn login_requested(&mut self, request: LoginRequest) {
        match request {
            LoginRequest::Begin { name, port, reply } => {
                self.begin_login(&name, port, Asker::Person(reply));
            }
            LoginRequest::Complete {
                name,
                response: Some(response),
                reply,
            } => {
                use secrecy::ExposeSecret;
                if let Err(problem) = self.complete_login(&name, response.expose_secret()) {
                    let _ = reply.send(Err(problem));
                } else {
                    self.logins.waiting.entry(name).or_default().push(reply);
                }
            }
            LoginRequest::Complete { name, reply, .. } => {
                let token = self.tokens.get(&name).map(|entry| entry.config());
                let pending = token.and_then(|token| {
                    let pending = self.logins.current(&token)?;
                    matches!(pending.way, Way::Device(_)).then_some(())
                });
                if pending.is_none() {
                    let _ = reply.send(Err(none_under_way(&name)));
                    return;
                }
                let waiting = self.logins.waiting.entry(name).or_default();
                // Whoever has gone need not hear of it.
                waiting.retain(|reply| !reply.is_closed());
                waiting.push(reply);
            }
        }
    }

    fn begin_login(&mut self, name: &TokenName, port: Option<u16>, asker: Asker) {
        let Some(token) = self.tokens.get(name).map(|entry| entry.config()) else {
            return self.logins.answer(asker, Err(Problem::no_such_token(name)));
        };
        if let Some(pending) = self.logins.current(&token) {
            let begun = begun(pending, &token);
            return self.logins.answer(asker, Ok(begun));
        }
        let client = match self.client(&token) {
            Ok(client) => client,
            Err(problem) => return self.logins.answer(asker, Err(problem)),
        };
        let waiting = self.logins.beginning.entry(name.clone()).or_default();
        waiting.push(asker);
        if waiting.len() > 1 {
            return;
        }
        let files = Arc::clone(&self.logins.files);
        let input_tokens = self.tokens.input_tokens_of(&token);
        self.logins.tasks.spawn(async move {
            let name = token.name.clone();
            let pending = begin(&client, &token, &input_tokens, port).await;
            if let Ok(pending) = &pending {
                save(files, &name, pending).await;
            }
            Ended::Begun(name, pending)
        });
    }

    fn complete_login(&mut self, name: &TokenName, response: &str) -> Result<(), Problem> {
        let entry = self.tokens.get(name);
        let token = entry.ok_or_else(|| Problem::no_such_token(name))?.config();
        let client = self.client(&token)?;
        let pending = self.logins.current(&token);
        let Some(Way::Code(authorization)) = pending.map(|pending| &pending.way) else {
            return Err(none_under_way(name));
        };
        let redemption = match authorization.answered(response) {
            Ok(redemption) => redemption,
            Err(error) => {
                // What anybody may have sent must not end somebody's login.
                let foreign = error.is_foreign();
                if !foreign {
                    self.logins.forget(name);
                }
                let error = ObtainError::Login(error);
                warn!(token = %name, error = error_chain(&error), "login not completed");
                let mut problem = problem(&error);
                if foreign {
                    problem = Problem::usage(problem.detail).hinting(problem.hint);
                }
                return Err(problem);
            }
        };
        self.logins.forget(name);
        let attempt = self.scheduler.begin_attempt();
        let input_tokens = self.tokens.input_tokens_of(&token);
        self.logins
            .redeem(attempt, client, (token, input_tokens), redemption);
        Ok(())
    }

    pub(super) fn login_ended(&mut self, now: Instant, ended: Ended) {
        match ended {
            Ended::Begun(name, begun) => self.login_begun(&name, begun),
            Ended::Brought(name, attempt, brought) => {
                let redeemed = self.logins.redeeming.remove(&attempt).is_some();
                if !redeemed && !self.logins.is_polling(&name, attempt) {
                    // Of a login that was forgotten: replaced, or no longer configured.
                    return;
                }
                if !redeemed {
                    self.logins.forget(&name);
                }
                let outcome = match brought {
                    Ok(token) => {
                        let validity = token.validity;
                        info!(token = %name, "logged in");
                        self.received.insert(attempt, token);
                        let event = Event::LoggedIn {
                            name: name.clone(),
                            attempt,
                            validity,
                        };
                        self.handle(now, event);
                        Ok(())
                    }
                    Err(error) => {
                        warn!(token = %name, error = error_chain(&error), "login failed");
                        Err(problem(&error))
                    }
                };
                self.logins.answer_all(&name, &outcome);
            }
        }
    }

    fn login_begun(&mut self, name: &TokenName, pending: Result<Pending, ObtainError>) {
        let askers = self.logins.beginning.remove(name).unwrap_or_default();
        let Some(token) = self.tokens.get(name).map(|entry| entry.config()) else {
            return;
        };
        let answer = match pending {
            Ok(pending) if pending.identity != token.identity => {
                self.logins.remove_file(name);
                let changed = "the configuration has changed since the login began";
                Err(Problem::new(ErrorState::Transient, changed))
            }
            Ok(pending) => {
                info!(token = %name, "login begun");
                let answer = begun(&pending, &token);
                self.logins.pending.insert(name.clone(), pending);
                self.poll(&token);
                Ok(answer)
            }
            Err(error) => {
                warn!(token = %name, error = error_chain(&error), "login not begun");
                Err(problem(&error))
            }
        };
        for asker in askers {
            self.logins.answer(asker, answer.clone());
        }
    }

    /// Polls for a login on another device, if the one that has begun is such.
    fn poll(&mut self, token: &Arc<TokenConfig>) {
        let Ok(client) = self.client(token) else {
            return;
        };
        let Some(pending) = self.logins.pending.get(&token.name) else {
            return;
        };
        if let Way::Device(device) = &pending.way {
            let left = pending.until.saturating_sub(clock::unix_now().as_secs());
            let (device, token) = (DeviceLogin::clone(device), Arc::clone(token));
            let input_tokens = self.tokens.input_tokens_of(&token);
            let attempt = self.scheduler.begin_attempt();
            let name = token.name.clone();
            let task = self.logins.tasks.spawn(async move {
                let name = token.name.clone();
                let left = Duration::from_secs(left);
                let brought = match client.registration().await {
                    Ok(registration) => {
                        device
                            .complete(registration, token, input_tokens, left)
                            .await
                    }
                    Err(error) => Err(error),
                };
                Ended::Brought(name, attempt, brought)
            });
            self.logins.polling.insert(name, (attempt, task));
        }
    }

    fn client(&self, token: &TokenConfig) -> Result<Client, Problem> {
        match self.inputs.client(token) {
            Some(Ok(client)) => Ok(client.clone()),
            Some(Err(error)) => Err(problem(error)),
            None => Err(Problem::no_such_token(&token.name)),
        }
    }
}

fn none_under_way(name: &TokenName) -> Problem {
    let detail = format!("no login of {name} is under way");
    let hint = format!("`bearerd login {name}` begins one; each counts once, for ten minutes");
    Problem::new(ErrorState::NeedsLogin, detail).hinting(Some(hint.into()))
}
