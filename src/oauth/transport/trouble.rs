//! What goes wrong on the way to a server and back.

use bearerd_core::refresh::FailureKind;

/// What went wrong on the way to a server and back.
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
    /// The server shows the certificate of a CA as its own.
    #[error("the server's certificate is that of a CA (basicConstraints CA:TRUE)")]
    CertificateOfAuthority,
    /// The server's certificate has a version without extensions.
    #[error("the server's certificate is X.509 version 1, without extensions")]
    CertificateVersion,
    /// Nothing that is trusted here signed the server's certificate.
    #[error("the server's certificate is signed by an unknown issuer")]
    CertificateUnknownIssuer,
    /// The server's certificate is for another name.
    #[error("the server's certificate is for another name")]
    CertificateWrongName,
    /// The server refuses the client's certificate.
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
    /// There is no connection, for another reason.
    #[error("cannot connect")]
    Connect,
    /// There was no connection in time.
    #[error("cannot connect in time")]
    ConnectTimeout,
    /// The name does not resolve.
    #[error("cannot resolve the host name")]
    Dns,
    /// The proxy wants to know who asks.
    #[error("the proxy asks for a user name and a password (407)")]
    ProxyAuthentication,
    /// The proxy does not connect to the server.
    #[error("the proxy refuses to connect to the server")]
    ProxyRefused,
    /// The reply is over the limit.
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    /// The request was sent, but no complete answer came in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The two sides do not agree on TLS.
    #[error("TLS handshake failed")]
    Tls,
    /// The answer is not HTTP.
    #[error("the request failed or its answer is not HTTP")]
    Other,
}

impl Trouble {
    /// Certificates do not mend themselves; everything else on the way may.
    pub(super) fn kind(self) -> FailureKind {
        match self {
            Self::CertificateExpired
            | Self::CertificateInvalid
            | Self::CertificateOfAuthority
            | Self::CertificateVersion
            | Self::ProxyAuthentication
            | Self::CertificateUnknownIssuer
            | Self::CertificateWrongName
            | Self::ClientCertificateRefused
            | Self::ClientCertificateRequired => FailureKind::Misconfigured,
            Self::CertificateNotYetValid
            | Self::ConnectionBroken
            | Self::ConnectionRefused
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Dns
            | Self::ProxyRefused
            | Self::TooLarge
            | Self::Timeout
            | Self::Tls
            | Self::Other => FailureKind::Unavailable,
        }
    }

    pub(super) fn hint(self) -> Option<&'static str> {
        match self {
            Self::CertificateExpired | Self::CertificateNotYetValid => {
                Some("check this host's clock; else the server's operator has to replace it")
            }
            Self::CertificateUnknownIssuer => {
                Some("set tls.ca to the issuing CA's certificate if it is a private one")
            }
            Self::CertificateOfAuthority => Some(
                "have the server use a certificate of its own, with CA:FALSE, that the CA signed",
            ),
            Self::CertificateVersion => {
                Some("have the server's certificate issued as version 3, with a subjectAltName")
            }
            Self::ProxyAuthentication => {
                Some("set the proxy's user name and password in the proxy URL")
            }
            Self::ProxyRefused => Some("have the proxy allow this host, or set NO_PROXY"),
            Self::CertificateWrongName => Some("check the host name in the URL"),
            Self::ClientCertificateRefused => {
                Some("check that tls.certificate is registered, in date and complete")
            }
            Self::ClientCertificateRequired => Some("set tls.certificate and tls.key"),
            Self::ConnectionRefused | Self::Dns => Some("check the host, the port and the proxy"),
            Self::Tls => Some("check that the port speaks TLS 1.2 or 1.3"),
            Self::CertificateInvalid
            | Self::ConnectionBroken
            | Self::Connect
            | Self::ConnectTimeout
            | Self::TooLarge
            | Self::Timeout
            | Self::Other => None,
        }
    }
}
