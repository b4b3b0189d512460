//! Says who asks, and whether they may.

use tokio::net::UnixStream;

use super::peer::Peer;
use super::rights::{Grounds, authorize};
use crate::config::{Allow, TokenConfig};

/// A peer and the user that the daemon runs as. Together they decide what the peer may see.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who has connected. It is `None` where the kernel does not say, and then no rule names the
    /// caller.
    pub peer: Option<Peer>,
    /// The user that the daemon runs as.
    pub own_uid: u32,
}

impl Caller {
    /// Finds out who is behind a connection.
    #[must_use]
    pub fn of(stream: &UnixStream, own_uid: u32) -> Self {
        let peer = Peer::of(stream).map(|peer| match peer.uid {
            uid if uid == 0 || uid == own_uid => peer,
            _ => peer.with_process(stream),
        });
        Self { peer, own_uid }
    }

    /// Says whether the caller is root or the daemon's own user.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.grounds(&[]).is_some()
    }

    /// Says whether the caller may learn of a token.
    #[must_use]
    pub fn may_see(&self, token: &TokenConfig) -> bool {
        self.grounds(&token.allow).is_some()
    }

    /// The grounds on which these rules allow the caller something, as [`authorize`] decides.
    #[must_use]
    pub fn grounds<'a>(&self, allow: &'a [Allow]) -> Option<Grounds<'a>> {
        authorize(self.peer.as_ref()?, self.own_uid, allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Who;

    #[test]
    fn whom_the_kernel_does_not_name_is_nobody() {
        let caller = Caller {
            peer: None,
            own_uid: 990,
        };
        assert!(!caller.is_trusted());
        let rule = |written: &str, who| Allow {
            written: written.into(),
            who,
        };
        let allow = [
            rule("unit:*", Who::Unit("*".into())),
            rule("user:0", Who::User(0)),
        ];
        assert_eq!(caller.grounds(&allow), None);
    }
}
