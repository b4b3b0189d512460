//! Why credentials are of no use.

use std::io;
use std::path::PathBuf;

use bearerd_core::refresh::{Delivery, Failure, FailureKind};

use super::private_key::KeyError;
use crate::config::SecretError;
use crate::oauth::failure::failed;

/// Why secrets, keys or certificates are of no use. Never holds any of a secret or a private key.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A certificate file holds no certificate.
    #[error("{} holds no PEM certificate", .0.display())]
    Certificate(PathBuf),
    /// `client_secret_basic_raw` cannot carry a colon in the user name (RFC 7617 section 2).
    #[error("client_id contains a colon, which client_secret_basic_raw cannot send")]
    ColonInClientId,
    /// A private key is of no use.
    #[error("{what} cannot be used")]
    Key {
        /// The configuration key that names it.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        cause: KeyError,
    },
    /// A secret cannot be read.
    #[error("{what} cannot be read")]
    Secret {
        /// The configuration key that names it.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        cause: SecretError,
    },
    /// The signature of an assertion failed.
    #[error("cannot sign the assertion")]
    Signing,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}

impl CredentialsError {
    /// What it means for the schedule: nothing was sent, and nothing mends itself.
    #[must_use]
    pub fn failure(&self) -> Failure {
        failed(FailureKind::Misconfigured, Delivery::NotSent)
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ColonInClientId => Some("use client_secret_basic or client_secret_post"),
            Self::Key { cause, .. } => cause.hint(),
            Self::Secret {
                cause: SecretError::Permissions { .. },
                ..
            } => Some("make it mode 0600, owned by root or the user the daemon runs as"),
            Self::Certificate(_)
            | Self::Secret { .. }
            | Self::Signing
            | Self::Unreadable { .. } => None,
        }
    }
}
