//! Reads a token, and waits for one.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::Health;
use tokio::time::timeout;

use super::query::Query;
use super::refresh::request;
use super::view::{
    generation, is_final, next, only_a_login_replaces, subscribe, view, without_a_refresh_token,
};
use crate::api::code::valid;
use crate::api::daemon::Api;
use crate::api::problem::Problem;
use crate::clock;
use crate::store::{Published, TokenView};

/// Reads a token that is valid for at least `min_ttl`, and waits for one as long as the query
/// allows.
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

/// Decides what to answer a reader. `None` means that the reader is to wait.
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

/// Says whether a reader's request for a longer-lived token is passed on. It is not while requests
/// fail: readers are many, and the schedule backs off.
fn asks_for_more(view: &TokenView, now: Instant) -> bool {
    view.standing.status.health == Health::Fresh && valid(view, now).is_some()
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
