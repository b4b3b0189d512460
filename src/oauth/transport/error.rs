//! Why no request can be made.

use std::path::PathBuf;

use bearerd_core::refresh::{Delivery, Failure, FailureKind};

use crate::oauth::credentials::CredentialsError;
use crate::oauth::failure::failed;

/// Why no request can be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A CA bundle holds no usable certificate.
    #[error("{} holds no usable PEM certificate", .0.display())]
    CaBundle(PathBuf),
    /// A secret, a key or a certificate is of no use.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A header cannot be encoded.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The HTTP client cannot be built.
    #[error("cannot set up TLS: {0}")]
    HttpClient(HttpClientProblem),
    /// The TLS client certificate and key cannot be used.
    #[error(
        "TLS client certificate {} and its key cannot be used: {problem}",
        certificate.display()
    )]
    TlsIdentity {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong with the two.
        problem: &'static str,
    },
}

/// The request cannot be encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot encode the token request")]
pub struct EncodingError;

/// Why the HTTP client of a registration cannot be built.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HttpClientProblem {
    /// There is no CA certificate on this host.
    #[error("no usable root certificates on this host")]
    NoRoots,
    /// The proxy URL is of an unsupported kind.
    #[error("the proxy URL is not supported")]
    Proxy,
}

impl TransportError {
    /// What it means for the schedule: nothing was sent, and nothing mends itself.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Credentials(error) => error.failure(),
            Self::Encoding(error) => error.failure(),
            Self::CaBundle(_) | Self::HttpClient(_) | Self::TlsIdentity { .. } => {
                failed(FailureKind::Misconfigured, Delivery::NotSent)
            }
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Credentials(error) => error.hint(),
            Self::HttpClient(HttpClientProblem::NoRoots) => {
                Some("install the ca-certificates package, or set tls.ca")
            }
            Self::HttpClient(HttpClientProblem::Proxy) => Some("use an http or https proxy URL"),
            Self::CaBundle(_) | Self::Encoding(_) | Self::TlsIdentity { .. } => None,
        }
    }
}

impl EncodingError {
    /// What it means for the schedule: nothing was sent, and nothing mends itself.
    #[must_use]
    pub fn failure(self) -> Failure {
        failed(FailureKind::Misconfigured, Delivery::NotSent)
    }
}
