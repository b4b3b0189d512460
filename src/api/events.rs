//! `GET /v1/events`: server-sent events (WHATWG HTML, section 9.2), one for whatever happens to a token.
//!
//! A stream begins with how every token stands, so that nothing is missed between reading status and
//! following. A reader that is too slow is told so and given that again; nothing piles up for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use http::{HeaderValue, Response, header};
use hyper::body::{Body, Bytes, Frame};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Api;
use super::code::State;
use super::connection::Busy;
use super::peer::Caller;
use super::problem::{self, Problem};
use super::status::Moment;
use crate::store::{Event, EventKind, TokenEvent, TokenView, Topic};

/// The data of an event, one line of JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EventData {
    /// The event's name again.
    pub event: EventName,
    /// When it was sent; seconds since the epoch.
    pub time: u64,
    /// How the token stands since; only in events of a token.
    #[serde(flatten)]
    pub token: Option<TokenData>,
    /// Why a configuration was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many events were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// How a token stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenData {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// A finer word for some states, such as `rotation_lost`.
    pub reason: Option<String>,
    /// The number of the current token.
    pub generation: Option<u64>,
    /// When it expires; seconds since the epoch.
    pub expires_at: Option<u64>,
}

/// `event:`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// A new configuration is in force.
    ConfigurationLoaded,
    /// A new configuration is wrong; the one before it stays in force.
    ConfigurationRefused,
    /// A token has been added or its configuration has changed.
    Configured,
    /// A token has expired without a replacement and is withdrawn.
    Expired,
    /// A request failed.
    Failed,
    /// The reader was too slow; how every token stands follows.
    Lagged,
    /// Somebody has to log in or to provide a new refresh token.
    NeedsLogin,
    /// A new token is there.
    Published,
    /// A request succeeded after others had failed.
    Recovered,
    /// A token is no longer configured.
    Removed,
    /// How a token stands.
    Snapshot,
    /// The daemon ends; this is the last event.
    Stopping,
    /// All snapshots have been sent.
    Synced,
}

impl EventName {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationLoaded => "configuration_loaded",
            Self::ConfigurationRefused => "configuration_refused",
            Self::Configured => "configured",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Lagged => "lagged",
            Self::NeedsLogin => "needs_login",
            Self::Published => "published",
            Self::Recovered => "recovered",
            Self::Removed => "removed",
            Self::Snapshot => "snapshot",
            Self::Stopping => "stopping",
            Self::Synced => "synced",
        }
    }
}

impl From<EventKind> for EventName {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Configured => Self::Configured,
            EventKind::Expired => Self::Expired,
            EventKind::Failed => Self::Failed,
            EventKind::NeedsLogin => Self::NeedsLogin,
            EventKind::Published => Self::Published,
            EventKind::Recovered => Self::Recovered,
            EventKind::Removed => Self::Removed,
        }
    }
}

/// Which token a query asks for; `None`: all.
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

/// What is sent as it comes.
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

/// Starts a stream. It ends with the daemon, or when the client goes: then nobody takes the body's frames.
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
        // An error is the client's leaving.
        let _ = follower.run().await;
    });
    let mut response = Response::new(EventBody(body));
    let content_type = HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// The client is gone.
struct Gone;

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

    /// How every token stands.
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

    /// `None` where it is not this client's to know.
    fn told(&self, event: &Event) -> Option<Bytes> {
        match &event.topic {
            Topic::Token(token) => {
                let config = &token.config;
                let told = self.wants(&config.name) && self.caller.may_see(config);
                told.then(|| token_event(event.id, token.kind.into(), token))
            }
            // It may name any token and file.
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

fn data(event: EventName) -> EventData {
    EventData {
        event,
        time: Moment::now().unix.as_secs(),
        token: None,
        error: None,
        missed: None,
    }
}

fn token_event(id: u64, name: EventName, event: &TokenEvent) -> Bytes {
    let moment = Moment::now();
    let current = event
        .current
        .filter(|(_, expires_at)| *expires_at > moment.now);
    let token = TokenData {
        name: event.config.name.to_string(),
        state: State::of_health(event.health, current.is_some()),
        reason: problem::reason(event.health).map(str::to_owned),
        generation: current.map(|(generation, _)| generation),
        expires_at: current.map(|(_, expires_at)| moment.epoch_seconds(expires_at)),
    };
    let data = EventData {
        token: Some(token),
        ..data(name)
    };
    encode(id, &data)
}

/// `event`, `id` and `data`. JSON escapes newlines: one line of data is enough.
fn encode(id: u64, data: &EventData) -> Bytes {
    let name = data.event.as_str();
    // Strings and numbers always serialize.
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {json}\n\n").into()
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

    #[test]
    fn names_are_those_of_the_json() {
        for name in [
            EventName::ConfigurationLoaded,
            EventName::NeedsLogin,
            EventName::Synced,
        ] {
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{}\"", name.as_str()));
        }
    }
}
