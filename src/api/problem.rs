//! Error bodies (RFC 9457). The server writes them, and the client reads them.

use std::borrow::Cow;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{ErrorState, Health, Reason};
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::code::{Code, State};
use crate::store::TokenView;

/// An error that is sent as `application/problem+json`. It never holds a secret, nor what the
/// client has sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Problem {
    /// The HTTP status of the response.
    status: u16,
    /// What is wrong.
    pub detail: Cow<'static, str>,
    /// The code, which says how the client can go on.
    pub code: Code,
    /// A more exact word for some codes, such as `rotation_lost`.
    #[serde(skip)]
    reason: Option<&'static str>,
    /// What the reader can do about it.
    #[serde(default)]
    pub hint: Option<Cow<'static, str>>,
    /// When to try again, which is sent as `Retry-After`.
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// The methods that the page has, which are sent as `Allow`.
    #[serde(skip)]
    allow: Option<&'static str>,
}

/// The body as it is written. `type` stays `about:blank`, as `code` tells the errors apart.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Problem {
    /// Makes an error with the usual status of its code.
    #[must_use]
    pub fn new(code: impl Into<Code>, detail: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        Self::with_status(code, code.http_status(), detail)
    }

    /// Makes the error for a request that makes no sense.
    #[must_use]
    pub fn usage(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Usage, detail)
    }

    /// Makes the error for a request that no rule allows.
    #[must_use]
    pub fn policy() -> Self {
        Self::new(
            ErrorState::Denied,
            "no rule of the socket's policy allows it",
        )
    }

    /// Makes the error for a request body above the limit, or for one that takes too long.
    #[must_use]
    pub fn body(status: StatusCode, detail: &'static str) -> Self {
        Self::with_status(Code::Usage, status, detail)
    }

    /// Makes the error for a method that the page does not have. `allow` names the methods that it
    /// has.
    #[must_use]
    pub fn method(method: &Method, allow: &'static str) -> Self {
        let detail = match *method {
            Method::GET | Method::HEAD => "this page is for POST",
            _ => "this page has no such method",
        };
        let mut problem = Self::with_status(Code::Usage, StatusCode::METHOD_NOT_ALLOWED, detail);
        problem.allow = Some(allow);
        problem
    }

    /// Makes the error for a token that is not configured.
    #[must_use]
    pub fn no_such_token(name: &TokenName) -> Self {
        let mut problem = Self::new(Code::NotFound, format!("no token is named {name}"));
        problem.hint = Some("`bearerd status` lists the tokens".into());
        problem
    }

    /// Makes the error for a request that the daemon can no longer answer.
    #[must_use]
    pub fn stopping() -> Self {
        Self::new(ErrorState::Transient, "the daemon is stopping")
    }

    /// Makes the error for a token that cannot be had. `lack` says what is missing, such as "token
    /// x is not valid".
    #[must_use]
    pub fn unavailable(lack: &str, view: &TokenView, now: Instant) -> Self {
        let code = State::of(view, now)
            .code()
            .unwrap_or(Code::State(ErrorState::Transient));
        let (cause, hint) = last_error(view);
        let cause = cause.or_else(|| reason_in_words(view.standing.status.health));
        let detail = match cause {
            Some(cause) => format!("{lack}: {cause}"),
            None => lack.to_owned(),
        };
        let mut problem = Self::new(code, detail);
        problem.reason = reason(view.standing.status.health);
        problem.hint = hint.map(|hint| hint.to_owned().into());
        if code == Code::State(ErrorState::Transient) {
            // While all is well, a request is under way: somebody has just asked for it.
            let next = match view.standing.status.health {
                Health::Failing { .. } => view.standing.status.next_attempt_at,
                Health::Fresh | Health::Pending => None,
            };
            problem.retry_after = Some(next.map_or(Duration::ZERO, |at| at - now));
        }
        problem
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn hinting(mut self, hint: Option<Cow<'static, str>>) -> Self {
        self.hint = hint;
        self
    }

    /// Turns the error into a response.
    #[must_use]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: self.status,
            detail: &self.detail,
            code: self.code,
            reason: self.reason,
            hint: self.hint.as_deref(),
        };
        // A struct of strings and numbers always serializes.
        let mut body = serde_json::to_vec(&body).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Some(retry_after) = self.retry_after {
            // Whole seconds, at least one: 0 would invite a loop (RFC 9110 section 10.2.3).
            let seconds = retry_after.as_secs().saturating_add(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    fn with_status(code: Code, status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: status.as_u16(),
            detail: detail.into(),
            code,
            reason: None,
            hint: None,
            retry_after: None,
            allow: None,
        }
    }
}

/// The more exact word for why a token is failing, if there is one.
#[must_use]
pub const fn reason(health: Health) -> Option<&'static str> {
    match health {
        Health::Failing { reason, .. } => match reason {
            Reason::LastError => None,
            Reason::LoginRequired => Some("login_required"),
            Reason::PasswordRefused => Some("password_refused"),
            Reason::RefreshTokenExpired => Some("refresh_token_expired"),
            Reason::RefreshTokenRefused => Some("refresh_token_refused"),
            Reason::RotationLost => Some("rotation_lost"),
            Reason::Parent => Some("source"),
            Reason::ParentLacksPart => Some("source_lacks_part"),
        },
        Health::Fresh | Health::Pending => None,
    }
}

/// Takes the last error and its hint apart, which [`crate::error_chain::explain`] has joined.
#[must_use]
pub fn last_error(view: &TokenView) -> (Option<&str>, Option<&str>) {
    match view.standing.last_error.as_deref() {
        Some(error) => match error.split_once("; hint: ") {
            Some((error, hint)) => (Some(error), Some(hint)),
            None => (Some(error), None),
        },
        None => (None, None),
    }
}

const fn reason_in_words(health: Health) -> Option<&'static str> {
    match health {
        Health::Failing { reason, .. } => match reason {
            Reason::LastError => None,
            Reason::LoginRequired => Some("somebody has to log in"),
            Reason::PasswordRefused => {
                Some("the password was refused and is not tried again until it changes")
            }
            Reason::RefreshTokenExpired => Some("the refresh token has expired"),
            Reason::RefreshTokenRefused => Some("the refresh token was refused"),
            Reason::RotationLost => {
                Some("the answer to a refresh was lost and with it the new refresh token")
            }
            Reason::Parent => Some("a token that it is made from is failing"),
            Reason::ParentLacksPart => {
                Some("the token that it is made from has no such field, or not a valid one")
            }
        },
        Health::Fresh => None,
        Health::Pending => Some("the first request has not been answered yet"),
    }
}
