//! Tells people and programs how tokens and daemon stand. No page here holds a token's value.

use std::borrow::Cow;
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use serde::{Deserialize, Serialize};

use crate::api::access::Caller;
use crate::api::code::{State, valid};
use crate::api::daemon::Api;
use crate::api::moment::Moment;
use crate::api::problem::{self, Problem};
use crate::clock;
use crate::config::TokenConfig;
use crate::store::TokenView;

/// The answer to `GET /v1/status`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StatusPage {
    /// How the daemon as a whole stands.
    pub daemon: DaemonStatus,
    /// The tokens in the order of their names.
    pub tokens: Vec<TokenStatus>,
}

/// How the daemon as a whole stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DaemonStatus {
    /// The version of the daemon.
    pub version: Cow<'static, str>,
    /// Whether every required token has been published, and written to its files, once.
    pub ready: bool,
    /// Why the newest configuration is not in force.
    pub configuration_error: Option<String>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// The answer to `GET /v1/status/{name}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenStatus {
    /// The name of the token.
    pub name: String,
    /// The name of the token's client, if it has one.
    pub client: Option<String>,
    /// The tokens that this token is made from.
    #[serde(default)]
    pub made_from: Vec<String>,
    /// The state of the token.
    pub state: State,
    /// A more exact word for some states, such as `rotation_lost`.
    pub reason: Option<Cow<'static, str>>,
    /// Whether readiness waits for the token.
    pub required: bool,
    /// Whether a request is under way.
    pub in_flight: bool,
    /// The generation of the current token, counted from 1.
    pub generation: Option<u64>,
    /// When the current token was asked for, in seconds since the epoch.
    pub obtained_at: Option<u64>,
    /// When the current token expires, in seconds since the epoch.
    pub expires_at: Option<u64>,
    /// How many seconds the current token is still valid.
    pub expires_in: Option<u64>,
    /// When the refresh token expires, where the server said so, in seconds since the epoch.
    pub refresh_token_expires_at: Option<u64>,
    /// When a person has to log in, as far as that is known, in seconds since the epoch.
    pub login_due_at: Option<u64>,
    /// When the next request is due, in seconds since the epoch.
    pub next_refresh_at: Option<u64>,
    /// How many seconds it is until the next request, 0 when it is overdue.
    pub next_refresh_in: Option<u64>,
    /// How many requests have failed since the last success.
    pub failures: u32,
    /// How many requests have ended since the daemon started.
    pub attempts: u64,
    /// The last error. It stays until a request succeeds.
    pub last_error: Option<String>,
    /// What may help against the last error.
    pub hint: Option<String>,
    /// The outputs that could not be delivered, and why.
    pub output_errors: Vec<String>,
}

/// The answer to `GET /v1/tokens`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenList {
    /// The tokens in the order of their names.
    pub tokens: Vec<ListedToken>,
}

/// One token of a [`TokenList`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ListedToken {
    /// The name of the token.
    pub name: String,
    /// The state of the token.
    pub state: State,
    /// When the current token expires, in seconds since the epoch.
    pub expires_at: Option<u64>,
    /// How many seconds the current token is still valid.
    pub expires_in: Option<u64>,
    /// The generation of the current token.
    pub generation: Option<u64>,
}

/// Tells the whole status, as far as the caller may see it: errors and warnings may name any token
/// and file.
#[must_use]
pub fn page(api: &Api, caller: &Caller) -> StatusPage {
    let trusted = caller.is_trusted();
    let moment = Moment::now();
    // The daemon does not wait for the page.
    let daemon = api.daemon.borrow().clone();
    let texts = |texts: &[Arc<str>]| texts.iter().map(|t| t.to_string()).collect();
    let tokens = Arc::clone(&api.tokens.borrow());
    StatusPage {
        daemon: DaemonStatus {
            version: env!("CARGO_PKG_VERSION").into(),
            ready: daemon.ready,
            configuration_error: daemon
                .configuration_error
                .as_deref()
                .filter(|_| trusted)
                .map(str::to_owned),
            warnings: if trusted {
                texts(&daemon.warnings)
            } else {
                Vec::new()
            },
        },
        tokens: tokens
            .iter()
            .filter(|(_, view)| caller.may_see(&view.borrow().config))
            .map(|(name, view)| token(name, &view.borrow(), moment))
            .collect(),
    }
}

/// Tells the status of one token.
#[must_use]
pub fn token(name: &TokenName, view: &TokenView, moment: Moment) -> TokenStatus {
    let status = &view.standing.status;
    let current = valid(view, moment.now);
    let validity = current.map(|current| current.token.validity);
    let refresh_expires_at = status
        .validity
        .and_then(|held| held.refresh)
        .and_then(|refresh| refresh.expires_at);
    let (last_error, hint) = problem::last_error(view);
    TokenStatus {
        name: name.to_string(),
        client: view
            .config
            .client
            .as_ref()
            .map(|client| client.name.clone()),
        made_from: made_from(&view.config),
        state: State::of(view, moment.now),
        reason: problem::reason(status.health).map(Cow::Borrowed),
        required: view.config.required,
        in_flight: status.in_flight,
        generation: current.map(|current| current.generation),
        obtained_at: validity.map(|v| moment.epoch_seconds(v.obtained_at)),
        expires_at: validity.map(|v| moment.epoch_seconds(v.expires_at)),
        expires_in: validity.map(|v| moment.seconds_until(v.expires_at)),
        refresh_token_expires_at: refresh_expires_at.map(|at| moment.epoch_seconds(at)),
        login_due_at: status.login_due_at.map(|at| moment.epoch_seconds(at)),
        next_refresh_at: status.next_attempt_at.map(|at| moment.epoch_seconds(at)),
        next_refresh_in: status.next_attempt_at.map(|at| moment.seconds_until(at)),
        failures: status.failures,
        attempts: status.attempts,
        last_error: last_error.map(str::to_owned),
        hint: hint.map(str::to_owned),
        output_errors: view
            .standing
            .output_errors
            .iter()
            .map(|error| error.to_string())
            .collect(),
    }
}

fn made_from(config: &TokenConfig) -> Vec<String> {
    let parents = config.parents().into_iter();
    let mut names: Vec<_> = parents.map(|parent| parent.name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Lists the tokens that the caller may read, without their values.
#[must_use]
pub fn list(api: &Api, caller: &Caller) -> TokenList {
    let moment = Moment::now();
    let listed = |(name, view): (&TokenName, &tokio::sync::watch::Receiver<TokenView>)| {
        let view = view.borrow();
        let current = valid(&view, moment.now);
        let expires_at = current.map(|current| current.token.validity.expires_at);
        ListedToken {
            name: name.to_string(),
            state: State::of(&view, moment.now),
            expires_at: expires_at.map(|at| moment.epoch_seconds(at)),
            expires_in: expires_at.map(|at| moment.seconds_until(at)),
            generation: current.map(|current| current.generation),
        }
    };
    let tokens = api.tokens.borrow();
    let visible = tokens
        .iter()
        .filter(|(_, view)| caller.may_see(&view.borrow().config));
    TokenList {
        tokens: visible.map(listed).collect(),
    }
}

/// Says whether the daemon is ready.
///
/// # Errors
/// A transient [`Problem`] that names the required tokens not there yet, if the caller may know of
/// them.
pub fn readiness(api: &Api, caller: &Caller) -> Result<(), Problem> {
    if api.daemon.borrow().ready {
        return Ok(());
    }
    let now = clock::now();
    let tokens = api.tokens.borrow();
    let missing: Vec<&str> = tokens
        .iter()
        .filter(|(_, view)| {
            let view = view.borrow();
            let undelivered = !view.standing.output_errors.is_empty();
            let missing = undelivered || valid(&view, now).is_none();
            view.config.required && missing && caller.may_see(&view.config)
        })
        .map(|(name, _)| name.as_str())
        .take(MISSING_NAMED)
        .collect();
    let detail = if missing.is_empty() {
        let why = match caller.is_trusted() {
            true => "starting",
            false => "waiting for other tokens",
        };
        format!("not ready: {why}")
    } else {
        format!("not ready: waiting for {}", missing.join(", "))
    };
    Err(Problem::new(ErrorState::Transient, detail))
}

/// How many missing tokens a readiness answer names.
const MISSING_NAMED: usize = 10;
