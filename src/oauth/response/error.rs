//! Why a reply brings no token.

use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::http_refusal::HttpRefusal;
use super::refusal::Refusal;
use crate::oauth::failure::failed;

/// Why a reply brings no token. Holds nothing of its body but the few members that [`Refusal`] and
/// [`HttpRefusal`] name, so that it may be shown and logged.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// A server refused a request that is no token request, or failed.
    #[error("{0}")]
    Http(Box<HttpRefusal>),
    /// It is a redirect, which is not followed: it would carry the credentials elsewhere.
    #[error("the token endpoint answered {status} with a redirect{}", to_host(host.as_ref()))]
    Redirect {
        /// A status 3xx.
        status: StatusCode,
        /// The host that it names.
        host: Option<String>,
    },
    /// The authorization server refused, or failed.
    #[error("the token endpoint answered {0}")]
    Refused(Box<Refusal>),
    /// It is a 2xx answer without a usable token.
    #[error("the token endpoint answered {status}, but {problem}")]
    Unusable {
        /// A status 2xx.
        status: StatusCode,
        /// What is wrong with it.
        problem: ReplyProblem,
    },
}

/// Why a 2xx answer is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReplyProblem {
    /// There are characters in it that could forge a header, or are no ASCII.
    #[error("its access_token has characters that no header may carry")]
    AccessTokenCharacters,
    /// There is nothing at all.
    #[error("its body is empty")]
    Empty,
    /// It is an HTML page.
    #[error("its body is an HTML page")]
    Html,
    /// It is neither JSON nor a form.
    #[error("its body is neither JSON nor form-encoded")]
    NoKnownFormat,
    /// The one member that matters is not there.
    #[error("without an access_token")]
    NoAccessToken,
    /// It is JSON, but no object; or broken.
    #[error("its body is no JSON object")]
    NotAnObject,
    /// `DPoP`, `pop` or `mac`: the token is bound to a key that is not ours to use.
    #[error("with a token_type other than Bearer")]
    TokenType,
}

impl ResponseError {
    /// A redirect, with the host that it names.
    pub(in crate::oauth) fn redirect(status: StatusCode, headers: &HeaderMap) -> Self {
        let host = headers
            .get(header::LOCATION)
            .and_then(|location| Url::parse(location.to_str().ok()?).ok())
            .and_then(|url| url.host_str().map(str::to_owned))
            // RFC 1035 section 2.3.4: no name is longer.
            .filter(|host| host.len() <= 255);
        Self::Redirect { status, host }
    }

    /// What it means for the schedule.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Http(refusal) => refusal.failure(),
            // A maintenance page or a wrong endpoint: only persistence tells.
            Self::Redirect { .. } => failed(FailureKind::Unrecognized, Delivery::Answered),
            Self::Refused(refusal) => refusal.failure(),
            // Something issued this answer, and it may have spent the refresh token for it.
            Self::Unusable { problem, .. } => failed(problem.kind(), Delivery::Unknown),
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Http(refusal) => refusal.hint(),
            Self::Redirect { .. } => Some("set token_endpoint to the final URL"),
            Self::Refused(refusal) => refusal.hint(),
            Self::Unusable { problem, .. } => problem.hint(),
        }
    }
}

impl ReplyProblem {
    fn kind(self) -> FailureKind {
        match self {
            Self::TokenType => FailureKind::Misconfigured,
            Self::AccessTokenCharacters
            | Self::Empty
            | Self::Html
            | Self::NoKnownFormat
            | Self::NoAccessToken
            | Self::NotAnObject => FailureKind::Unavailable,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Html => Some("check token_endpoint: a page for people answered"),
            Self::TokenType => Some("have bearer tokens issued to this client"),
            Self::AccessTokenCharacters
            | Self::Empty
            | Self::NoKnownFormat
            | Self::NoAccessToken
            | Self::NotAnObject => None,
        }
    }
}

fn to_host(host: Option<&String>) -> String {
    host.map(|host| format!(" to {host}")).unwrap_or_default()
}
