//! What an error response of a token endpoint means (RFC 6749 section 5.2).

use std::fmt;
use std::time::Duration;

use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use http::StatusCode;

use crate::oauth::failure::failed;

/// An error response (RFC 6749 section 5.2), reduced to what may be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// `error`, reduced to the characters RFC 6749 section 5.2 allows, at most 64.
    pub error: Option<String>,
    /// `error_description`, without control characters and secrets, at most 200 characters.
    pub description: Option<String>,
    /// `message_id`, `correlation_id`, `trace_id`: what the operator's support asks for.
    pub ids: Vec<(&'static str, String)>,
    /// `Retry-After` (RFC 9110 section 10.2.3), counted from the reply.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// What it means for the schedule.
    pub(in crate::oauth) fn failure(&self) -> Failure {
        Failure {
            retry_after: self.retry_after,
            ..failed(self.kind(), self.delivery())
        }
    }

    /// A 5xx may be a proxy's word on an answer that never reached it, or follow after the refresh
    /// token was spent; 503 and `temporarily_unavailable` come before any work.
    fn delivery(&self) -> Delivery {
        let before_work = self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.error.as_deref() == Some("temporarily_unavailable");
        let unavailable = self.kind() == FailureKind::Unavailable;
        if unavailable && self.status.is_server_error() && !before_work {
            Delivery::Unknown
        } else {
            Delivery::Answered
        }
    }

    /// Classifies by `error` first, then by status. Codes outside RFC 6749 are of GitHub, Microsoft
    /// Entra, NHS England and Slack.
    pub(in crate::oauth) fn kind(&self) -> FailureKind {
        let code = self.error.as_deref().unwrap_or_default();
        match (self.status.as_u16(), code) {
            // Even with 5xx: repeating a refused password locks the user out.
            (
                _,
                "invalid_grant"
                | "interaction_required"
                | "login_required"
                | "consent_required"
                | "bad_refresh_token"
                | "invalid_refresh_token"
                | "token_expired"
                | "token_revoked"
                | "bad_verification_code",
            ) => FailureKind::GrantRefused,
            (429, _) | (_, "slow_down" | "ratelimit_exceeded" | "ratelimited" | "rate_limited") => {
                FailureKind::RateLimited
            }
            (500..=599, _) | (408 | 425, _) => FailureKind::Unavailable,
            (_, "temporarily_unavailable" | "server_error" | "unknown_error") => {
                FailureKind::Unavailable
            }
            // NHS England: 403 when it cannot fetch the registered JWKS, 401 when the signature is
            // wrong.
            (403, "public_key error") => FailureKind::Unavailable,
            (_, "access_denied") => FailureKind::Denied,
            (
                _,
                "invalid_client"
                | "unauthorized_client"
                | "unsupported_grant_type"
                | "invalid_scope"
                | "invalid_request"
                | "invalid_target"
                | "invalid_resource"
                | "invalid_dpop_proof"
                | "use_dpop_nonce"
                | "public_key error"
                | "incorrect_client_credentials"
                | "invalid_auth"
                | "invalid_client_id"
                | "bad_client_secret",
            ) => FailureKind::Misconfigured,
            _ => FailureKind::Unrecognized,
        }
    }

    pub(in crate::oauth) fn hint(&self) -> Option<&'static str> {
        match (self.status.as_u16(), self.error.as_deref()) {
            (_, Some("invalid_client" | "incorrect_client_credentials" | "invalid_auth")) => {
                Some("check client_id and the client's secret, key or certificate")
            }
            (_, Some("invalid_scope")) => Some("check scope against what the server grants"),
            (_, Some("unauthorized_client")) => {
                Some("have this grant allowed for the client at the authorization server")
            }
            (_, Some("use_dpop_nonce" | "invalid_dpop_proof")) => {
                Some("the server wants DPoP, which is not supported; ask for bearer tokens")
            }
            (401, Some("public_key error")) => {
                Some("register the public key at the server, under the kid in use")
            }
            (404 | 405, _) => Some("check token_endpoint, trailing slashes included"),
            (415, _) => Some("check body: the server refuses this encoding"),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(error) = &self.error {
            write!(f, " {error}")?;
        }
        if let Some(description) = &self.description {
            write!(f, " ({description})")?;
        }
        for (name, id) in &self.ids {
            write!(f, ", {name} {id}")?;
        }
        Ok(())
    }
}
