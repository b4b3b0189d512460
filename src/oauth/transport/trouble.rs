//! Why no answer came, named from the chain of causes that the HTTP client leaves.

use std::error::Error;
use std::io;

use bearerd_core::refresh::{Delivery, FailureKind};
use rustls::{AlertDescription, CertificateError};

use crate::oauth::error::SourceError;

/// Why no answer came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Trouble {
    /// The server's certificate is out of date.
    #[error("the server's certificate has expired")]
    CertificateExpired,
    /// The server's certificate is from the future.
    #[error("the server's certificate is not valid yet")]
    CertificateNotYetValid,
    /// The server's certificate has a flaw not named here.
    #[error("the server's certificate is invalid")]
    CertificateInvalid,
    /// Nothing we trust signed the server's certificate.
    #[error("the server's certificate is signed by an unknown issuer")]
    CertificateUnknownIssuer,
    /// The server's certificate is for another name.
    #[error("the server's certificate is for another name")]
    CertificateWrongName,
    /// The server refuses our certificate.
    #[error("the server refuses the TLS client certificate")]
    ClientCertificateRefused,
    /// The server wants a certificate.
    #[error("the server requires a TLS client certificate")]
    ClientCertificateRequired,
    /// The connection ended before the answer was complete.
    #[error("the connection broke before the answer was complete")]
    ConnectionBroken,
    /// Nobody listens there.
    #[error("connection refused")]
    ConnectionRefused,
    /// No connection, for another reason.
    #[error("cannot connect")]
    Connect,
    /// No connection in time.
    #[error("cannot connect in time")]
    ConnectTimeout,
    /// The name does not resolve.
    #[error("cannot resolve the host name")]
    Dns,
    /// The reply is over the limit.
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    /// Sent, but no complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// No agreement on TLS.
    #[error("TLS handshake failed")]
    Tls,
    /// The answer is not HTTP.
    #[error("the request failed or its answer is not HTTP")]
    Other,
}

impl Trouble {
    /// Certificates do not mend themselves; everything else on the way may.
    pub(in crate::oauth) fn kind(self) -> FailureKind {
        match self {
            Self::CertificateExpired
            | Self::CertificateInvalid
            | Self::CertificateUnknownIssuer
            | Self::CertificateWrongName
            | Self::ClientCertificateRefused
            | Self::ClientCertificateRequired => FailureKind::Misconfigured,
            _ => FailureKind::Unavailable,
        }
    }

    pub(in crate::oauth) fn hint(self) -> Option<&'static str> {
        match self {
            Self::CertificateExpired | Self::CertificateNotYetValid => {
                Some("check this host's clock; else the server's operator has to replace it")
            }
            Self::CertificateUnknownIssuer => {
                Some("set tls.ca to the issuing CA's certificate if it is a private one")
            }
            Self::CertificateWrongName => Some("check the host name in the URL"),
            Self::ClientCertificateRefused => {
                Some("check that tls.certificate is registered, in date and complete")
            }
            Self::ClientCertificateRequired => Some("set tls.certificate and tls.key"),
            Self::ConnectionRefused | Self::Dns => Some("check the host, the port and the proxy"),
            Self::Tls => Some("check that the port speaks TLS 1.2 or 1.3"),
            _ => None,
        }
    }
}

/// Names what reqwest reports. Its own text is not used: it holds the URL.
pub(in crate::oauth) fn name(error: &reqwest::Error, server: String) -> SourceError {
    let tls = find::<rustls::Error>(error).map(tls_trouble);
    let connecting = error.is_connect();
    let refused = find::<io::Error>(error)
        .is_some_and(|e| innermost(e).kind() == io::ErrorKind::ConnectionRefused);
    let trouble = match tls {
        Some(trouble) => trouble,
        None if error.is_dns() => Trouble::Dns,
        None if connecting && error.is_timeout() => Trouble::ConnectTimeout,
        None if connecting && refused => Trouble::ConnectionRefused,
        None if connecting => Trouble::Connect,
        None if error.is_timeout() => Trouble::Timeout,
        None if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) => Trouble::Other,
        None => Trouble::ConnectionBroken,
    };
    // With TLS 1.3 a server judges our certificate after the client's last handshake message, so reqwest
    // takes the refusal for an answer to the request. No request is read before that judgement.
    let handshake = matches!(
        trouble,
        Trouble::ClientCertificateRefused | Trouble::ClientCertificateRequired
    );
    let delivery = if connecting || handshake || error.is_builder() {
        Delivery::NotSent
    } else {
        Delivery::Unknown
    };
    SourceError::Transport {
        server,
        trouble,
        delivery,
    }
}

fn tls_trouble(error: &rustls::Error) -> Trouble {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate_trouble(problem),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Trouble::ClientCertificateRequired,
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate => Trouble::ClientCertificateRefused,
            _ => Trouble::Tls,
        },
        _ => Trouble::Tls,
    }
}

fn certificate_trouble(problem: &CertificateError) -> Trouble {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Trouble::CertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Trouble::CertificateNotYetValid
        }
        // A bad signature is what another CA of the same name makes.
        CertificateError::BadSignature | CertificateError::UnknownIssuer => {
            Trouble::CertificateUnknownIssuer
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Trouble::CertificateWrongName
        }
        _ => Trouble::CertificateInvalid,
    }
}

/// Walks the causes. An [`io::Error`] hides what it wraps from `source`, so it is opened.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .and_then(|inner| find::<T>(inner));
    wrapped.or_else(|| error.source().and_then(find::<T>))
}

fn innermost(error: &io::Error) -> &io::Error {
    error
        .get_ref()
        .and_then(|inner| find::<io::Error>(inner))
        .map_or(error, innermost)
}
