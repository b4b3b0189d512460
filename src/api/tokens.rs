//! Reads a token, waits for one, has one replaced.

use std::time::Duration;

use aws_lc_rs::digest;
use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Grant, Health};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Api;
use super::code::{Code, valid};
use super::problem::Problem;
use super::query::Query;
use super::status::Moment;
use crate::clock;
use crate::store::{Published, TokenView};

/// A token as JSON: RFC 6749 section 5.1 without the refresh token, plus when it expires and its number.
#[derive(Serialize)]
pub struct TokenBody<'a> {
    access_token: &'a str,
    token_type: &'a str,
    /// Seconds since the epoch.
    expires_at: u64,
    /// Seconds.
    expires_in: u64,
    scope: Option<&'a str>,
    generation: u64,
}

impl<'a> TokenBody<'a> {
    /// What is sent of a token.
    #[must_use]
    pub fn new(published: &'a Published, moment: Moment) -> Self {
        let token = &published.token;
        Self {
            access_token: token.access_token.expose_secret(),
            token_type: &token.token_type,
            expires_at: moment.epoch_seconds(token.validity.expires_at),
            expires_in: moment.seconds_until(token.validity.expires_at),
            scope: token.scope.as_deref(),
            generation: published.generation,
        }
    }
}

/// The SHA-256 of a token that an API has rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RejectedHash([u8; 32]);

/// Not 64 hex digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SHA-256: 64 hex digits")]
pub struct InvalidHash;

impl RejectedHash {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(hash)
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`InvalidHash`], which does not repeat the text: it may be the token itself.
    pub fn parse(hex: &str) -> Result<Self, InvalidHash> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(InvalidHash);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).map_err(|_| InvalidHash)?;
        }
        Ok(Self(hash))
    }

    /// As 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The body of a refresh request; it may be absent.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// SHA-256 in hex of the token that an API has rejected.
    pub rejected: Option<String>,
}

impl RefreshBody {
    /// Reads a body.
    ///
    /// # Errors
    /// A usage [`Problem`]. It does not say what was sent: that may be a token.
    pub fn parse(body: &[u8]) -> Result<Option<RejectedHash>, Problem> {
        if body.is_empty() {
            return Ok(None);
        }
        let parsed: Self = serde_json::from_slice(body).map_err(|_| {
            Problem::usage(r#"the body is to be empty or {"rejected": "<sha256 in hex>"}"#)
        })?;
        let hash = parsed.rejected.as_deref().map(RejectedHash::parse);
        hash.transpose()
            .map_err(|e| Problem::usage(format!("rejected: {e}")))
    }
}

/// Asks for another token: the daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefreshRequest {
    /// Whose.
    pub name: TokenName,
    /// The generation that is not good enough: a newer one that readers do not see yet is what is asked for.
    /// `None`: whatever there is.
    pub instead_of: Option<u64>,
}

/// The current view of a token.
///
/// # Errors
/// A [`Problem`] when there is no such token.
pub fn view(api: &Api, name: &TokenName) -> Result<TokenView, Problem> {
    Ok(subscribe(api, name)?.borrow().clone())
}

/// A token that is valid for at least `min_ttl`, waiting for one as long as the query allows.
///
/// # Errors
/// A [`Problem`] when there is none, at once where waiting cannot help.
pub async fn read(api: &Api, name: &TokenName, query: Query) -> Result<Published, Problem> {
    let min_ttl = query.min_ttl.unwrap_or_default();
    let mut receiver = subscribe(api, name)?;
    let first = receiver.borrow_and_update().clone();
    if let Some(answer) = verdict(name, &first, min_ttl, clock::now()) {
        return answer;
    }
    let ask = asks_for_more(&first, clock::now());
    let wait = async {
        if ask {
            request(api, name, generation(&first)).await?;
        }
        loop {
            let view = next(api, name, &mut receiver).await?;
            if let Some(answer) = verdict(name, &view, min_ttl, clock::now()) {
                return answer;
            }
        }
    };
    match timeout(query.wait.unwrap_or_default(), wait).await {
        Ok(answer) => answer,
        Err(_) => Err(lacks(name, &view(api, name)?, min_ttl, clock::now())),
    }
}

/// Has a token replaced and waits for the replacement.
///
/// With `rejected`, only if the current token is that one: else it has been replaced already.
///
/// # Errors
/// A [`Problem`] when an attempt that ended after the call failed, or the wait is over.
pub async fn refresh(
    api: &Api,
    name: &TokenName,
    rejected: Option<RejectedHash>,
    query: Query,
) -> Result<Published, Problem> {
    let mut receiver = subscribe(api, name)?;
    let replace = async {
        let before = receiver.borrow_and_update().clone();
        if let Some(current) =
            rejected.and_then(|rejected| other_than(&before, rejected, clock::now()))
        {
            return Ok(current);
        }
        if only_a_login_replaces(&before, clock::now()) {
            return Err(without_a_refresh_token(name));
        }
        if rejected.is_some() {
            // Consumers that meet a 401 are many and do not know of each other. While requests fail, the
            // schedule is theirs too: it backs off, and does not repeat a refused password.
            if is_final(before.standing.status.health) {
                return Err(lost("was rejected", name, &before, clock::now()));
            }
            if before.standing.status.health == Health::Fresh {
                request(api, name, generation(&before)).await?;
            }
        } else {
            request(api, name, None).await?;
        }
        loop {
            let view = next(api, name, &mut receiver).await?;
            if let Some(current) = newer(&view, &before, clock::now()) {
                return Ok(current);
            }
            if failed_since(&view, &before) || needs_person(&view) {
                return Err(lost("was not replaced", name, &view, clock::now()));
            }
        }
    };
    match timeout(query.wait.unwrap_or(REFRESH_WAIT), replace).await {
        Ok(answer) => answer,
        Err(_) => Err(lost(
            "was not replaced in time",
            name,
            &view(api, name)?,
            clock::now(),
        )),
    }
}

/// What to answer a reader; `None`: wait.
fn verdict(
    name: &TokenName,
    view: &TokenView,
    min_ttl: Duration,
    now: Instant,
) -> Option<Result<Published, Problem>> {
    if let Some(current) = valid(view, now) {
        let validity = current.token.validity;
        if validity.expires_at >= now + min_ttl {
            return Some(Ok(current.clone()));
        }
        let lifetime = validity.expires_at - validity.obtained_at;
        if lifetime <= min_ttl {
            let detail = format!(
                "min_ttl of {}s is not less than the {}s that token {name} lives",
                min_ttl.as_secs(),
                lifetime.as_secs()
            );
            return Some(Err(Problem::usage(detail)));
        }
        if only_a_login_replaces(view, now) {
            return Some(Err(without_a_refresh_token(name)));
        }
    }
    is_final(view.standing.status.health).then(|| Err(lacks(name, view, min_ttl, now)))
}

/// Whether a reader's request for a longer-lived token is passed on. Not while requests fail: readers are
/// many, and the schedule backs off.
fn asks_for_more(view: &TokenView, now: Instant) -> bool {
    view.standing.status.health == Health::Fresh && valid(view, now).is_some()
}

/// Whether waiting is in vain: somebody has to do something first.
fn is_final(health: Health) -> bool {
    matches!(health, Health::Failing { state, .. } if state != ErrorState::Transient)
}

/// Whether a token that works can be replaced by nobody but a person.
fn only_a_login_replaces(view: &TokenView, now: Instant) -> bool {
    let status = &view.standing.status;
    let refresh = status.validity.and_then(|validity| validity.refresh);
    let usable = refresh.is_some_and(|refresh| refresh.is_usable(now));
    view.config.policy().grant == Grant::Login && status.health == Health::Fresh && !usable
}

fn without_a_refresh_token(name: &TokenName) -> Problem {
    let detail = format!("only a login replaces token {name}: it has no refresh token");
    let hint = format!("`bearerd login {name}`");
    Problem::new(ErrorState::NeedsLogin, detail).hinting(Some(hint.into()))
}

/// Whether the request has led to no request, as only a person can help.
fn needs_person(view: &TokenView) -> bool {
    let status = &view.standing.status;
    matches!(
        status.health,
        Health::Failing {
            state: ErrorState::NeedsLogin,
            ..
        }
    ) && !status.in_flight
        && !status.queued
        && status.next_attempt_at.is_none()
}

fn failed_since(view: &TokenView, before: &TokenView) -> bool {
    let status = &view.standing.status;
    status.attempts > before.standing.status.attempts
        && matches!(status.health, Health::Failing { .. })
}

pub(super) fn newer(view: &TokenView, before: &TokenView, now: Instant) -> Option<Published> {
    let current = valid(view, now)?;
    (Some(current.generation) > generation(before)).then(|| current.clone())
}

fn generation(view: &TokenView) -> Option<u64> {
    view.current.as_ref().map(|current| current.generation)
}

fn other_than(view: &TokenView, rejected: RejectedHash, now: Instant) -> Option<Published> {
    let current = valid(view, now)?;
    let hash = RejectedHash::of(current.token.access_token.expose_secret().as_bytes());
    (hash != rejected).then(|| current.clone())
}

fn lacks(name: &TokenName, view: &TokenView, min_ttl: Duration, now: Instant) -> Problem {
    let lack = match valid(view, now) {
        Some(current) => format!(
            "token {name} expires in {}s, not in {}s or more",
            (current.token.validity.expires_at - now).as_secs(),
            min_ttl.as_secs()
        ),
        None => format!("there is no valid token {name}"),
    };
    Problem::unavailable(&lack, view, now)
}

fn lost(how: &str, name: &TokenName, view: &TokenView, now: Instant) -> Problem {
    Problem::unavailable(&format!("token {name} {how}"), view, now)
}

pub(super) fn stopping() -> Problem {
    Problem::new(ErrorState::Transient, "the daemon is stopping")
}

pub(super) fn subscribe(
    api: &Api,
    name: &TokenName,
) -> Result<watch::Receiver<TokenView>, Problem> {
    let tokens = api.tokens.borrow();
    let receiver = tokens.get(name).cloned();
    receiver.ok_or_else(|| Problem::no_such_token(name))
}

async fn request(api: &Api, name: &TokenName, instead_of: Option<u64>) -> Result<(), Problem> {
    let name = name.clone();
    let request = RefreshRequest { name, instead_of };
    api.refreshes.send(request).await.map_err(|_| stopping())
}

/// The next news of a token, also when a new configuration has given it a new channel.
pub(super) async fn next(
    api: &Api,
    name: &TokenName,
    receiver: &mut watch::Receiver<TokenView>,
) -> Result<TokenView, Problem> {
    if receiver.changed().await.is_err() {
        *receiver = subscribe(api, name)?;
        receiver.has_changed().map_err(|_| stopping())?;
    }
    Ok(receiver.borrow_and_update().clone())
}

/// How long a refresh waits unless the request says otherwise.
const REFRESH_WAIT: Duration = Duration::from_secs(30);
