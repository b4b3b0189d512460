//! Why a login failed, and what that means for the schedule.

use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use http::StatusCode;

use crate::oauth::failure::failed;
use crate::oauth::response::Refusal;

/// Why a login failed. Shows nothing that a server sent but the code and the description of an
/// error.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoginError {
    /// It is that of another login, or forged.
    #[error("the answer is not that of this login: its state is another")]
    State,
    /// The answer is another server's (RFC 9207).
    #[error("the answer is another server's: its iss is not the issuer")]
    Issuer,
    /// The address is not one that the server was told to send the browser to.
    #[error("this is not the address that the browser ended at: it does not begin with {0}")]
    NotOurs(String),
    /// There is neither `code` nor `error`, or one of them twice.
    #[error("the answer holds no code")]
    NoCode,
    /// The server has refused, in its own words (RFC 6749 section 4.1.2.1).
    #[error("the server answered {error}{}", in_brackets(description.as_ref()))]
    Refused {
        /// `error`, as far as it may be shown.
        error: String,
        /// `error_description`, as far as it may be shown.
        description: Option<String>,
    },
    /// There is no such endpoint.
    #[error("the server's metadata name no {0}")]
    NoEndpoint(&'static str),
    /// Scope `openid` was granted, and nothing says who logged in.
    #[error("the answer holds no id_token though openid was asked for")]
    NoIdToken,
    /// The page has no form, or one that takes something else.
    #[error("the login page has no form with the fields {0}")]
    NoForm(String),
    /// After the form was sent, there was a page again.
    #[error("the login form was refused: another page followed it")]
    FormRefused,
    /// It leads to a place that credentials must not go to.
    #[error("the login leads to {0}, which is neither https nor loopback")]
    LedAstray(String),
    /// There are more redirects than a login takes.
    #[error("the login has no end: too many redirects")]
    TooManyRedirects,
    /// The page is none, by its status.
    #[error("the login page answered {}", .0.as_u16())]
    Page(StatusCode),
    /// The walk took too long.
    #[error("the login pages take too long")]
    TooSlow,
    /// Nobody came in time.
    #[error("the login was not completed in time")]
    Expired,
    /// The answer is not what RFC 8628 section 3.2 says.
    #[error("the answer of the device authorization endpoint is not usable: no {0}")]
    Device(&'static str),
    /// The device authorization endpoint refused, or failed (RFC 8628 section 3.2).
    #[error("the device authorization endpoint answered {0}")]
    DeviceRefused(Box<Refusal>),
}

impl LoginError {
    /// Whether an answer may be anybody's: it does not end the login that it was brought to.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::State | Self::NotOurs(_) | Self::NoCode)
    }

    /// What it means for the schedule.
    #[must_use]
    pub fn failure(&self) -> Failure {
        if let Self::DeviceRefused(refusal) = self {
            return refusal.failure();
        }
        failed(self.kind(), Delivery::Answered)
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Refused { error, .. } => match error.as_str() {
                "access_denied" => FailureKind::Denied,
                "temporarily_unavailable" | "server_error" => FailureKind::Unavailable,
                "login_required"
                | "interaction_required"
                | "consent_required"
                | "account_selection_required" => FailureKind::GrantRefused,
                _ => FailureKind::Misconfigured,
            },
            // Sent again, it might lock the user out.
            Self::FormRefused | Self::Expired => FailureKind::GrantRefused,
            Self::Issuer
            | Self::NoEndpoint(_)
            | Self::NoIdToken
            | Self::NoForm(_)
            | Self::LedAstray(_) => FailureKind::Misconfigured,
            Self::Page(StatusCode::TOO_MANY_REQUESTS) => FailureKind::RateLimited,
            Self::Page(status) if status.is_client_error() => FailureKind::Misconfigured,
            Self::Page(_) | Self::TooSlow | Self::Device(_) => FailureKind::Unavailable,
            Self::DeviceRefused(refusal) => refusal.failure().kind,
            Self::State | Self::NotOurs(_) | Self::NoCode | Self::TooManyRedirects => {
                FailureKind::Unrecognized
            }
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::State | Self::Expired => {
                Some("begin again: `bearerd login NAME`; an answer counts once, for ten minutes")
            }
            Self::NotOurs(_) | Self::NoCode => {
                Some("paste the whole address of the page that the browser ended at")
            }
            Self::Issuer => Some("check issuer; another server may be trying to pass for it"),
            Self::NoEndpoint("authorization_endpoint") => {
                Some("set authorization_endpoint in `[client.NAME]`")
            }
            Self::NoEndpoint(_) => Some("set device_authorization_endpoint in `[client.NAME]`"),
            Self::NoForm(_) => Some("check the names of the fields in form_login"),
            Self::FormRefused => {
                Some("check the values in form_login; it is not sent again until they change")
            }
            Self::Page(status) if status.is_client_error() => {
                Some("check redirect_uri and client_id against what the server knows")
            }
            Self::DeviceRefused(refusal) => refusal.hint(),
            Self::Refused { .. }
            | Self::NoIdToken
            | Self::LedAstray(_)
            | Self::TooManyRedirects
            | Self::Page(_)
            | Self::TooSlow
            | Self::Device(_) => None,
        }
    }
}

fn in_brackets(description: Option<&String>) -> String {
    description
        .map(|description| format!(" ({description})"))
        .unwrap_or_default()
}
