//! The daemon as the API sees it: the views that it reads, and the channels that its requests go to.

use tokio::sync::{mpsc, watch};

use super::requests::{LoginRequest, Logout, RefreshRequest};
use crate::store::{Consumers, DaemonView, EventBus, Registry};

/// What the API reads, and where it sends its requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    /// The tokens.
    pub tokens: Registry,
    /// The daemon as a whole.
    pub daemon: watch::Receiver<DaemonView>,
    /// What happens to them.
    pub events: EventBus,
    /// Tokens to replace.
    pub refreshes: mpsc::Sender<RefreshRequest>,
    /// Logins to begin and to complete.
    pub logins: mpsc::Sender<LoginRequest>,
    /// Logouts.
    pub logouts: mpsc::Sender<Logout>,
    /// Where it is noted which units have got which token.
    pub consumers: Consumers,
}

impl Api {
    /// Waits until the daemon is about to end.
    pub(in crate::api) async fn stopping(&self) {
        // Without a daemon it has ended.
        let _ = self.daemon.clone().wait_for(|view| view.stopping).await;
    }
}
