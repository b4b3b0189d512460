//! Begins and completes logins. The answer says that a login has brought a token, and never what it
//! has brought.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api::daemon::Api;
use crate::api::moment::Moment;
use crate::api::problem::Problem;
use crate::api::requests::{Begun, LoginRequest};
use crate::api::tokens::{self, Query};
use crate::clock;

/// The body of a request to begin a login, which may be absent.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BeginBody {
    /// A port on loopback that the caller listens on.
    pub port: Option<u16>,
}

/// The body of a request to complete a login, which may be absent.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteBody {
    /// The address that the browser ended at.
    pub response: Option<String>,
}

/// The answer when a login is complete.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Completed {
    /// The generation of the new token.
    pub generation: u64,
    /// How many seconds the new token is valid.
    pub expires_in: u64,
}

/// Begins a login, or goes on with the one that has begun.
///
/// # Errors
/// A [`Problem`] when there is no such token, and when the login cannot begin.
pub async fn begin(api: &Api, name: &TokenName, body: &[u8]) -> Result<Begun, Problem> {
    let BeginBody { port } = parse(body, r#"{"port": 49152}"#)?;
    tokens::view(api, name)?;
    let (reply, answer) = oneshot::channel();
    let request = LoginRequest::Begin {
        name: name.clone(),
        port: port.filter(|port| *port != 0),
        reply,
    };
    match timeout(BEGIN_WAIT, ask(api, request, answer)).await {
        Ok(answer) => answer,
        Err(_) => Err(Problem::new(
            ErrorState::Transient,
            "the server takes too long",
        )),
    }
}

/// Completes a login, and waits until readers see the token that it has brought.
///
/// # Errors
/// A [`Problem`] when there is no such token, and when the login is not completed.
pub async fn complete(
    api: &Api,
    name: &TokenName,
    body: &[u8],
    query: Query,
) -> Result<Completed, Problem> {
    let CompleteBody { response } = parse(body, r#"{"response": "<the browser's address>"}"#)?;
    let mut receiver = tokens::subscribe(api, name)?;
    let before = receiver.borrow_and_update().clone();
    let (reply, answer) = oneshot::channel();
    let request = LoginRequest::Complete {
        name: name.clone(),
        response: response.map(SecretString::from),
        reply,
    };
    let completed = async {
        ask(api, request, answer).await?;
        loop {
            if let Some(new) = tokens::newer(&receiver.borrow().clone(), &before, clock::now()) {
                return Ok(new);
            }
            tokens::next(api, name, &mut receiver).await?;
        }
    };
    match timeout(query.wait.unwrap_or(COMPLETE_WAIT), completed).await {
        Ok(Ok(new)) => Ok(Completed {
            generation: new.generation,
            expires_in: Moment::now().seconds_until(new.token.validity.expires_at),
        }),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(ErrorState::Transient, PENDING)),
    }
}

async fn ask<T>(
    api: &Api,
    request: LoginRequest,
    answer: oneshot::Receiver<Result<T, Problem>>,
) -> Result<T, Problem> {
    let sent = api.logins.send(request).await;
    sent.map_err(|_| Problem::stopping())?;
    answer.await.unwrap_or_else(|_| Err(Problem::stopping()))
}

/// Reads a body. The error does not repeat what was sent, as that may hold a code.
fn parse<T: Default + for<'a> Deserialize<'a>>(body: &[u8], shape: &str) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let wrong = |_| Problem::usage(format!("the body is to be empty or {shape}"));
    serde_json::from_slice(body).map_err(wrong)
}

/// The detail of the problem that a client gets when the person has not logged in yet.
pub const PENDING: &str = "the login is not completed yet";

/// How long beginning may take: the server's metadata are read, and one request is sent.
const BEGIN_WAIT: Duration = Duration::from_secs(90);
/// How long completing waits unless the request says otherwise.
const COMPLETE_WAIT: Duration = Duration::from_secs(60);
