//! Why no token was obtained, and what that means for the schedule.

use bearerd_core::refresh::{Delivery, Failure, FailureKind};

use super::credentials::CredentialsError;
use super::failure::failed;
use super::id_token::IdTokenError;
use super::input_tokens::MissingInputToken;
use super::login::LoginError;
use super::provider::{ProviderError, Shared};
use super::request::CommandError;
use super::response::ResponseError;
use super::transport::{EncodingError, NoAnswer, TransportError};

/// Why no token was obtained. Holds no secret, no token and nothing of a reply's body but the few
/// members that a refusal names, so that it may be shown and logged; print it with its sources, `a:
/// b: c`.
#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    /// The program of `grant.command` brought no token.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A secret, a key or a certificate is of no use.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The documents that values of the client stand in cannot be used.
    #[error(transparent)]
    Documents(#[from] Shared<Self>),
    /// A request cannot be encoded.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The ID token is refused, and with it the login that brought it.
    #[error("the ID token is refused: {0}")]
    IdToken(IdTokenError),
    /// A token that the request carries is not there.
    #[error(transparent)]
    InputToken(#[from] MissingInputToken),
    /// The provider's keys cannot be had.
    #[error(transparent)]
    Keys(#[from] Shared<ProviderError>),
    /// A login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Nobody has logged in.
    #[error("somebody has to log in")]
    LoginRequired,
    /// No answer came from the authorization server.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// An ID token is verified against its issuer's metadata, and the client has none.
    #[error("without an issuer no ID token can be verified")]
    NoIssuer,
    /// This token comes without a login.
    #[error("this token needs no login")]
    NoLogin,
    /// There is no refresh token to use.
    #[error("no refresh token is held")]
    NoRefreshToken,
    /// The grant is no token request, or is one where none is wanted.
    #[error("this grant is no token request")]
    NoTokenRequest,
    /// What the provider publishes cannot be had.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The answer brings no token.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// No request can be made.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl ObtainError {
    /// The one place that decides what a failure means: it asks the part that failed.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Command(error) => error.failure(),
            Self::Credentials(error) => error.failure(),
            Self::Documents(error) => error.failure(Self::failure),
            Self::Encoding(error) => error.failure(),
            // The provider issued something, and not what was asked for.
            Self::IdToken(_) => failed(FailureKind::Unrecognized, Delivery::Unknown),
            Self::InputToken(error) => error.failure(),
            Self::Keys(error) => error.failure(ProviderError::failure),
            Self::Login(error) => error.failure(),
            Self::LoginRequired
            | Self::NoIssuer
            | Self::NoLogin
            | Self::NoRefreshToken
            | Self::NoTokenRequest => failed(FailureKind::Misconfigured, Delivery::NotSent),
            Self::NoAnswer(error) => error.failure(),
            Self::Provider(error) => error.failure(),
            Self::Response(error) => error.failure(),
            Self::Transport(error) => error.failure(),
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
            Self::Command(error) => error.hint(),
            Self::Credentials(error) => error.hint(),
            Self::Documents(error) => error.error().hint(),
            Self::IdToken(error) => error.hint(),
            Self::Keys(error) => error.error().hint(),
            Self::Login(error) => error.hint(),
            Self::LoginRequired => Some("`bearerd login NAME`"),
            Self::NoAnswer(error) => error.hint(),
            Self::NoIssuer => Some("set issuer instead of token_endpoint"),
            Self::Provider(error) => error.hint(),
            Self::Response(error) => error.hint(),
            Self::Transport(error) => error.hint(),
            Self::Encoding(_)
            | Self::InputToken(_)
            | Self::NoLogin
            | Self::NoRefreshToken
            | Self::NoTokenRequest => None,
        }
    }
}
