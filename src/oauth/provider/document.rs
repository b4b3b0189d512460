//! JSON documents at a server, in which values of a client stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::http::HeaderMap;
use bearerd_core::refresh::FailureKind;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::clock;
use crate::config::{DocumentConfig, DocumentRef, Environment, SecretError};
use crate::oauth::error::{HttpRefusal, SourceError};
use crate::oauth::response::token_response;
use crate::oauth::transport::http::{self, Http};

/// A document, ready to be fetched.
pub(in crate::oauth) struct Document {
    config: Arc<DocumentConfig>,
    http: Http,
    headers: HeaderMap,
}

/// What stands at the places asked for, by document and pointer.
#[derive(Default)]
pub(in crate::oauth) struct Values(BTreeMap<(String, String), SecretString>);

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
    pub(in crate::oauth) fn kind(&self) -> FailureKind {
        match self {
            Self::Lacks(_) => FailureKind::Misconfigured,
            // Such as the page of a proxy whose server is down.
            Self::NotJson => FailureKind::Unavailable,
        }
    }
}

impl Document {
    /// Reads the secrets and certificates of a request for it. Blocks on files.
    pub(in crate::oauth) fn load(
        config: &Arc<DocumentConfig>,
        environment: &Environment,
    ) -> Result<Self, SourceError> {
        let (headers, _) = http::headers("http.headers", &config.headers, environment)?;
        let transport = config.transport.clone();
        Ok(Self {
            http: Http::load(transport, &config.url.url, 0, environment)?,
            headers,
            config: Arc::clone(config),
        })
    }

    /// Fetches it, and takes from it what stands at those of these places that are its own.
    pub(in crate::oauth) async fn fetch<'a>(
        &self,
        places: impl Iterator<Item = &'a DocumentRef>,
        values: &mut Values,
    ) -> Result<(), SourceError> {
        let url = &self.config.url.url;
        let request = self.http.pooled.get(url.clone());
        let request = request.headers(self.headers.clone());
        let answer = http::exchange(request, url).await;
        let answer = answer.map_err(SourceError::not_sent)?;
        if !answer.status.is_success() {
            let retry_after = token_response::retry_after(&answer.headers, clock::unix_now());
            return Err(SourceError::Http(Box::new(HttpRefusal {
                server: http::server(url),
                status: answer.status,
                message: None,
                rate_limited: answer.status == ::http::StatusCode::TOO_MANY_REQUESTS,
                retry_after,
            })));
        }
        let wrong = |problem| SourceError::Document {
            name: self.config.name.clone(),
            problem,
        };
        let root: Value =
            serde_json::from_slice(&answer.body).map_err(|_| wrong(DocumentProblem::NotJson))?;
        for place in places.filter(|place| place.document == self.config) {
            let text = root.pointer(&place.pointer).and_then(Value::as_str);
            let text = text.filter(|text| is_sendable(text));
            let text = text.ok_or_else(|| wrong(DocumentProblem::Lacks(place.pointer.clone())))?;
            let key = (place.document.name.clone(), place.pointer.clone());
            values.0.insert(key, text.into());
        }
        Ok(())
    }
}

impl Values {
    /// What stands there; `what` is the configuration key that an error names.
    pub(in crate::oauth) fn at(
        &self,
        what: &'static str,
        place: &DocumentRef,
    ) -> Result<&SecretString, SourceError> {
        let name = place.document.name.clone();
        let value = self.0.get(&(name.clone(), place.pointer.clone()));
        value.ok_or(SourceError::Secret {
            what,
            cause: SecretError::NotFetched(name),
        })
    }

    pub(in crate::oauth) fn equals(&self, other: &Self) -> bool {
        let exposed = |values: &Self| -> Vec<String> {
            let values = values.0.values();
            values.map(|value| value.expose_secret().into()).collect()
        };
        self.0.keys().eq(other.0.keys()) && exposed(self) == exposed(other)
    }
}

fn is_sendable(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}
