//! Logins under way: begun for somebody at the socket, kept across a restart, and ended by the code
//! that the browser brings or by the device that is polled for.

mod kept;
mod notify;
mod pending;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, ErrorState, Status};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
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

use kept::Kept;
use notify::{Asker, Notifier, Reply, any_browser_will_do, notice};
use pending::{Pending, Way, begin, begun, problem, save};

pub(super) use target::Target;

/// Logins under way.
pub(super) struct Logins {
    kept: Kept,
    notifier: Notifier,
    tasks: JoinSet<Ended>,
    /// Who wants to know how a login begins.
    beginning: BTreeMap<TokenName, Vec<Asker>>,
    /// The attempts that redeem codes. A stop waits for them.
    redeeming: BTreeMap<AttemptId, TokenName>,
    /// Who wants to know how a login on another device ends.
    waiting: BTreeMap<TokenName, Vec<Reply<()>>>,
}

/// A step that is over.
pub(super) enum Ended {
    /// A login has begun, or could not begin.
    Begun(TokenName, Result<Pending, ObtainError>),
    /// A login has brought a token, or has failed.
    Brought(TokenName, AttemptId, Result<Token, ObtainError>),
}

impl Logins {
    pub(super) fn new(files: LoginFiles, notices: Option<mpsc::Sender<Notice>>) -> Self {
        Self {
            kept: Kept::new(files),
            notifier: Notifier::new(notices),
            tasks: JoinSet::new(),
            beginning: BTreeMap::new(),
            redeeming: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Takes up what had begun before a restart. Returns the tokens whose login goes on: they are
    /// to be polled for.
    pub(super) fn resume(
        &mut self,
        configured: &BTreeMap<TokenName, Arc<TokenConfig>>,
    ) -> Vec<TokenName> {
        self.kept.resume(configured)
    }

    /// Forgets the logins of tokens that are gone, or are obtained in another way now.
    pub(super) fn forget_outdated(&mut self, configured: &BTreeMap<TokenName, Arc<TokenConfig>>) {
        for name in self.kept.forget_outdated(configured) {
            if !self.is_redeeming(&name) {
                self.answer_all(&name, &Err(none_under_way(&name)));
            }
        }
    }

    /// Does what somebody at the socket asks for. `attempt` is the number of the attempt that this
    /// begins, if it begins one.
    pub(super) fn requested(
        &mut self,
        request: LoginRequest,
        target: Result<Target, Problem>,
        attempt: AttemptId,
    ) {
        match request {
            LoginRequest::Begin { port, reply, .. } => {
                self.begin(target, port, Asker::Person(reply));
            }
            LoginRequest::Complete {
                name,
                response: Some(response),
                reply,
            } => match self.complete(target, attempt, response.expose_secret()) {
                Ok(()) => self.waiting.entry(name).or_default().push(reply),
                Err(problem) => drop(reply.send(Err(problem))),
            },
            LoginRequest::Complete {
                name,
                response: None,
                reply,
            } => self.await_device(name, target, reply),
        }
    }

    /// Has people told that somebody has to log in. Where any browser will do, the login begins
    /// now, so that they are told its address.
    pub(super) fn ask_everybody(
        &mut self,
        now: Instant,
        target: Target,
        status: Status,
        until: Option<Instant>,
    ) {
        if self.notifier.is_silent() {
            return;
        }
        let notice = notice(now, &target.token.name, status, until);
        if any_browser_will_do(&target.token) {
            self.begin(Ok(target), None, Asker::Everybody(notice));
        } else {
            self.notifier.notify(notice);
        }
    }

    fn begin(&mut self, target: Result<Target, Problem>, port: Option<u16>, asker: Asker) {
        let target = match target {
            Ok(target) => target,
            Err(problem) => return self.notifier.answer(asker, Err(problem)),
        };
        let Target {
            token,
            client,
            input_tokens,
        } = target;
        if let Some(pending) = self.kept.current(&token) {
            let begun = begun(pending, &token);
            return self.notifier.answer(asker, Ok(begun));
        }
        let client = match client {
            Ok(client) => client,
            Err(problem) => return self.notifier.answer(asker, Err(problem)),
        };
        let waiting = self.beginning.entry(token.name.clone()).or_default();
        waiting.push(asker);
        if waiting.len() > 1 {
            return;
        }
        let files = self.kept.files();
        self.tasks.spawn(async move {
            let name = token.name.clone();
            let pending = begin(&client, &token, &input_tokens, port).await;
            if let Ok(pending) = &pending {
                save(files, &name, pending).await;
            }
            Ended::Begun(name, pending)
        });
    }

    fn complete(
        &mut self,
        target: Result<Target, Problem>,
        attempt: AttemptId,
        response: &str,
    ) -> Result<(), Problem> {
        let Target {
            token,
            client,
            input_tokens,
        } = target?;
        let (client, name) = (client?, &token.name);
        let pending = self.kept.current(&token);
        let Some(Way::Code(authorization)) = pending.map(|pending| &pending.way) else {
            return Err(none_under_way(name));
        };
        let redemption = match authorization.answered(response) {
            Ok(redemption) => redemption,
            Err(error) => {
                // What anybody may have sent must not end somebody's login.
                let foreign = error.is_foreign();
                if !foreign {
                    self.kept.forget(name);
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
        self.kept.forget(name);
        self.redeem(attempt, client, (token, input_tokens), redemption);
        Ok(())
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

    fn await_device(&mut self, name: TokenName, target: Result<Target, Problem>, reply: Reply<()>) {
        let pending = target.ok().and_then(|target| {
            let pending = self.kept.current(&target.token)?;
            matches!(pending.way, Way::Device(_)).then_some(())
        });
        if pending.is_none() {
            let _ = reply.send(Err(none_under_way(&name)));
            return;
        }
        let waiting = self.waiting.entry(name).or_default();
        // Whoever has gone need not hear of it.
        waiting.retain(|reply| !reply.is_closed());
        waiting.push(reply);
    }

    /// Polls for a login on another device, if the one that has begun is such.
    pub(super) fn poll(&mut self, target: Target, attempt: AttemptId) {
        let Target {
            token,
            client,
            input_tokens,
        } = target;
        let Ok(client) = client else {
            return;
        };
        let Some((device, until)) = self.kept.on_device(&token.name) else {
            return;
        };
        let left = until.saturating_sub(clock::unix_now().as_secs());
        let left = Duration::from_secs(left);
        let device = DeviceLogin::clone(device);
        let name = token.name.clone();
        let task = self.tasks.spawn(async move {
            let name = token.name.clone();
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
        self.kept.poll(name, attempt, task);
    }

    /// Waits for the next step to end; for ever when none is under way.
    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                // The login has been forgotten.
                Some(Err(end)) if end.is_cancelled() => {}
                Some(Err(defect)) => error!(%defect, "a login's task has died"),
                None => return std::future::pending().await,
            }
        }
    }

    /// Answers whoever asked for the beginning of a login. One on another device is polled for from
    /// now on, by an attempt of this number.
    pub(super) fn begun(
        &mut self,
        name: &TokenName,
        pending: Result<Pending, ObtainError>,
        target: Result<Target, Problem>,
        attempt: AttemptId,
    ) {
        let askers = self.beginning.remove(name).unwrap_or_default();
        let Ok(target) = target else {
            return;
        };
        let answer = match pending {
            Ok(pending) if pending.identity != target.token.identity => {
                self.kept.remove_file(name);
                let changed = "the configuration has changed since the login began";
                Err(Problem::new(ErrorState::Transient, changed))
            }
            Ok(pending) => {
                info!(token = %name, "login begun");
                let answer = begun(&pending, &target.token);
                self.kept.insert(name.clone(), pending);
                self.poll(target, attempt);
                Ok(answer)
            }
            Err(error) => {
                warn!(token = %name, error = error_chain(&error), "login not begun");
                Err(problem(&error))
            }
        };
        for asker in askers {
            self.notifier.answer(asker, answer.clone());
        }
    }

    /// Takes what a login has brought. Returns the new token, if there is one; whoever waits is to
    /// be answered by [`Logins::logged_in`] once the core knows of it.
    pub(super) fn brought(
        &mut self,
        name: &TokenName,
        attempt: AttemptId,
        brought: Result<Token, ObtainError>,
    ) -> Option<Token> {
        let redeemed = self.redeeming.remove(&attempt).is_some();
        if !redeemed && !self.kept.is_polling(name, attempt) {
            // The login was forgotten: it was replaced, or the token is no longer configured.
            return None;
        }
        if !redeemed {
            self.kept.forget(name);
        }
        match brought {
            Ok(token) => {
                info!(token = %name, "logged in");
                Some(token)
            }
            Err(error) => {
                warn!(token = %name, error = error_chain(&error), "login failed");
                self.answer_all(name, &Err(problem(&error)));
                None
            }
        }
    }

    /// Tells all who wait for the end of a login that there is a new token.
    pub(super) fn logged_in(&mut self, name: &TokenName) {
        self.answer_all(name, &Ok(()));
    }

    /// Whether a code is being redeemed.
    pub(super) fn are_redeeming(&self) -> bool {
        !self.redeeming.is_empty()
    }

    /// Whether a code for this token is being redeemed.
    pub(super) fn is_redeeming(&self, name: &TokenName) -> bool {
        self.redeeming.values().any(|of| of == name)
    }

    /// Tells all who wait for the end of a login. Whoever has gone need not hear of it.
    fn answer_all(&mut self, name: &TokenName, outcome: &Result<(), Problem>) {
        for reply in self.waiting.remove(name).unwrap_or_default() {
            let _ = reply.send(outcome.clone());
        }
    }
}

fn none_under_way(name: &TokenName) -> Problem {
    let detail = format!("no login of {name} is under way");
    let hint = format!("`bearerd login {name}` begins one; each counts once, for ten minutes");
    Problem::new(ErrorState::NeedsLogin, detail).hinting(Some(hint.into()))
}
