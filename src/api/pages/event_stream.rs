//! Answers `GET /v1/events` with server-sent events (WHATWG HTML, section 9.2), one for each thing
//! that happens to a token.
//!
//! A stream begins with how every token stands, so that nothing is missed between reading status
//! and following. A reader that is too slow is told so, and then told again how every token stands.
//! Nothing piles up for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use http::{HeaderValue, Response, header};
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::events::{EventData, EventName, data, encode, token_event};
use crate::api::access::Caller;
use crate::api::connection::Busy;
use crate::api::daemon::Api;
use crate::api::problem::Problem;
use crate::store::{Event, EventKind, TokenEvent, TokenView, Topic};

/// Reads which token a query asks for. `None` means all tokens.
///
/// # Errors
/// A usage [`Problem`] for anything but one `token=NAME`.
pub(super) fn filter(query: Option<&str>) -> Result<Option<TokenName>, Problem> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, _) => Ok(None),
        (Some((key, name)), None) if key == "token" => {
            let name = TokenName::parse(&name);
            name.map(Some)
                .map_err(|e| Problem::usage(format!("token: {e}")))
        }
        _ => Err(Problem::usage("at most one parameter is known here: token")),
    }
}

/// A body that is sent while its frames come.
pub(super) struct EventBody(mpsc::Receiver<Bytes>);

impl Body for EventBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.0.poll_recv(cx);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Starts a stream. It ends with the daemon, or when the client leaves: then nobody takes the
/// body's frames.
pub(super) fn open(
    api: Api,
    caller: Caller,
    token: Option<TokenName>,
    (busy, heartbeat): (Busy, Duration),
) -> Response<EventBody> {
    let (frames, body) = mpsc::channel(1);
    let follower = Follower {
        api,
        caller,
        token,
        frames,
        heartbeat,
    };
    tokio::spawn(async move {
        let _busy = busy;
        // It fails when the client has left.
        let _ = follower.run().await;
    });
    let mut response = Response::new(EventBody(body));
    let content_type = HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The client has left.
struct Gone;

/// One client that follows events.
struct Follower {
    api: Api,
    caller: Caller,
    token: Option<TokenName>,
    frames: mpsc::Sender<Bytes>,
    heartbeat: Duration,
}

impl Follower {
    async fn run(&self) -> Result<(), Gone> {
        // Before the snapshot: what happens meanwhile is sent after it.
        let mut bus = self.api.events.subscribe();
        self.snapshot().await?;
        loop {
            let next = tokio::select! {
                biased;
                () = self.frames.closed() => return Err(Gone),
                next = bus.recv() => next,
                () = self.api.stopping() => {
                    return self.send(self.plain(EventName::Stopping)).await;
                }
                () = sleep(self.heartbeat) => {
                    self.send(Bytes::from_static(b":\n\n")).await?;
                    continue;
                }
            };
            match next {
                Ok(event) => {
                    if let Some(event) = self.told(&event) {
                        self.send(event).await?;
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    // What is left of the past must not follow the present.
                    bus = self.api.events.subscribe();
                    let mut data = data(EventName::Lagged);
                    data.missed = Some(missed);
                    self.send(encode(self.api.events.last_id(), &data)).await?;
                    self.snapshot().await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn send(&self, event: Bytes) -> Result<(), Gone> {
        self.frames.send(event).await.map_err(|_| Gone)
    }

    /// Sends how every token stands.
    async fn snapshot(&self) -> Result<(), Gone> {
        let tokens = self.api.tokens.borrow().clone();
        for view in tokens.values() {
            let snapshot = {
                let view = view.borrow();
                self.may_see(&view).then(|| {
                    let event = TokenEvent::new(EventKind::Configured, &view);
                    token_event(self.api.events.last_id(), EventName::Snapshot, &event)
                })
            };
            if let Some(snapshot) = snapshot {
                self.send(snapshot).await?;
            }
        }
        self.send(self.plain(EventName::Synced)).await
    }

    fn may_see(&self, view: &TokenView) -> bool {
        self.wants(&view.config.name) && self.caller.may_see(&view.config)
    }

    fn wants(&self, name: &TokenName) -> bool {
        self.token.as_ref().is_none_or(|wanted| wanted == name)
    }

    fn plain(&self, name: EventName) -> Bytes {
        encode(self.api.events.last_id(), &data(name))
    }

    /// Writes an event for this client. It is `None` where the client may not know of it.
    fn told(&self, event: &Event) -> Option<Bytes> {
        match &event.topic {
            Topic::Token(token) => {
                let config = &token.config;
                let told = self.wants(&config.name) && self.caller.may_see(config);
                told.then(|| token_event(event.id, token.kind.into(), token))
            }
            // The error may name any token and file.
            Topic::Configuration(outcome) => {
                if self.token.is_some() || !self.caller.is_trusted() {
                    return None;
                }
                let data = match outcome {
                    Ok(()) => data(EventName::ConfigurationLoaded),
                    Err(error) => EventData {
                        error: Some(error.to_string()),
                        ..data(EventName::ConfigurationRefused)
                    },
                };
                Some(encode(event.id, &data))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let lev = TokenName::parse("lev").unwrap();
        assert_eq!(filter(None).unwrap(), None);
        assert_eq!(filter(Some("")).unwrap(), None);
        assert_eq!(filter(Some("token=lev")).unwrap(), Some(lev));
        for bad in ["token=", "token=..", "token=a&token=b", "x=a", "token=a&x"] {
            assert!(filter(Some(bad)).is_err(), "{bad}");
        }
    }
}
