//! The daemon as the API sees it: the views that it reads, and the channels that its requests go
//! to.

use tokio::sync::{mpsc, watch};

use super::requests::{LoginRequest, Logout, RefreshRequest};
use crate::store::{Consumers, DaemonView, EventBus, Registry};

/// What the API reads of the daemon, and where it sends its requests. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    /// The views of the tokens.
    pub tokens: Registry,
    /// The view of the daemon as a whole.
    pub daemon: watch::Receiver<DaemonView>,
    /// The events that followers get.
    pub events: EventBus,
    /// The channel for requests to replace a token.
    pub refreshes: mpsc::Sender<RefreshRequest>,
    /// The channel for requests to begin or to complete a login.
    pub logins: mpsc::Sender<LoginRequest>,
    /// The channel for requests to log out.
    pub logouts: mpsc::Sender<Logout>,
    /// The notes of which units have got which token.
    pub consumers: Consumers,
}

impl Api {
    /// Waits until the daemon is about to end.
    pub(in crate::api) async fn stopping(&self) {
        // Without a daemon it has ended.
        let _ = self.daemon.clone().wait_for(|view| view.stopping).await;
    }
}
