//! Why a token request failed, and what that means for the schedule.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use http::StatusCode;

pub use super::request::command::CommandError;
pub use super::response::refusal::{HttpRefusal, Refusal};

use super::credentials::assertion::KeyError;
use super::id_token::IdTokenError;
use super::login::LoginError;
use super::provider::discovery::MetadataProblem;
use super::provider::document::DocumentProblem;
use super::provider::key_set::KeySetProblem;
use super::transport::trouble::Trouble;
use crate::config::SecretError;

/// Why no token was obtained. Holds no secret, no token and nothing of a reply's body but the few members
/// that [`Refusal`] names, so that it may be shown and logged; print it with its sources, `a: b: c`.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The signature of an assertion failed.
    #[error("cannot sign the assertion")]
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
    /// A document that values of the client stand in cannot be used.
    #[error("http.{name}: {problem}")]
    Document {
        /// Its table's name.
        name: String,
        /// What is wrong with it.
        problem: DocumentProblem,
    },
    /// The program of `grant.command`.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A server refused a request that is no token request, or failed.
    #[error("{0}")]
    Http(Box<HttpRefusal>),
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
    /// A login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Nobody has logged in.
    #[error("somebody has to log in")]
    LoginRequired,
    /// This token comes without a login.
    #[error("this token needs no login")]
    NoLogin,
    /// A token request for a grant that is none.
    #[error("this grant is no token request")]
    NoTokenRequest,
    /// There is no refresh token to use.
    #[error("no refresh token is held")]
    NoRefreshToken,
    /// A token that the request carries is not there.
    #[error("token {0}, which it is made from, is not there")]
    NoSource(TokenName),
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
    /// The same of a login on another device (RFC 8628 section 3.2).
    #[error("the device authorization endpoint answered {0}")]
    RefusedDevice(Box<Refusal>),
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
    /// Why what many wait for cannot be had, to the one that has asked for it.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// [`Shared`](Self::Shared), to those that have waited for it.
    #[error(transparent)]
    Echo(Arc<Self>),
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
            | Self::LoginRequired
            | Self::NoIssuer
            | Self::NoLogin
            | Self::NoRefreshToken
            | Self::NoTokenRequest
            | Self::RequestEncoding
            | Self::Secret { .. }
            | Self::TlsIdentity { .. }
            | Self::Unreadable { .. } => (FailureKind::Misconfigured, Delivery::NotSent),
            Self::Command(error) => (error.kind(), Delivery::Answered),
            Self::Http(refusal) => (refusal.kind(), Delivery::Answered),
            Self::NoSource(_) => (FailureKind::Unavailable, Delivery::NotSent),
            Self::Discovery { problem, .. } => (problem.kind(), Delivery::NotSent),
            Self::Document { problem, .. } => (problem.kind(), Delivery::NotSent),
            // The provider issued something, and not what was asked for.
            Self::IdToken(_) => (FailureKind::Unrecognized, Delivery::Unknown),
            Self::Login(error) => (error.kind(), Delivery::Answered),
            Self::KeySet { problem, .. } => (problem.kind(), Delivery::Unknown),
            Self::Shared(error) => return error.failure(),
            Self::Echo(error) => {
                return Failure {
                    echo: true,
                    ..error.failure()
                };
            }
            // A maintenance page or a wrong endpoint: only persistence tells.
            Self::Redirect { .. } => (FailureKind::Unrecognized, Delivery::Answered),
            Self::Refused(refusal) | Self::RefusedDevice(refusal) => {
                (refusal.kind(), refusal.delivery())
            }
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
            echo: false,
        }
    }

    /// Whether the same may well succeed in a while.
    pub(super) fn is_passing(&self) -> bool {
        let kind = self.failure().kind;
        matches!(kind, FailureKind::RateLimited | FailureKind::Unavailable)
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ColonInClientId => Some("use client_secret_basic or client_secret_post"),
            Self::Command(error) => error.hint(),
            Self::Discovery { problem, .. } => problem.hint(),
            Self::Http(refusal) => refusal.hint(),
            Self::HttpClient(HttpClientProblem::NoRoots) => {
                Some("install the ca-certificates package, or set tls.ca")
            }
            Self::HttpClient(HttpClientProblem::Proxy) => Some("use an http or https proxy URL"),
            Self::IdToken(error) => error.hint(),
            Self::Key { cause, .. } => cause.hint(),
            Self::Login(error) => error.hint(),
            Self::LoginRequired => Some("`bearerd login NAME`"),
            Self::NoIssuer => Some("set issuer instead of token_endpoint"),
            Self::Redirect { .. } => Some("set token_endpoint to the final URL"),
            Self::Refused(refusal) | Self::RefusedDevice(refusal) => refusal.hint(),
            Self::Secret {
                cause: SecretError::Permissions { .. },
                ..
            } => Some("make it mode 0600, owned by root or the user the daemon runs as"),
            Self::Shared(error) | Self::Echo(error) => error.hint(),
            Self::Transport { trouble, .. } => trouble.hint(),
            Self::Unusable { problem, .. } => problem.hint(),
            _ => None,
        }
    }

    /// The same of a request that goes before the token request: that was not sent.
    pub(super) fn not_sent(self) -> Self {
        match self {
            Self::Transport {
                server, trouble, ..
            } => Self::Transport {
                server,
                trouble,
                delivery: Delivery::NotSent,
            },
            other => other,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Discovery { retry_after, .. } => *retry_after,
            Self::Http(refusal) => refusal.retry_after,
            Self::Refused(refusal) | Self::RefusedDevice(refusal) => refusal.retry_after,
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
