//! Responses of the kinds that most pages send.

use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;

use crate::api::code::Code;
use crate::api::problem::Problem;

pub(super) fn text(text: &'static str) -> Response<Full<Bytes>> {
    with_type("text/plain; charset=utf-8", text.into())
}

pub(super) fn json(value: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    json_in(Vec::new(), value)
}

pub(super) fn json_in(
    mut body: Vec<u8>,
    value: &impl Serialize,
) -> Result<Response<Full<Bytes>>, Problem> {
    serde_json::to_writer(&mut body, value)
        .map_err(|_| Problem::new(Code::Internal, "the answer cannot be written as JSON"))?;
    body.push(b'\n');
    Ok(with_type("application/json", body))
}

pub(super) fn with_type(content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let is_large = body.len() > LARGE;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if is_large {
        // hyper keeps a buffer of that size for as long as the connection lives.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// An answer above this size is the last on its connection.
const LARGE: usize = 256 * 1024;
