//! Decides who may do what with a token.

use super::peer::Peer;
use crate::config::{Allow, TokenConfig, Who};

/// What a caller may be allowed to do with a token.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Right {
    /// The right to read the token and to have it replaced. The token's `allow` gives it.
    Read,
    /// The right to log in for the token and to log out of it. The token's `login` gives it. It
    /// does not include reading the token.
    LogIn,
}

impl Right {
    /// The rules that say who has the right, beside root and the daemon's own user.
    #[must_use]
    pub fn rules(self, token: &TokenConfig) -> &[Allow] {
        match self {
            Self::Read => &token.allow,
            Self::LogIn => &token.login,
        }
    }
}

/// Why a peer may read a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grounds<'a> {
    /// The peer is the daemon's own user, who could read the daemon's memory anyway.
    OwnUser,
    /// The peer is root, who could do so, too.
    Root,
    /// An entry of the token's list allows it. This is the entry as it is written.
    Rule(&'a str),
}

impl Grounds<'_> {
    /// The grounds in words, as the log has them.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match self {
            Self::OwnUser => "the daemon's own user",
            Self::Root => "root",
            Self::Rule(written) => written,
        }
    }
}

/// Decides whether a peer has the right that `allow` lists the rules of, and on which grounds.
/// `None` means that it has not: neither is it root or the daemon's own user, nor does a rule name
/// it.
#[must_use]
pub fn authorize<'a>(peer: &Peer, own_uid: u32, allow: &'a [Allow]) -> Option<Grounds<'a>> {
    if peer.uid == 0 {
        return Some(Grounds::Root);
    }
    if peer.uid == own_uid {
        return Some(Grounds::OwnUser);
    }
    let names = |who: &Who| match who {
        Who::Group(gid) => peer.groups.contains(gid),
        Who::Unit(glob) => peer.unit.as_ref().is_some_and(|unit| matches(glob, unit)),
        Who::User(uid) => peer.uid == *uid,
    };
    let rule = allow.iter().find(|rule| names(&rule.who))?;
    Some(Grounds::Rule(&rule.written))
}

/// Says whether a glob matches a name. In the glob, `*` stands for any text and `?` for any
/// character.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The place of the last star in the glob, and the place in the name up to which it reaches.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match (glob.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, read));
                at += 1;
            }
            (Some(c), _) if *c == '?' || *c == name[read] => {
                at += 1;
                read += 1;
            }
            (_, Some((star_at, reach))) => {
                star = Some((star_at, reach + 1));
                at = star_at + 1;
                read = reach + 1;
            }
            (_, None) => return false,
        }
    }
    glob[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(written: &str) -> Allow {
        let (kind, who) = written.split_once(':').unwrap();
        let who = match kind {
            "user" => Who::User(who.parse().unwrap()),
            "group" => Who::Group(who.parse().unwrap()),
            _ => Who::Unit(who.into()),
        };
        let written = written.into();
        Allow { written, who }
    }

    /// uid, groups, unit, allow list, and the grounds on which it is allowed.
    type Case = (
        u32,
        &'static [u32],
        Option<&'static str>,
        &'static [&'static str],
        Option<&'static str>,
    );

    const OWN: u32 = 990;
    const CASES: &[Case] = &[
        (0, &[0], None, &[], Some("root")),
        (OWN, &[OWN], None, &[], Some("the daemon's own user")),
        (1000, &[1000], None, &[], None),
        (65534, &[65534], None, &[], None),
        (u32::MAX, &[u32::MAX], None, &[], None),
        // A group's id is not a user's.
        (1000, &[0], None, &[], None),
        (1000, &[OWN], None, &["user:990"], None),
        (33, &[1000], None, &["group:33"], None),
        (33, &[33], None, &["user:33"], Some("user:33")),
        (33, &[33], None, &["user:34", "user:33"], Some("user:33")),
        (1000, &[1000, 50, 60], None, &["group:60"], Some("group:60")),
        (1000, &[1000], None, &["group:60", "unit:*"], None),
        (
            1000,
            &[1000],
            Some("reports@1.service"),
            &["user:1", "unit:reports@*.service"],
            Some("unit:reports@*.service"),
        ),
        (
            1000,
            &[1000],
            Some("user@1000.service"),
            &["unit:reports*.service"],
            None,
        ),
        (0, &[0], None, &["user:1"], Some("root")),
    ];

    #[test]
    fn who_may_read() {
        for (uid, groups, unit, allow, expected) in CASES {
            let peer = Peer {
                uid: *uid,
                pid: None,
                groups: groups.to_vec(),
                unit: unit.map(str::to_owned),
                uncertain: None,
            };
            let allow: Vec<Allow> = allow.iter().map(|written| rule(written)).collect();
            let grounds = authorize(&peer, OWN, &allow);
            let grounds = grounds.as_ref().map(Grounds::as_str);
            assert_eq!(grounds, *expected, "{peer:?} {allow:?}");
        }
    }

    #[test]
    fn globs() {
        for (glob, name) in [
            ("a.service", "a.service"),
            ("*", "a.service"),
            ("a*.service", "a.service"),
            ("a@*.service", "a@x.y.service"),
            ("*a*b*", "xaybz"),
            ("?.service", "ü.service"),
            ("*.service*", "a.service"),
        ] {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in [
            ("a.service", "aa.service"),
            ("a.service", "a.service2"),
            ("a?.service", "a.service"),
            ("a*.service", "b-a.service"),
            ("a@*.service", "a@x.scope"),
            ("", "a"),
            ("A.service", "a.service"),
        ] {
            assert!(!matches(glob, name), "{glob} {name}");
        }
        // Bounded: no glob takes for ever.
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }
}
