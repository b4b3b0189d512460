//! Has a token replaced.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::query::Query;
use super::rejected::RejectedHash;
use super::view::{
    generation, is_final, newer, next, only_a_login_replaces, subscribe, view,
    without_a_refresh_token,
};
use crate::api::code::valid;
use crate::api::daemon::Api;
use crate::api::problem::Problem;
use crate::api::requests::RefreshRequest;
use crate::clock;
use crate::store::{Published, TokenView};

/// Has a token replaced and waits for the replacement.
///
/// With `rejected`, it is replaced only if the current token is that one: else it has been replaced
/// already.
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
            // Consumers that meet a 401 are many and do not know of each other. While requests
            // fail, they wait for the schedule: it backs off, and does not repeat a refused
            // password.
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
                let again =
                    rejected.is_some_and(|hash| other_than(&view, hash, clock::now()).is_none());
                if again {
                    let how = "was rejected, and the server gives the same one again";
                    return Err(lost(how, name, &view, clock::now()));
                }
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

/// Asks the daemon for another token.
pub(super) async fn request(
    api: &Api,
    name: &TokenName,
    instead_of: Option<u64>,
) -> Result<(), Problem> {
    let name = name.clone();
    let request = RefreshRequest { name, instead_of };
    api.refreshes
        .send(request)
        .await
        .map_err(|_| Problem::stopping())
}

/// Says whether the daemon sends no request to the server, as only a person can help.
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

fn other_than(view: &TokenView, rejected: RejectedHash, now: Instant) -> Option<Published> {
    let current = valid(view, now)?;
    let hash = RejectedHash::of(current.token.access_token.expose_secret().as_bytes());
    (hash != rejected).then(|| current.clone())
}

fn lost(how: &str, name: &TokenName, view: &TokenView, now: Instant) -> Problem {
    Problem::unavailable(&format!("token {name} {how}"), view, now)
}

/// How long a refresh waits unless the request says otherwise.
const REFRESH_WAIT: Duration = Duration::from_secs(30);
