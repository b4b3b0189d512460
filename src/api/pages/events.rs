//! The events that `GET /v1/events` sends. The daemon writes them, and the client reads them.

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::code::State;
use crate::api::moment::Moment;
use crate::api::problem;
use crate::store::{EventKind, TokenEvent};

/// The data of an event, which is one line of JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EventData {
    /// The name of the event, once more.
    pub event: EventName,
    /// When the event was sent, in seconds since the epoch.
    pub time: u64,
    /// How the token stands since then. Only events of a token have it.
    #[serde(flatten)]
    pub token: Option<TokenData>,
    /// Why a configuration was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many events the reader has missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// How a token stands.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenData {
    /// The name of the token.
    pub name: String,
    /// The state of the token.
    pub state: State,
    /// A more exact word for some states, such as `rotation_lost`.
    pub reason: Option<String>,
    /// The generation of the current token.
    pub generation: Option<u64>,
    /// When the current token expires, in seconds since the epoch.
    pub expires_at: Option<u64>,
}

/// The name of an event, which is sent as `event:`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// A new configuration is in force.
    ConfigurationLoaded,
    /// A new configuration is wrong. The one before it stays in force.
    ConfigurationRefused,
    /// A token has been added or its configuration has changed.
    Configured,
    /// A token has expired without a replacement and is withdrawn.
    Expired,
    /// A request for a token has failed.
    Failed,
    /// The reader was too slow. How every token stands follows.
    Lagged,
    /// Somebody has to log in or to provide a new refresh token.
    NeedsLogin,
    /// A new token is there.
    Published,
    /// A request has succeeded after others had failed.
    Recovered,
    /// A token is no longer configured.
    Removed,
    /// This is how a token stands.
    Snapshot,
    /// The daemon ends. This is the last event.
    Stopping,
    /// All snapshots have been sent.
    Synced,
}

impl EventName {
    /// The name as it is written in JSON.
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

/// The data that every event has.
pub(super) fn data(event: EventName) -> EventData {
    EventData {
        event,
        time: Moment::now().unix.as_secs(),
        token: None,
        error: None,
        missed: None,
    }
}

/// Writes an event of a token.
pub(super) fn token_event(id: u64, name: EventName, event: &TokenEvent) -> Bytes {
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

/// Writes `event`, `id` and `data`. JSON escapes newlines, so one line of data is enough.
pub(super) fn encode(id: u64, data: &EventData) -> Bytes {
    let name = data.event.as_str();
    // Strings and numbers always serialize.
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\nid: {id}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
