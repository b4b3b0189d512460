//! One request and its answer, of bounded size.

use bearerd_core::refresh::Delivery;
use http::{HeaderMap, StatusCode};
use reqwest::RequestBuilder;
use url::Url;
use zeroize::Zeroizing;

use super::address::server;
use super::no_answer::NoAnswer;
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

/// Few token responses are longer.
const USUAL_BODY: usize = 16 * 1024;

/// More is no token response.
const MAX_BODY: usize = 1024 * 1024;
