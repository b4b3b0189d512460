//! One request and its answer, of bounded size.

use std::collections::BTreeMap;

use bearerd_core::refresh::Delivery;
use http::{HeaderMap, StatusCode, header};
use reqwest::{Client, RequestBuilder};
use serde::de::IgnoredAny;
use url::Url;
use zeroize::Zeroizing;

use super::address::server;
use super::no_answer::{NoAnswer, ends_without_notice};
use super::trouble::Trouble;
use crate::failpoint;

/// An answer, read to its end.
pub(in crate::oauth) struct Answer {
    pub(in crate::oauth) status: StatusCode,
    pub(in crate::oauth) headers: HeaderMap,
    pub(in crate::oauth) body: Zeroizing<Vec<u8>>,
}

/// Sends a request and reads its answer, up to [`MAX_BODY`].
pub(in crate::oauth) async fn exchange(
    request: RequestBuilder,
    url: &Url,
) -> Result<Answer, NoAnswer> {
    let failed = |error: reqwest::Error| NoAnswer::of(&error, server(url));
    failpoint::pass("request");
    let mut response = request.send().await.map_err(failed)?;
    failpoint::pass("reply-begun");
    let status = response.status();
    let headers = response.headers().clone();
    let expected = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(MAX_BODY);
    // Large enough from the start, lest growing leave copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(expected.clamp(USUAL_BODY, MAX_BODY)));
    loop {
        let problem = match response.chunk().await {
            Ok(None) => break,
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => {
                body.extend_from_slice(&chunk);
                continue;
            }
            Ok(Some(_)) => NoAnswer {
                server: server(url),
                trouble: Trouble::TooLarge,
                delivery: Delivery::Unknown,
            },
            // Some servers end TLS without saying so (RFC 8446 section 6.1). A whole document has
            // lost nothing by it.
            Err(error) if ends_without_notice(&error) && is_whole(&body) => break,
            Err(error) => failed(error),
        };
        if status.is_success() {
            return Err(problem);
        }
        // The status says enough: no token was issued.
        body.clear();
        break;
    }
    failpoint::pass("reply-read");
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Fetches a public document; a redirect within the same origin is followed, as it takes nothing
/// elsewhere.
pub(in crate::oauth) async fn fetch_public(
    client: &Client,
    url: &Url,
    accept: &'static str,
) -> Result<Answer, NoAnswer> {
    let mut url = url.clone();
    let mut left = MAX_REDIRECTS;
    loop {
        let request = client.get(url.clone());
        let request = request.header(header::ACCEPT, accept);
        let answer = exchange(request, &url).await?;
        match same_origin(&url, &answer) {
            Some(next) if left > 0 => (url, left) = (next, left - 1),
            Some(_) | None => return Ok(answer),
        }
    }
}

fn same_origin(url: &Url, answer: &Answer) -> Option<Url> {
    let location = answer.headers.get(header::LOCATION);
    let location = location.filter(|_| answer.status.is_redirection())?;
    let next = url.join(location.to_str().ok()?).ok()?;
    (next.origin() == url.origin()).then_some(next)
}

/// More is a circle.
const MAX_REDIRECTS: u32 = 3;

/// Whether a body is a JSON object with its end.
fn is_whole(body: &[u8]) -> bool {
    serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body).is_ok()
}

/// Few token responses are longer.
const USUAL_BODY: usize = 16 * 1024;

/// More is no token response.
const MAX_BODY: usize = 1024 * 1024;
