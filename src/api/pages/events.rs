//! The events that `GET /v1/events` sends, as the daemon writes them and as the client reads them.

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use crate::api::code::State;
use crate::api::moment::Moment;
use crate::api::problem;
use crate::store::{EventKind, TokenEvent};

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

pub(super) fn data(event: EventName) -> EventData {
    EventData {
        event,
        time: Moment::now().unix.as_secs(),
        token: None,
        error: None,
        missed: None,
    }
}

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

/// `event`, `id` and `data`. JSON escapes newlines: one line of data is enough.
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
