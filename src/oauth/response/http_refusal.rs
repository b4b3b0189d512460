//! What an error response means to a request that is no token request.

use std::fmt;
use std::time::Duration;

use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use http::StatusCode;

use crate::oauth::failure::failed;

/// The refusal of a request that is no token request, reduced to what may be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpRefusal {
    /// Host and port.
    pub server: String,
    /// The status.
    pub status: StatusCode,
    /// `message`, as GitHub sends one, without control characters and secrets, at most 200
    /// characters.
    pub message: Option<String>,
    /// The server wants fewer requests.
    pub rate_limited: bool,
    /// `Retry-After`, or `x-ratelimit-reset`, counted from the reply.
    pub retry_after: Option<Duration>,
}

impl HttpRefusal {
    /// What it means for the schedule.
    pub(in crate::oauth) fn failure(&self) -> Failure {
        Failure {
            retry_after: self.retry_after,
            ..failed(self.kind(), Delivery::Answered)
        }
    }

    fn kind(&self) -> FailureKind {
        match self.status.as_u16() {
            _ if self.rate_limited => FailureKind::RateLimited,
            401 | 404 | 422 => FailureKind::Misconfigured,
            403 => FailureKind::Denied,
            408 | 425 | 500..=599 => FailureKind::Unavailable,
            _ => FailureKind::Unrecognized,
        }
    }

    pub(in crate::oauth) fn hint(&self) -> Option<&'static str> {
        match self.status.as_u16() {
            _ if self.rate_limited => None,
            401 => Some("check the key or token that the request carries, and whose it is"),
            404 | 405 => {
                Some("check url; for a GitHub app installation_id and where it is installed")
            }
            422 => Some("check what is asked for: repositories and permissions, or body"),
            _ => None,
        }
    }
}

impl fmt::Display for HttpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.server, self.status.as_u16())?;
        match &self.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}
