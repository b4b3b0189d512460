//! Why what a provider publishes cannot be had.

use std::time::Duration;

use bearerd_core::refresh::{Delivery, Failure, FailureKind};

use super::key_set::KeySetProblem;
use super::metadata::MetadataProblem;
use crate::oauth::failure::failed;
use crate::oauth::response::HttpRefusal;
use crate::oauth::transport::NoAnswer;

/// Why what a provider publishes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A document that values of a client stand in cannot be used.
    #[error("http.{name}: {problem}")]
    Document {
        /// The name of its table.
        name: String,
        /// What is wrong with it.
        problem: DocumentProblem,
    },
    /// The provider's keys cannot be used.
    #[error("key set of {server}: {problem}")]
    KeySet {
        /// Host and port.
        server: String,
        /// What is wrong with them.
        problem: KeySetProblem,
    },
    /// The authorization server's metadata cannot be used.
    #[error("metadata of {issuer}: {problem}")]
    Metadata {
        /// The issuer as configured, without userinfo and query.
        issuer: String,
        /// What is wrong with it.
        problem: MetadataProblem,
        /// `Retry-After` of the reply.
        retry_after: Option<Duration>,
    },
    /// No answer came.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The server refused to hand out a document, or failed.
    #[error("{0}")]
    Refused(Box<HttpRefusal>),
}

impl ProviderError {
    /// What it means for the schedule.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::Document { problem, .. } => failed(problem.kind(), Delivery::NotSent),
            Self::KeySet { problem, .. } => failed(problem.kind(), Delivery::Unknown),
            Self::Metadata {
                problem,
                retry_after,
                ..
            } => Failure {
                retry_after: *retry_after,
                ..failed(problem.kind(), Delivery::NotSent)
            },
            Self::NoAnswer(error) => error.failure(),
            Self::Refused(refusal) => refusal.failure(),
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Document { .. } | Self::KeySet { .. } => None,
            Self::Metadata { problem, .. } => problem.hint(),
            Self::NoAnswer(error) => error.hint(),
            Self::Refused(refusal) => refusal.hint(),
        }
    }
}

/// What is wrong with a document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DocumentProblem {
    /// It has no text at this JSON pointer, or an empty one.
    #[error("it has no text at {0}")]
    Lacks(String),
    /// The answer is something else.
    #[error("it is no JSON document")]
    NotJson,
}

impl DocumentProblem {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lacks(_) => FailureKind::Misconfigured,
            // Such as the page of a proxy whose server is down.
            Self::NotJson => FailureKind::Unavailable,
        }
    }
}
