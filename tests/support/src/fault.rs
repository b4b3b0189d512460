//! What can go wrong between a client and an authorization server.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::clock;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use tokio::time::Interval;

/// One kind of trouble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Processed, then the connection is closed without an answer.
    CloseBeforeReply,
    /// Not processed: this status, media type and body.
    Custom(u16, &'static str, String),
    /// Not processed: 200 and a body that never ends.
    EndlessBody,
    /// Not processed: no answer for as long as the client waits.
    Hang,
    /// Not processed: a proxy's friendly page, status 200.
    Html200,
    /// Not processed: `invalid_grant`, status 400.
    InvalidGrant,
    /// Processed; the answer comes a second later.
    LateReply,
    /// Processed, then no answer for as long as the client waits.
    LostReply,
    /// Not processed: a redirect elsewhere.
    Redirect302,
    /// Processed; half of the answer, then a TCP reset.
    ResetMidBody,
    /// Processed; one byte of the answer every 200 ms.
    SlowDrip,
    /// Not processed: this status, with a JSON error `temporarily_unavailable`.
    Status(u16),
    /// Not processed: 429, plain text as Entra sends it.
    TooManyRequests(RetryAfter),
}

/// The `Retry-After` header of a 429 (RFC 9110 section 10.2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RetryAfter {
    /// As an HTTP date, this far from now.
    Date(Duration),
    /// No header.
    None,
    /// In seconds.
    Seconds(u64),
}

impl Fault {
    /// Whether the server does its work before the trouble starts.
    #[must_use]
    pub fn processed(&self) -> bool {
        matches!(
            self,
            Self::CloseBeforeReply
                | Self::LateReply
                | Self::LostReply
                | Self::ResetMidBody
                | Self::SlowDrip
        )
    }

    /// The answer in place of a real one, for the faults that answer.
    #[must_use]
    pub fn reply(&self) -> Option<Reply> {
        let json = "application/json";
        Some(match self {
            Self::Custom(status, media_type, body) => Reply::new(*status, media_type, body.clone()),
            Self::Html200 => Reply::new(200, "text/html", "<html><body>Please sign in</body>"),
            Self::InvalidGrant => Reply::error(400, "invalid_grant", "Token is not active"),
            Self::Redirect302 => {
                Reply::new(302, json, "").header(LOCATION.as_str(), "https://example.org/elsewhere")
            }
            Self::Status(status) => Reply::error(*status, "temporarily_unavailable", "Try later"),
            Self::TooManyRequests(retry_after) => {
                let reply = Reply::new(429, "text/plain", "Too Many Requests");
                match retry_after.value() {
                    Some(value) => reply.header(RETRY_AFTER.as_str(), &value),
                    None => reply,
                }
            }
            Self::CloseBeforeReply
            | Self::EndlessBody
            | Self::Hang
            | Self::LateReply
            | Self::LostReply
            | Self::ResetMidBody
            | Self::SlowDrip => return None,
        })
    }
}

impl RetryAfter {
    fn value(self) -> Option<String> {
        match self {
            Self::Date(from_now) => {
                let at = std::time::UNIX_EPOCH + clock::unix_now() + from_now;
                Some(httpdate::fmt_http_date(at))
            }
            Self::None => None,
            Self::Seconds(seconds) => Some(seconds.to_string()),
        }
    }
}

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// An answer of this media type.
    #[must_use]
    pub fn new(status: u16, media_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![(CONTENT_TYPE.to_string(), media_type.to_owned())];
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string()).header("cache-control", "no-store")
    }

    /// An error as RFC 6749 section 5.2 has it.
    #[must_use]
    pub fn error(status: u16, error: &str, description: &str) -> Self {
        let body = serde_json::json!({"error": error, "error_description": description});
        Self::json(status, &body)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As hyper sends it, with this body.
    #[must_use]
    pub fn response(&self, body: ReplyBody) -> Response<ReplyBody> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        for (name, value) in &self.headers {
            let name = hyper::header::HeaderName::try_from(name.as_str()).expect("a header name");
            let value = HeaderValue::try_from(value.as_str()).expect("a header value");
            response.headers_mut().append(name, value);
        }
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + clock::unix_now());
        let date = HeaderValue::try_from(date).expect("a date");
        response.headers_mut().insert(DATE, date);
        response
    }
}

/// How the bytes of an answer go out.
pub enum ReplyBody {
    /// The first half, then an error that cuts the connection.
    CutShort(Option<Bytes>),
    /// For ever.
    Endless,
    /// One byte per tick.
    Slow(Bytes, Interval),
    /// At once.
    Whole(Option<Bytes>),
}

impl ReplyBody {
    /// All of it at once.
    #[must_use]
    pub fn whole(body: String) -> Self {
        Self::Whole(Some(body.into()))
    }
}

/// The connection is to be cut.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
pub struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let bytes = match self.get_mut() {
            Self::CutShort(bytes) => match bytes.take() {
                Some(bytes) => bytes.slice(..bytes.len() / 2),
                None => return Poll::Ready(Some(Err(Cut))),
            },
            Self::Endless => Bytes::from_static(&[b' '; 16 * 1024]),
            Self::Slow(rest, _) if rest.is_empty() => return Poll::Ready(None),
            Self::Slow(rest, interval) => {
                ready!(interval.poll_tick(task));
                rest.split_to(1)
            }
            Self::Whole(bytes) => match bytes.take() {
                Some(bytes) => bytes,
                None => return Poll::Ready(None),
            },
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
