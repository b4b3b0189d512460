//! Who asks, by the kernel's word, and whether they may.

use tokio::net::UnixStream;

/// The process that connected, as the kernel recorded it then (`SO_PEERCRED`, `unix(7)`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Its effective user id.
    pub uid: u32,
    /// Its process id, for the log only: it may be somebody else's by now.
    pub pid: Option<i32>,
}

impl Peer {
    /// Asks the kernel; `None` when it does not say.
    #[must_use]
    pub fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        Some(Self {
            uid: credentials.uid(),
            pid: credentials.pid(),
        })
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// To learn whether the daemon lives and is ready.
    ReadHealth,
    /// To learn how tokens stand, but not their values.
    ReadStatus,
    /// To read a token.
    ReadToken,
    /// To have a token replaced.
    Refresh,
}

/// The answer to "may this peer do that?".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
}

/// Decides. Denied unless a rule allows it; a peer that the kernel does not name is nobody.
///
/// - root may do everything: it could read the daemon's memory anyway;
/// - so may the daemon's own user (`own_uid`), for the same reason.
#[must_use]
pub fn authorize(peer: Option<Peer>, own_uid: u32, right: Right) -> Decision {
    let Some(peer) = peer else {
        return Decision::Denied;
    };
    match right {
        Right::ReadHealth | Right::ReadStatus | Right::ReadToken | Right::Refresh
            if peer.uid == 0 || peer.uid == own_uid =>
        {
            Decision::Allowed
        }
        _ => Decision::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_own_user_only() {
        let peer = |uid| Some(Peer { uid, pid: None });
        for right in [
            Right::ReadHealth,
            Right::ReadStatus,
            Right::ReadToken,
            Right::Refresh,
        ] {
            let decide = |peer| authorize(peer, 990, right);
            assert_eq!(decide(peer(0)), Decision::Allowed);
            assert_eq!(decide(peer(990)), Decision::Allowed);
            assert_eq!(decide(peer(991)), Decision::Denied);
            assert_eq!(decide(peer(65534)), Decision::Denied);
            assert_eq!(decide(peer(u32::MAX)), Decision::Denied);
            assert_eq!(decide(None), Decision::Denied);
        }
    }
}
