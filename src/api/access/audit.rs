//! Logs who reads which token, and who may not. No token's value is ever logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use tokio::sync::watch;

use super::caller::Caller;
use super::rights::{Grounds, Right};
use crate::clock;

/// Who may do what with which token: the user, the unit, the token, the right.
type Reader = (u32, Option<String>, TokenName, Right);
/// Who is refused which token: the user and the token.
type Refused = (Option<u32>, Option<TokenName>);

/// What was logged so far. All connections share it.
#[derive(Clone, Default)]
pub(in crate::api) struct Audit {
    denials: Arc<AtomicU64>,
    /// The rule that was logged for each reader.
    granted: Arc<watch::Sender<BTreeMap<Reader, String>>>,
    silenced: Arc<watch::Sender<BTreeMap<Refused, Silence>>>,
}

/// The time until which a refusal is not logged again, and the number of refusals that were not
/// logged.
#[derive(Clone, Copy)]
struct Silence {
    until: Instant,
    unlogged: u64,
}

impl Audit {
    /// Says how many requests were refused.
    pub(in crate::api) fn denials(&self) -> u64 {
        self.denials.load(Ordering::Relaxed)
    }

    /// Logs that a rule allows a user's unit something with a token, when it is not the rule that
    /// was logged last.
    pub(in crate::api) fn granted(
        &self,
        caller: &Caller,
        token: &TokenName,
        right: Right,
        grounds: Grounds<'_>,
    ) {
        let Some(peer) = &caller.peer else {
            return;
        };
        let rule = grounds.as_str();
        let reader = (peer.uid, peer.unit.clone(), token.clone(), right);
        if !self.note_grant(reader, rule) {
            return;
        }
        let (uid, pid, unit) = (peer.uid, peer.pid, peer.unit.as_deref());
        match right {
            Right::Read => tracing::info!(%token, uid, pid, unit, rule, "may read"),
            Right::LogIn => tracing::info!(%token, uid, pid, unit, rule, "may log in"),
        }
    }

    /// Logs a refusal, but not one line for each: a refused client may come back in a loop.
    pub(in crate::api) fn denied(&self, caller: &Caller, token: Option<&TokenName>) {
        self.denials.fetch_add(1, Ordering::Relaxed);
        let peer = caller.peer.as_ref();
        let uid = peer.map(|peer| peer.uid);
        // When it is allowed again, that is to be logged.
        if let (Some(peer), Some(token)) = (peer, token) {
            self.granted.send_if_modified(|granted| {
                let mut removed = false;
                for right in [Right::Read, Right::LogIn] {
                    let reader = (peer.uid, peer.unit.clone(), token.clone(), right);
                    removed |= granted.remove(&reader).is_some();
                }
                removed
            });
        }
        let Some(unlogged) = self.unlogged_before((uid, token.cloned()), clock::now()) else {
            return;
        };
        let token = token.map(TokenName::as_str);
        let pid = peer.and_then(|peer| peer.pid);
        let unit = peer.and_then(|peer| peer.unit.as_deref());
        let uncertain = peer.and_then(|peer| peer.uncertain).map(|e| e.to_string());
        // `uncertain` says why rules for groups and units could not apply.
        tracing::warn!(token, uid, pid, unit, uncertain, unlogged, "denied");
    }

    /// Notes the rule that allows a reader something, and says whether it was another rule before,
    /// or none.
    fn note_grant(&self, reader: Reader, rule: &str) -> bool {
        if self.granted.borrow().get(&reader).map(String::as_str) == Some(rule) {
            return false;
        }
        self.granted.send_modify(|granted| {
            if granted.len() >= MAX_GRANTS {
                granted.clear();
            }
            granted.insert(reader, rule.to_owned());
        });
        true
    }

    /// Says whether a refusal is to be logged now, and how many like it were not logged since the
    /// last. `None` means that it is not to be logged.
    fn unlogged_before(&self, refused: Refused, now: Instant) -> Option<u64> {
        let mut unlogged = None;
        self.silenced.send_modify(|silenced| {
            if !silenced.contains_key(&refused) && silenced.len() >= MAX_SILENCED {
                silenced.retain(|_, silence| silence.until > now);
            }
            // Names are the client's to choose: those of too many share a line.
            let full = silenced.len() >= MAX_SILENCED && !silenced.contains_key(&refused);
            let key = if full { (None, None) } else { refused };
            let silence = silenced.entry(key).or_insert(Silence {
                until: now,
                unlogged: 0,
            });
            if silence.until > now {
                silence.unlogged += 1;
            } else {
                silence.until = now + DENIAL_LOG_INTERVAL;
                unlogged = Some(std::mem::take(&mut silence.unlogged));
            }
        });
        unlogged
    }
}

/// How long a refusal is not logged again.
const DENIAL_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// How many grants are remembered.
const MAX_GRANTS: usize = 10_000;
/// How many refusals are logged within the interval, at most.
const MAX_SILENCED: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::peer::Peer;
    use super::*;

    #[test]
    fn grants_are_logged_once_for_each_reader_and_again_when_the_rule_is_another() {
        let audit = Audit::default();
        let lev = TokenName::parse("lev").unwrap();
        let reader = |unit: Option<&str>| (33, unit.map(str::to_owned), lev.clone(), Right::Read);
        assert!(audit.note_grant(reader(None), "user:33"));
        assert!(!audit.note_grant(reader(None), "user:33"));
        assert!(audit.note_grant(reader(Some("a.service")), "user:33"));
        assert!(audit.note_grant(reader(None), "group:33"));
        assert!(audit.note_grant(reader(None), "user:33"));
        // After a refusal in between, it is logged again that the reader is allowed.
        let peer = Peer {
            uid: 33,
            pid: None,
            groups: Vec::new(),
            unit: None,
            uncertain: None,
        };
        let caller = Caller {
            peer: Some(peer),
            own_uid: 0,
        };
        audit.denied(&caller, Some(&lev));
        assert!(audit.note_grant(reader(None), "user:33"));
        assert_eq!(audit.denials(), 1);
    }

    #[test]
    fn refusals_are_logged_once_in_a_while_for_each_user_and_token() {
        let audit = Audit::default();
        let refused = |uid, name: &str| (Some(uid), TokenName::parse(name).ok());
        let at = |seconds| Instant::BOOT + Duration::from_secs(seconds);
        assert_eq!(audit.unlogged_before(refused(1, "a"), at(1)), Some(0));
        assert_eq!(audit.unlogged_before(refused(1, "a"), at(2)), None);
        assert_eq!(audit.unlogged_before(refused(1, "a"), at(10)), None);
        assert_eq!(audit.unlogged_before(refused(1, "b"), at(2)), Some(0));
        assert_eq!(audit.unlogged_before(refused(2, "a"), at(2)), Some(0));
        assert_eq!(audit.unlogged_before(refused(1, "a"), at(11)), Some(2));
        // However many names are tried, few lines are written and little is remembered.
        let tried =
            (0..1000).filter_map(|n| audit.unlogged_before(refused(3, &format!("t{n}")), at(12)));
        assert!(tried.count() <= MAX_SILENCED);
        assert!(audit.silenced.borrow().len() <= MAX_SILENCED + 1);
        assert_eq!(audit.unlogged_before(refused(3, "t0"), at(30)), Some(0));
        assert!(audit.unlogged_before(refused(3, "new"), at(30)).is_some());
    }
}
