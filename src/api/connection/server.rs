//! What all connections share, whatever is spoken on them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bearerd_core::credential::TokenName;

use super::activity::{Activity, Busy, Finished};
use super::limits::Limits;
use crate::api::access::{Audit, Caller, Right};
use crate::api::daemon::Api;

/// What all connections share.
#[derive(Clone)]
pub(in crate::api) struct Server {
    api: Api,
    own_uid: u32,
    finished: Arc<Finished>,
    audit: Audit,
    pub(in crate::api) limits: Limits,
    /// Open connections, as the acceptor counts them.
    pub(in crate::api) open: Arc<AtomicU64>,
}

impl Server {
    pub(in crate::api) fn new(api: Api, limits: Limits) -> Self {
        Self {
            api,
            own_uid: rustix::process::geteuid().as_raw(),
            finished: Arc::default(),
            audit: Audit::default(),
            limits,
            open: Arc::default(),
        }
    }

    pub(in crate::api) const fn api(&self) -> &Api {
        &self.api
    }

    pub(in crate::api) const fn own_uid(&self) -> u32 {
        self.own_uid
    }

    /// Marks a connection as one with a request under way.
    pub(in crate::api) fn begin(&self, activity: &Activity) -> Busy {
        activity.begin(&self.finished)
    }

    /// Whether the caller has this right to a token. Who has not does not learn either whether there is one.
    pub(in crate::api) fn permits_token(
        &self,
        caller: &Caller,
        name: &TokenName,
        right: Right,
    ) -> bool {
        let tokens = self.api.tokens.borrow();
        let Some(view) = tokens.get(name) else {
            return caller.is_trusted();
        };
        let view = view.borrow();
        let grounds = caller.grounds(right.rules(&view.config));
        if let Some(grounds) = grounds {
            self.audit.granted(caller, name, right, grounds);
        }
        grounds.is_some()
    }

    /// Logs that the caller was refused.
    pub(in crate::api) fn denied(&self, caller: &Caller, token: Option<&TokenName>) {
        self.audit.denied(caller, token);
    }

    /// How many requests were refused.
    pub(in crate::api) fn denials(&self) -> u64 {
        self.audit.denials()
    }

    /// Whether a user is root or the daemon's own.
    pub(in crate::api) fn trusts(&self, uid: Option<u32>) -> bool {
        uid.is_some_and(|uid| uid == 0 || uid == self.own_uid)
    }

    /// Waits until the daemon is about to end.
    pub(in crate::api) async fn stopping(&self) {
        self.api.stopping().await;
    }

    /// Waits until some request has ended; one that ended since the last call counts.
    pub(in crate::api) async fn request_ended(&self) {
        self.finished.next().await;
    }
}
