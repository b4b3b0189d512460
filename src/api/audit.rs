//! What the log says of who reads which token, and of who may not. Never a value.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::peer::{Caller, Grounds, Right};
use crate::clock;
use crate::credential::TokenName;

/// Shared by all connections.
#[derive(Clone, Default)]
pub(super) struct Audit {
    denials: Arc<Denials>,
    granted: Arc<watch::Sender<BTreeSet<Granted>>>,
}

impl Audit {
    /// Logs the first time that a user is allowed a token on these grounds.
    pub(super) fn granted(
        &self,
        caller: &Caller,
        token: &TokenName,
        right: Right,
        grounds: Grounds<'_>,
    ) {
        let Some(peer) = &caller.peer else {
            return;
        };
        let grounds = grounds.as_str();
        let what = match right {
            Right::Read => "may read: first time",
            Right::LogIn => "may log in: first time",
        };
        let grant = (peer.uid, token.clone(), what, grounds.to_owned());
        if self.granted.borrow().contains(&grant) {
            return;
        }
        self.granted.send_modify(|granted| {
            if granted.len() >= MAX_GRANTS {
                granted.clear();
            }
            granted.insert(grant);
        });
        let (uid, pid, unit) = (peer.uid, peer.pid, peer.unit.as_deref());
        tracing::info!(%token, uid, ?pid, unit, grounds, "{what}");
    }

    /// Logs a refusal, but not one line for each: a refused client may come back in a loop.
    pub(super) fn denied(&self, caller: &Caller, token: Option<&TokenName>) {
        let now = clock::now().elapsed_since_boot().as_secs();
        if now < self.denials.silent_until.load(Ordering::Relaxed) {
            self.denials.unlogged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let silent_until = now + DENIAL_LOG_INTERVAL;
        self.denials
            .silent_until
            .store(silent_until, Ordering::Relaxed);
        let unlogged = self.denials.unlogged.swap(0, Ordering::Relaxed);
        let token = token.map(TokenName::as_str);
        let peer = caller.peer.as_ref();
        let (uid, pid) = peer.map(|peer| (peer.uid, peer.pid)).unzip();
        let unit = peer.and_then(|peer| peer.unit.as_deref());
        let uncertain = peer.and_then(|peer| peer.uncertain).map(|e| e.to_string());
        // `uncertain` says why rules for groups and units could not apply.
        tracing::warn!(token, ?uid, ?pid, unit, uncertain, unlogged, "denied");
    }
}

/// Which user, which token, what, and on what grounds.
type Granted = (u32, TokenName, &'static str, String);

#[derive(Default)]
struct Denials {
    /// Seconds since boot before which nothing is logged.
    silent_until: AtomicU64,
    unlogged: AtomicU64,
}

const DENIAL_LOG_INTERVAL: u64 = 10;
/// How many grants are remembered.
const MAX_GRANTS: usize = 10_000;
