//! What all connections share, whatever is spoken on them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bearerd_core::credential::TokenName;

use super::activity::Finished;
use super::limits::Limits;
use crate::api::access::{Audit, Caller, Right};
use crate::api::daemon::Api;

/// What all connections share.
#[derive(Clone)]
pub(in crate::api) struct Server {
    pub(in crate::api) api: Api,
    /// The user that the daemon runs as.
    pub(in crate::api) own_uid: u32,
    /// The requests that have ended.
    pub(in crate::api) finished: Arc<Finished>,
    /// What the log says of who reads what.
    pub(in crate::api) audit: Audit,
    pub(in crate::api) limits: Limits,
    /// How many connections to this socket are open, as the acceptor counts them.
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

    /// Says whether the caller has this right to a token. A caller without the right does not learn
    /// either whether there is such a token.
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

    /// Says whether a user is root or the daemon's own.
    pub(in crate::api) fn trusts(&self, uid: Option<u32>) -> bool {
        uid.is_some_and(|uid| uid == 0 || uid == self.own_uid)
    }
}
