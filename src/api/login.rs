//! Logins: begun and completed through the socket. Nothing that a login brings is answered, but that it did.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Api;
use super::code::Code;
use super::problem::Problem;
use super::query::Query;
use super::status::Moment;
use super::tokens;
use crate::clock;

/// What somebody wants of the daemon.
#[derive(Debug)]
pub enum LoginRequest {
    /// To begin a login, or to go on with the one that has begun.
    Begin {
        /// Whose.
        name: TokenName,
        /// Where the browser finds who asks, on loopback.
        port: Option<u16>,
        /// How to go on.
        reply: oneshot::Sender<Result<Begun, Problem>>,
    },
    /// To complete it.
    Complete {
        /// Whose.
        name: TokenName,
        /// The address that the browser ended at; none for a login on another device.
        response: Option<SecretString>,
        /// Whether there is a new token now.
        reply: oneshot::Sender<Result<(), Problem>>,
    },
}

/// A login that has begun.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Begun {
    /// In a browser (RFC 6749 section 4.1).
    AuthorizationCode {
        /// Where it is to go.
        url: String,
        /// How its end comes back.
        redirect: Redirect,
        /// Where it ends.
        redirect_uri: String,
        /// Seconds until it is over.
        expires_in: u64,
    },
    /// On another device (RFC 8628).
    DeviceCode {
        /// Where it is to go.
        verification_uri: String,
        /// The same, with the code in it.
        verification_uri_complete: Option<String>,
        /// What is to be typed in there.
        user_code: String,
        /// Seconds until it is over.
        expires_in: u64,
    },
}

/// How the end of a login in a browser comes back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redirect {
    /// The browser finds a listener on this host (RFC 8252 section 7.3); pasting works as well.
    Loopback,
    /// The person pastes the address.
    Paste,
}

/// The body of a request to begin; it may be absent.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BeginBody {
    /// A port on loopback that the caller listens on.
    pub port: Option<u16>,
}

/// The body of a request to complete; it may be absent.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CompleteBody {
    /// The address that the browser ended at.
    pub response: Option<String>,
}

/// What is answered when a login is complete.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Completed {
    /// The new token's number.
    pub generation: u64,
    /// Seconds that it is valid for.
    pub expires_in: u64,
}

/// Begins a login, or goes on with the one that has begun.
///
/// # Errors
/// A [`Problem`].
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

/// Completes a login, and waits until readers see what it brought.
///
/// # Errors
/// A [`Problem`].
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
    sent.map_err(|_| tokens::stopping())?;
    answer.await.unwrap_or_else(|_| Err(tokens::stopping()))
}

/// What was sent is not repeated: it may hold a code.
fn parse<T: Default + for<'a> Deserialize<'a>>(body: &[u8], shape: &str) -> Result<T, Problem> {
    if body.is_empty() {
        return Ok(T::default());
    }
    let wrong = |_| Problem::usage(format!("the body is to be empty or {shape}"));
    serde_json::from_slice(body).map_err(wrong)
}

/// The detail of the problem that says: not yet.
pub const PENDING: &str = "the login is not completed yet";

/// Metadata and one request.
const BEGIN_WAIT: Duration = Duration::from_secs(90);
const COMPLETE_WAIT: Duration = Duration::from_secs(60);
