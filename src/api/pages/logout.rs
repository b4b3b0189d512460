//! Logs out of a token that somebody has logged in to.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api::code::Code;
use crate::api::daemon::Api;
use crate::api::problem::Problem;
use crate::api::requests::{LoggedOut, Logout, LogoutError};
use crate::api::tokens::{next, subscribe};

/// The answer to a logout.
#[derive(Debug, Deserialize, Serialize)]
pub struct LogoutBody {
    /// Whether the server has revoked what was held.
    pub revoked: bool,
    /// Why the server has not revoked it.
    pub detail: Option<String>,
}

/// Has a token's login revoked and forgotten, after the request under way has ended.
///
/// # Errors
/// A [`Problem`] when somebody is still logged in, or may be.
pub async fn logout(api: &Api, name: &TokenName) -> Result<LogoutBody, Problem> {
    let mut receiver = subscribe(api, name)?;
    let ended = async {
        // The token that the request under way brings is to be revoked, too.
        while receiver.borrow_and_update().standing.status.in_flight {
            next(api, name, &mut receiver).await?;
        }
        let (answer, answered) = oneshot::channel();
        let name = name.clone();
        let sent = api.logouts.send(Logout { name, answer }).await;
        sent.map_err(|_| Problem::stopping())?;
        answered.await.map_err(|_| Problem::stopping())
    };
    let late = || {
        Problem::new(
            ErrorState::Transient,
            format!("not logged out of {name} in time"),
        )
    };
    let outcome = timeout(LIMIT, ended).await.map_err(|_| late())??;
    match outcome {
        Ok(LoggedOut::Revoked) => Ok(body(true, None)),
        Ok(LoggedOut::Nothing) => Ok(body(false, Some("nobody was logged in"))),
        Ok(LoggedOut::Unrevoked(why)) => Ok(body(false, Some(&why))),
        Err(error) => Err(problem(name, &error)),
    }
}

fn body(revoked: bool, detail: Option<&str>) -> LogoutBody {
    LogoutBody {
        revoked,
        detail: detail.map(str::to_owned),
    }
}

fn problem(name: &TokenName, error: &LogoutError) -> Problem {
    let (code, detail, hint) = match error {
        LogoutError::Busy => (
            Code::State(ErrorState::Transient),
            format!("a request for token {name} is under way"),
            "try again in a moment".to_owned(),
        ),
        LogoutError::NoLogin => (
            Code::Usage,
            format!("nobody logs in to token {name}: it is obtained without a person"),
            format!("to end it, remove [token.{name}] with revoke_on_removal = true in it"),
        ),
        LogoutError::NoSuchToken => return Problem::no_such_token(name),
        LogoutError::NotForgotten(why) => (
            Code::Internal,
            format!("token {name} is revoked, but its state file stays: {why}"),
            "bearerd goes on trying to remove it".to_owned(),
        ),
        LogoutError::NotRevoked(why) => (
            Code::State(ErrorState::Transient),
            format!("token {name} is not revoked, and is kept: {why}"),
            "mend that if it is yours to mend, and try again".to_owned(),
        ),
    };
    let mut problem = Problem::new(code, detail);
    problem.hint = Some(hint.into());
    problem
}

/// How long a logout may take, together with the request under way before it.
pub const LIMIT: Duration = Duration::from_secs(60);
