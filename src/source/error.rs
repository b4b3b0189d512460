//! Why a token request failed, and what that means for the schedule.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;

use super::assertion::KeyError;
use super::discovery::MetadataProblem;
use super::id_token::IdTokenError;
use super::jwks::KeySetProblem;
use super::transport::Trouble;
use crate::config::SecretError;
use crate::refresh::{Delivery, Failure, FailureKind};

/// Why no token was obtained. Holds no secret, no token and nothing of a reply's body but the few members
/// that [`Refusal`] names, so that it may be shown and logged; print it with its sources, `a: b: c`.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The signature of a client assertion failed.
    #[error("cannot sign the client assertion")]
    AssertionSigning,
    /// A CA bundle without a usable certificate.
    #[error("{} holds no usable PEM certificate", .0.display())]
    CaBundle(PathBuf),
    /// A certificate file without a certificate.
    #[error("{} holds no PEM certificate", .0.display())]
    Certificate(PathBuf),
    /// `client_secret_basic_raw` cannot carry a colon in the user name (RFC 7617 section 2).
    #[error("client_id contains a colon, which client_secret_basic_raw cannot send")]
    ColonInClientId,
    /// The authorization server's metadata cannot be used.
    #[error("metadata of {issuer}: {problem}")]
    Discovery {
        /// The issuer as configured, without userinfo and query.
        issuer: String,
        /// What is wrong with it.
        problem: MetadataProblem,
        /// `Retry-After` of the reply.
        retry_after: Option<Duration>,
    },
    /// The HTTP client cannot be built: no system roots, for example.
    #[error("cannot set up TLS: {0}")]
    HttpClient(HttpClientProblem),
    /// The ID token is refused, and with it the login that brought it.
    #[error("the ID token is refused: {0}")]
    IdToken(IdTokenError),
    /// A private key is of no use.
    #[error("{what} cannot be used")]
    Key {
        /// Which, by its configuration key.
        what: &'static str,
        /// Why.
        #[source]
        cause: KeyError,
    },
    /// The provider's keys cannot be had.
    #[error("key set of {server}: {problem}")]
    KeySet {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        problem: KeySetProblem,
    },
    /// An ID token is verified against its issuer's metadata, and the client has none.
    #[error("without an issuer no ID token can be verified")]
    NoIssuer,
    /// There is no refresh token to use.
    #[error("no refresh token is held")]
    NoRefreshToken,
    /// A redirect. It is not followed: it would carry the credentials elsewhere.
    #[error("the token endpoint answered {status} with a redirect{}", to_host(host.as_ref()))]
    Redirect {
        /// 3xx.
        status: StatusCode,
        /// The host it names.
        host: Option<String>,
    },
    /// The authorization server refused, or failed.
    #[error("the token endpoint answered {0}")]
    Refused(Box<Refusal>),
    /// The request body cannot be encoded.
    #[error("cannot encode the token request")]
    RequestEncoding,
    /// A secret cannot be read.
    #[error("{what} cannot be read")]
    Secret {
        /// Which, by its configuration key.
        what: &'static str,
        /// Why.
        #[source]
        cause: SecretError,
    },
    /// The TLS client certificate and key cannot be used.
    #[error("TLS client certificate {} and its key cannot be used: {problem}", certificate.display())]
    TlsIdentity {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why.
        problem: &'static str,
    },
    /// No answer.
    #[error("{server}: {trouble}")]
    Transport {
        /// Host and port.
        server: String,
        /// What went wrong.
        trouble: Trouble,
        /// How far the request got.
        delivery: Delivery,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// A 2xx answer without a usable token.
    #[error("the token endpoint answered {status}, but {problem}")]
    Unusable {
        /// 2xx.
        status: StatusCode,
        /// Why it is of no use.
        problem: ReplyProblem,
    },
}

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

/// Why the HTTP client of a registration cannot be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HttpClientProblem {
    /// No CA certificate on this host.
    #[error("no usable root certificates on this host")]
    NoRoots,
    /// The proxy URL is of an unsupported kind.
    #[error("the proxy URL is not supported")]
    Proxy,
}

/// Why a 2xx answer is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReplyProblem {
    /// Characters that could forge a header, or no ASCII.
    #[error("its access_token has characters that no header may carry")]
    AccessTokenCharacters,
    /// Nothing at all.
    #[error("its body is empty")]
    Empty,
    /// An HTML page.
    #[error("its body is an HTML page")]
    Html,
    /// Neither JSON nor a form.
    #[error("its body is neither JSON nor form-encoded")]
    NoKnownFormat,
    /// The one member that matters is not there.
    #[error("without an access_token")]
    NoAccessToken,
    /// JSON, but no object; or broken.
    #[error("its body is no JSON object")]
    NotAnObject,
    /// `DPoP`, `pop` or `mac`: the token is bound to a key that is not ours to use.
    #[error("with a token_type other than Bearer")]
    TokenType,
}

impl SourceError {
    /// The one place that decides what a failure means.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (kind, delivery) = match self {
            Self::AssertionSigning
            | Self::CaBundle(_)
            | Self::Certificate(_)
            | Self::ColonInClientId
            | Self::HttpClient(_)
            | Self::Key { .. }
            | Self::NoIssuer
            | Self::NoRefreshToken
            | Self::RequestEncoding
            | Self::Secret { .. }
            | Self::TlsIdentity { .. }
            | Self::Unreadable { .. } => (FailureKind::Misconfigured, Delivery::NotSent),
            Self::Discovery { problem, .. } => (problem.kind(), Delivery::NotSent),
            // The provider issued something, and not what was asked for.
            Self::IdToken(_) => (FailureKind::Unrecognized, Delivery::Unknown),
            Self::KeySet { problem, .. } => (problem.kind(), Delivery::Unknown),
            // A maintenance page or a wrong endpoint: only persistence tells.
            Self::Redirect { .. } => (FailureKind::Unrecognized, Delivery::Answered),
            Self::Refused(refusal) => (refusal.kind(), refusal.delivery()),
            Self::Transport {
                trouble, delivery, ..
            } => (trouble.kind(), *delivery),
            // Something issued this answer, and it may have spent the refresh token for it.
            Self::Unusable { problem, .. } => (problem.kind(), Delivery::Unknown),
        };
        Failure {
            kind,
            delivery,
            retry_after: self.retry_after(),
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ColonInClientId => Some("use client_secret_basic or client_secret_post"),
            Self::Discovery { problem, .. } => problem.hint(),
            Self::HttpClient(HttpClientProblem::NoRoots) => {
                Some("install the ca-certificates package, or set tls.ca")
            }
            Self::HttpClient(HttpClientProblem::Proxy) => Some("use an http or https proxy URL"),
            Self::IdToken(error) => error.hint(),
            Self::Key { cause, .. } => cause.hint(),
            Self::NoIssuer => Some("set issuer instead of token_endpoint"),
            Self::Redirect { .. } => Some("set token_endpoint to the final URL"),
            Self::Refused(refusal) => refusal.hint(),
            Self::Secret {
                cause: SecretError::Permissions { .. },
                ..
            } => Some("make it mode 0600, owned by root or the user the daemon runs as"),
            Self::Transport { trouble, .. } => trouble.hint(),
            Self::Unusable { problem, .. } => problem.hint(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Discovery { retry_after, .. } => *retry_after,
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

impl Refusal {
    /// A 5xx may be a proxy's word on an answer that never reached it, or follow after the refresh token was
    /// spent; 503 and `temporarily_unavailable` come before any work.
    fn delivery(&self) -> Delivery {
        let before_work = self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.error.as_deref() == Some("temporarily_unavailable");
        match self.kind() {
            FailureKind::Unavailable if self.status.is_server_error() && !before_work => {
                Delivery::Unknown
            }
            _ => Delivery::Answered,
        }
    }

    /// Classifies by `error` first, then by status. Codes outside RFC 6749 are of GitHub, Microsoft Entra,
    /// NHS England and Slack.
    fn kind(&self) -> FailureKind {
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
            // NHS England: 403 when it cannot fetch the registered JWKS, 401 when the signature is wrong.
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

    fn hint(&self) -> Option<&'static str> {
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

impl ReplyProblem {
    fn kind(self) -> FailureKind {
        match self {
            Self::TokenType => FailureKind::Misconfigured,
            _ => FailureKind::Unavailable,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Html => Some("check token_endpoint: a page for people answered"),
            Self::TokenType => Some("have bearer tokens issued to this client"),
            _ => None,
        }
    }
}

fn to_host(host: Option<&String>) -> String {
    host.map(|host| format!(" to {host}")).unwrap_or_default()
}
