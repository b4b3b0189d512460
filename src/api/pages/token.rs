//! The pages of one token: as JSON, as bytes, and the body of a request to replace it.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::response::{json_in, with_type};
use crate::api::moment::Moment;
use crate::api::problem::Problem;
use crate::api::tokens::RejectedHash;
use crate::store::Published;

/// A token as JSON: as in RFC 6749 section 5.1 without the refresh token, and also the time when it
/// expires and its generation.
#[derive(Serialize)]
pub struct TokenBody<'a> {
    access_token: &'a str,
    token_type: &'a str,
    /// When the token expires, in seconds since the epoch.
    expires_at: u64,
    /// How many seconds the token is still valid.
    expires_in: u64,
    scope: Option<&'a str>,
    generation: u64,
}

impl<'a> TokenBody<'a> {
    /// Takes what is sent of a token.
    #[must_use]
    pub fn new(published: &'a Published, moment: Moment) -> Self {
        let token = &published.token;
        Self {
            access_token: token.access_token.expose_secret(),
            token_type: &token.token_type,
            expires_at: moment.epoch_seconds(token.validity.expires_at),
            expires_in: moment.seconds_until(token.validity.expires_at),
            scope: token.scope.as_deref(),
            generation: published.generation,
        }
    }
}

/// The body of a refresh request, which may be absent.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// The SHA-256 in hex of the token that an API has rejected.
    pub rejected: Option<String>,
}

impl RefreshBody {
    /// Reads a body.
    ///
    /// # Errors
    /// A usage [`Problem`]. It does not say what was sent, as that may be a token.
    pub fn parse(body: &[u8]) -> Result<Option<RejectedHash>, Problem> {
        if body.is_empty() {
            return Ok(None);
        }
        let parsed: Self = serde_json::from_slice(body).map_err(|_| {
            Problem::usage(r#"the body is to be empty or {"rejected": "<sha256 in hex>"}"#)
        })?;
        let hash = parsed.rejected.as_deref().map(RejectedHash::parse);
        hash.transpose()
            .map_err(|e| Problem::usage(format!("rejected: {e}")))
    }
}

/// Answers `GET /v1/tokens/{name}` with the token, unless the client has it already.
pub(super) fn page(
    published: &Published,
    headers: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Problem> {
    let full = body(published, headers)?;
    Ok(unless_known(published, headers, full))
}

/// Answers `GET /v1/tokens/{name}/access_token` with the token's bytes, unless the client has them
/// already.
pub(super) fn bytes(published: &Published, headers: &HeaderMap) -> Response<Full<Bytes>> {
    unless_known(published, headers, plain(published))
}

/// Answers with the token in the form that the client prefers.
pub(super) fn body(
    published: &Published,
    headers: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Problem> {
    if prefers_text(headers) {
        return Ok(plain(published));
    }
    let token = &published.token;
    let scope = token.scope.as_deref().unwrap_or_default();
    let texts = token.access_token.expose_secret().len() + token.token_type.len() + scope.len();
    // JSON makes at most six bytes of one. A buffer that grows is copied.
    let body = Vec::with_capacity(6 * texts + 256);
    json_in(body, &TokenBody::new(published, Moment::now()))
}

/// Adds the token's `ETag`, and leaves the token out if the client has it already (RFC 9110 section
/// 13.1.2). The tag is weak, as `expires_in` differs from answer to answer.
fn unless_known(
    published: &Published,
    headers: &HeaderMap,
    full: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let generation = published.generation.to_string();
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || opaque(tag) == Some(&generation));
    let mut response = full;
    if known {
        response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{generation}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, vary);
    response
}

/// Takes what stands between the quotes of an entity tag, weak or strong.
fn opaque(tag: &str) -> Option<&str> {
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    quoted.strip_prefix('"')?.strip_suffix('"')
}

/// Answers with the token's bytes and nothing else.
fn plain(published: &Published) -> Response<Full<Bytes>> {
    let token = published.token.access_token.expose_secret();
    with_type("text/plain; charset=utf-8", token.as_bytes().to_vec())
}

/// Says whether `Accept` names plain text before JSON or anything else that JSON satisfies.
fn prefers_text(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .find_map(|media_type| match media_type {
            "text/plain" | "text/*" => Some(true),
            "application/json" | "application/*" | "*/*" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept() {
        let prefers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(value));
            prefers_text(&headers)
        };
        assert!(prefers("text/plain"));
        assert!(prefers("text/html, text/plain;q=0.5"));
        assert!(!prefers("application/json, text/plain"));
        assert!(!prefers("*/*"));
        assert!(!prefers("text/html"));
        assert!(!prefers_text(&HeaderMap::new()));
    }
}
