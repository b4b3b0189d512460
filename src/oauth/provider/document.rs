//! JSON documents at a server, in which values of a client stand.

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::error::{DocumentProblem, ProviderError};
use crate::clock;
use crate::config::{DocumentConfig, DocumentRef, Environment};
use crate::oauth::credentials::values::Values;
use crate::oauth::response::HttpRefusal;
use crate::oauth::response::dates::retry_after;
use crate::oauth::transport::address::server;
use crate::oauth::transport::exchange::exchange;
use crate::oauth::transport::http::Http;
use crate::oauth::transport::{NoAnswer, TransportError, headers};

/// A document, ready to be fetched.
pub(in crate::oauth) struct Document {
    config: Arc<DocumentConfig>,
    http: Http,
    headers: HeaderMap,
}

impl Document {
    /// Reads the secrets and certificates of a request for it. Blocks on files.
    pub(in crate::oauth) fn load(
        config: &Arc<DocumentConfig>,
        environment: &Environment,
    ) -> Result<Self, TransportError> {
        let (headers, _) = headers::configured("http.headers", &config.headers, environment)?;
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
    ) -> Result<(), ProviderError> {
        let url = &self.config.url.url;
        let request = self.http.pooled.get(url.clone());
        let request = request.headers(self.headers.clone());
        let answer = exchange(request, url).await;
        let answer = answer.map_err(NoAnswer::not_sent)?;
        if !answer.status.is_success() {
            return Err(ProviderError::Refused(Box::new(HttpRefusal {
                server: server(url),
                status: answer.status,
                message: None,
                rate_limited: answer.status == StatusCode::TOO_MANY_REQUESTS,
                retry_after: retry_after(&answer.headers, clock::unix_now()),
            })));
        }
        let wrong = |problem| ProviderError::Document {
            name: self.config.name.clone(),
            problem,
        };
        let root: Value =
            serde_json::from_slice(&answer.body).map_err(|_| wrong(DocumentProblem::NotJson))?;
        for place in places.filter(|place| place.document == self.config) {
            let text = root.pointer(&place.pointer).and_then(Value::as_str);
            let text = text.filter(|text| is_sendable(text));
            let text = text.ok_or_else(|| wrong(DocumentProblem::Lacks(place.pointer.clone())))?;
            values.insert(place, text.into());
        }
        Ok(())
    }
}

fn is_sendable(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}
