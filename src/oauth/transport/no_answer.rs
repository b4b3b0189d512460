//! Why no answer came, named from the chain of causes that the HTTP client leaves.

use std::error::Error;
use std::io;

use bearerd_core::refresh::{Delivery, Failure};
use rustls::{AlertDescription, CertificateError};

use super::trouble::Trouble;
use crate::oauth::failure::failed;

/// No answer came from a server.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{server}: {trouble}")]
pub struct NoAnswer {
    /// Host and port.
    pub server: String,
    /// What went wrong.
    pub trouble: Trouble,
    /// How far the request got.
    pub delivery: Delivery,
}

impl NoAnswer {
    /// Names what reqwest reports. Its own text is not used: it holds the URL.
    pub(super) fn of(error: &reqwest::Error, server: String) -> Self {
        let tls = find::<rustls::Error>(error).map(tls_trouble);
        let connecting = error.is_connect();
        let refused = find::<io::Error>(error)
            .is_some_and(|e| innermost(e).kind() == io::ErrorKind::ConnectionRefused);
        let parse = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
        let trouble = match tls {
            Some(trouble) => trouble,
            None if says(error, "proxy authorization required") => Trouble::ProxyAuthentication,
            None if says(error, "tunnel error: unsuccessful") => Trouble::ProxyRefused,
            None if error.is_dns() => Trouble::Dns,
            None if connecting && error.is_timeout() => Trouble::ConnectTimeout,
            None if connecting && refused => Trouble::ConnectionRefused,
            None if connecting => Trouble::Connect,
            None if error.is_timeout() => Trouble::Timeout,
            None if parse => Trouble::Other,
            None => Trouble::ConnectionBroken,
        };
        // With TLS 1.3 a server judges our certificate after the client's last handshake message,
        // so reqwest takes the refusal for an answer to the request. No request is read before that
        // judgement.
        let handshake = matches!(
            trouble,
            Trouble::ClientCertificateRefused | Trouble::ClientCertificateRequired
        );
        let delivery = if connecting || handshake || error.is_builder() {
            Delivery::NotSent
        } else {
            Delivery::Unknown
        };
        Self {
            server,
            trouble,
            delivery,
        }
    }

    /// The same for a request that goes before the token request, which was not sent then.
    pub(in crate::oauth) fn not_sent(self) -> Self {
        Self {
            delivery: Delivery::NotSent,
            ..self
        }
    }

    /// What it means for the schedule.
    #[must_use]
    pub fn failure(&self) -> Failure {
        failed(self.trouble.kind(), self.delivery)
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.trouble.hint()
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
        CertificateError::Other(other) => match other.to_string() {
            other if other.contains("CaUsedAsEndEntity") => Trouble::CertificateOfAuthority,
            other if other.contains("UnsupportedCertVersion") => Trouble::CertificateVersion,
            _ => Trouble::CertificateInvalid,
        },
        _ => Trouble::CertificateInvalid,
    }
}

/// Whether a TLS stream ended without a close_notify alert.
pub(super) fn ends_without_notice(error: &reqwest::Error) -> bool {
    find::<io::Error>(error).is_some_and(|e| innermost(e).kind() == io::ErrorKind::UnexpectedEof)
}

/// Whether one of the causes has these words, for causes whose types are nobody's to name.
fn says(error: &(dyn Error + 'static), words: &str) -> bool {
    error.to_string().contains(words) || error.source().is_some_and(|cause| says(cause, words))
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
