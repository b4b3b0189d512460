//! What the core knows of a configured token.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::FLOOR;
use super::prng::fraction_of;
use crate::credential::{TokenName, Validity};
use crate::instant::Instant;

/// An authorization server: the issuer, or the token endpoint's origin. Its limiter and circuit
/// breaker are shared by all tokens that come from it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerId(pub Arc<str>);

/// How one token is to be kept fresh.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The authorization server that it comes from.
    pub server: ServerId,
    /// How much that server may be asked. Where several tokens of one server differ, the smallest
    /// limit counts.
    pub limits: Limits,
    /// What the configured grant permits.
    pub grant: Grant,
    /// When to replace the token.
    pub refresh_at: RefreshAt,
    /// After how long a request counts as lost.
    pub deadline: Duration,
    /// The tokens that its requests carry.
    pub parents: Vec<Parent>,
    /// Whether the token is obtained anew when one of its parents was replaced.
    pub follows_parents: bool,
    /// After how long without use the server drops a refresh token, where it does so and does not
    /// say it.
    pub inactivity: Option<Duration>,
    /// People are told this long before somebody has to log in.
    pub login_notice: Duration,
    /// How long after its first use a rotated refresh token may be used again.
    pub rotation_grace: Duration,
    /// Names everything that decides *what* is obtained (server, client, grant, scope, parameters,
    /// but no secret). When it changes, the token is obtained anew and the refresh token is set
    /// aside.
    pub identity: [u8; 16],
}

/// A token that another token's requests carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parent {
    /// The name of that token.
    pub name: TokenName,
    /// The part of it that a request carries.
    pub part: Part,
    /// Whether the refresh token grant needs it, too: it proves who the client is (RFC 7523 section
    /// 2.2).
    pub on_refresh: bool,
}

/// The part of a token that another token is made from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// The access token (`access_token`).
    AccessToken,
    /// The ID token (`id_token`).
    IdToken,
    /// The refresh token (`refresh_token`).
    RefreshToken,
}

/// Bounds on the requests to one authorization server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests under way at once.
    pub max_in_flight: u32,
    /// Requests a minute, where the server's operator has published a figure.
    pub requests_per_minute: Option<u32>,
}

/// What the configured grant permits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// It may be repeated without harm (`client_credentials`).
    ClientCredentials,
    /// It may be repeated while the parents hold (`token_exchange`). A refresh token that it brings
    /// is used first.
    Exchange,
    /// A person logs in (`authorization_code`, `device_code`). From then on, only the refresh token
    /// held brings the next one.
    Login,
    /// It may be repeated, but a refusal must not be: accounts get locked.
    Password,
    /// A seed refresh token is used once. From then on, only the refresh token held brings the next
    /// one.
    RefreshToken,
}

/// When to replace a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefreshAt {
    /// When this many thousandths of its lifetime have passed.
    Permille(u16),
    /// When it expires this soon.
    BeforeExpiry(Duration),
}

impl Grant {
    /// Whether nothing but a person can replace a refresh token that is lost. Where no person is
    /// needed, the configured grant can be repeated: a first request spends nothing.
    #[must_use]
    pub const fn needs_person(self) -> bool {
        match self {
            Self::ClientCredentials | Self::Exchange | Self::Password => false,
            Self::Login | Self::RefreshToken => true,
        }
    }
}

impl Policy {
    /// Whether the tokens obtained under the other policy are as good as those under this one.
    pub(super) fn obtains_the_same_as(&self, other: &Self) -> bool {
        (self.identity, &self.server, self.grant) == (other.identity, &other.server, other.grant)
    }

    /// When the token held is to be replaced. `jitter` is this token's stable share of the spread,
    /// as 64 bits: not to have thousands of tokens obtained together also replaced together.
    pub(super) fn refresh_due(&self, held: &Validity, jitter: u64) -> Instant {
        let due = held.obtained_at
            + self
                .refresh_at
                .offset(held.expires_at - held.obtained_at, jitter);
        match (self.grant, held.refresh) {
            // Nothing can be done before a person has to.
            (Grant::Login, None) => held.expires_at,
            // Nothing but the refresh token can bring the next one: use it while it lives.
            (grant, Some(refresh)) if grant.needs_person() => {
                let unused = self.inactivity.map(|limit| held.obtained_at + limit);
                let ends = [refresh.expires_at, unused].into_iter().flatten();
                ends.map(|ends_at| held.obtained_at + (ends_at - held.obtained_at) / 4 * 3)
                    .fold(due, Instant::min)
            }
            _ => due,
        }
    }
}

impl RefreshAt {
    /// How long after the request was sent its token is to be replaced: not before half the
    /// lifetime, and while a margin is left, however the setting reads.
    fn offset(self, lifetime: Duration, jitter: u64) -> Duration {
        let (wanted, spread) = match self {
            Self::Permille(permille) => {
                let wanted = lifetime / 1000 * u32::from(permille.min(1000));
                (wanted, wanted / 10)
            }
            Self::BeforeExpiry(lead) => (lifetime.saturating_sub(lead), lead / 10),
        };
        let latest = lifetime - MARGIN.min(lifetime / 4);
        let offset = wanted
            .saturating_sub(fraction_of(spread, jitter))
            .min(latest);
        offset.max(lifetime / 2).max(FLOOR)
    }
}

/// A replacement is begun this long before expiry at the latest.
const MARGIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::RefreshValidity;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fraction_of_the_lifetime_less_jitter() {
        let at = RefreshAt::Permille(750);
        assert_eq!(at.offset(HOUR, 0), Duration::from_secs(2700));
        assert!(at.offset(HOUR, u64::MAX) > Duration::from_secs(2430));
        assert!(at.offset(HOUR, u64::MAX) < Duration::from_secs(2431));
    }

    #[test]
    fn not_before_half_the_lifetime_and_not_without_a_margin() {
        for jitter in [0, u64::MAX] {
            assert_eq!(RefreshAt::Permille(10).offset(HOUR, jitter), HOUR / 2);
            assert_eq!(
                RefreshAt::BeforeExpiry(HOUR * 9).offset(HOUR, jitter),
                HOUR / 2
            );
            assert_eq!(
                RefreshAt::BeforeExpiry(Duration::MAX).offset(HOUR, jitter),
                HOUR / 2
            );
        }
        assert_eq!(RefreshAt::Permille(u16::MAX).offset(HOUR, 0), HOUR - MARGIN);
        assert_eq!(
            RefreshAt::BeforeExpiry(Duration::ZERO).offset(HOUR, 0),
            HOUR - MARGIN
        );
        assert_eq!(
            RefreshAt::Permille(1000).offset(SECOND * 20, 0),
            SECOND * 15
        );
    }

    #[test]
    fn absurd_lifetimes() {
        assert_eq!(RefreshAt::Permille(750).offset(Duration::ZERO, 0), FLOOR);
        assert_eq!(RefreshAt::Permille(750).offset(SECOND, u64::MAX), FLOOR);
        let latest = Duration::MAX - MARGIN;
        assert!(RefreshAt::Permille(1000).offset(Duration::MAX, u64::MAX) <= latest);
        assert!(RefreshAt::Permille(1000).offset(Duration::MAX, u64::MAX) >= Duration::MAX / 2);
    }

    #[test]
    fn a_lone_refresh_token_is_used_while_it_lives() {
        let mut policy = Policy {
            server: ServerId("a".into()),
            limits: Limits {
                max_in_flight: 1,
                requests_per_minute: None,
            },
            grant: Grant::RefreshToken,
            refresh_at: RefreshAt::Permille(800),
            deadline: SECOND,
            parents: Vec::new(),
            follows_parents: false,
            inactivity: None,
            login_notice: HOUR,
            rotation_grace: Duration::ZERO,
            identity: [0; 16],
        };
        let refresh = RefreshValidity {
            expires_at: Some(Instant::BOOT + HOUR / 6),
        };
        let mut held = Validity {
            obtained_at: Instant::BOOT,
            expires_at: Instant::BOOT + HOUR,
            refresh: Some(refresh),
            id_token_expires_at: None,
        };
        assert_eq!(policy.refresh_due(&held, 0), Instant::BOOT + HOUR / 8);
        policy.inactivity = Some(HOUR / 10);
        let unused = Instant::BOOT + HOUR / 40 * 3;
        assert_eq!(policy.refresh_due(&held, 0), unused);
        held.refresh = Some(RefreshValidity { expires_at: None });
        assert_eq!(policy.refresh_due(&held, 0), unused);
        policy.grant = Grant::Password;
        assert_eq!(policy.refresh_due(&held, 0), Instant::BOOT + HOUR / 5 * 4);
    }
}
