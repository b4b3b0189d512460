//! Finds the view of a token, follows it, and judges what can come of it.

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Grant, Health};
use tokio::sync::watch;

use crate::api::code::valid;
use crate::api::daemon::Api;
use crate::api::problem::Problem;
use crate::store::{Published, TokenView};

/// Finds the current view of a token.
///
/// # Errors
/// A [`Problem`] when there is no such token.
pub fn view(api: &Api, name: &TokenName) -> Result<TokenView, Problem> {
    Ok(subscribe(api, name)?.borrow().clone())
}

/// Follows the view of a token.
///
/// # Errors
/// A [`Problem`] when there is no such token.
pub(in crate::api) fn subscribe(
    api: &Api,
    name: &TokenName,
) -> Result<watch::Receiver<TokenView>, Problem> {
    let tokens = api.tokens.borrow();
    let receiver = tokens.get(name).cloned();
    receiver.ok_or_else(|| Problem::no_such_token(name))
}

/// Waits for the next change of a token's view, also when a new configuration has given it a new
/// channel.
pub(in crate::api) async fn next(
    api: &Api,
    name: &TokenName,
    receiver: &mut watch::Receiver<TokenView>,
) -> Result<TokenView, Problem> {
    if receiver.changed().await.is_err() {
        *receiver = subscribe(api, name)?;
        receiver.has_changed().map_err(|_| Problem::stopping())?;
    }
    Ok(receiver.borrow_and_update().clone())
}

/// The current token, if it is newer than the one before, or the same one obtained anew.
pub(in crate::api) fn newer(
    view: &TokenView,
    before: &TokenView,
    now: Instant,
) -> Option<Published> {
    let current = valid(view, now)?;
    let age = |token: &Published| (token.generation, token.token.validity.obtained_at);
    let before = before.current.as_ref().map(age);
    (Some(age(current)) > before).then(|| current.clone())
}

/// The generation of the current token.
pub(super) fn generation(view: &TokenView) -> Option<u64> {
    view.current.as_ref().map(|current| current.generation)
}

/// Says whether waiting is in vain, as somebody has to do something first.
pub(super) fn is_final(health: Health) -> bool {
    matches!(health, Health::Failing { state, .. } if state != ErrorState::Transient)
}

/// Says whether nobody but a person can replace a token that works.
pub(super) fn only_a_login_replaces(view: &TokenView, now: Instant) -> bool {
    let status = &view.standing.status;
    let refresh = status.validity.and_then(|validity| validity.refresh);
    let usable = refresh.is_some_and(|refresh| refresh.is_usable(now));
    view.config.policy().grant == Grant::Login && status.health == Health::Fresh && !usable
}

pub(super) fn without_a_refresh_token(name: &TokenName) -> Problem {
    let detail = format!("only a login replaces token {name}: it has no refresh token");
    let hint = format!("`bearerd login {name}`");
    Problem::new(ErrorState::NeedsLogin, detail).hinting(Some(hint.into()))
}
