//! What a failure means: the one place that decides.

use std::time::Duration;

use super::backoff::{RATE_LIMITED_CAP, UNAVAILABLE_CAP};
use super::event::{ErrorState, FailureKind, Use};
use super::held::Fate;
use super::policy::Grant;
use super::status::{Health, Reason};

/// What follows from a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    pub(super) state: ErrorState,
    pub(super) reason: Reason,
    /// When to try again.
    pub(super) retry: Retry,
    /// What becomes of the refresh token held.
    pub(super) refresh_token: Fate,
}

impl Verdict {
    /// How the token stands from now on.
    pub(super) fn health(&self) -> Health {
        Health::Failing {
            state: self.state,
            reason: self.reason,
        }
    }
}

/// When to try again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Retry {
    /// Exponentially later, at most this much.
    Backoff(Duration),
    /// When something changes or somebody asks.
    OnChange,
    /// In minutes, more after each of so many such failures, or at once when something changes.
    Slowly(u32),
    /// As soon as the floor permits: there is another way.
    Soon,
}

/// An error name unknown to us is transient this often in a row.
const PATIENCE: u32 = 5;

/// What a failure means. `streak` counts the consecutive failures of this kind. `maybe_spent`: an
/// earlier use of the same refresh token stayed unanswered. `seed_untried`: the configured refresh
/// token may be a new one.
pub(super) fn judge(
    (by, grant, kind): (Use, Grant, FailureKind),
    streak: u32,
    maybe_spent: bool,
    seed_untried: bool,
) -> Verdict {
    use ErrorState::{Denied, FixConfig, NeedsLogin, Transient};
    let verdict = |state, reason, retry| Verdict {
        state,
        reason,
        retry,
        refresh_token: Fate::Kept,
    };
    let later = |cap| verdict(Transient, Reason::LastError, Retry::Backoff(cap));
    let lost = if maybe_spent {
        Reason::RotationLost
    } else {
        Reason::RefreshTokenRefused
    };
    match (by, grant, kind) {
        (_, _, FailureKind::Denied) => verdict(Denied, Reason::LastError, Retry::Slowly(streak)),
        (_, _, FailureKind::Misconfigured)
        | (Use::Primary, Grant::ClientCredentials, FailureKind::GrantRefused) => {
            verdict(FixConfig, Reason::LastError, Retry::Slowly(streak))
        }
        (_, _, FailureKind::RateLimited) => later(RATE_LIMITED_CAP),
        (_, _, FailureKind::Unavailable) => later(UNAVAILABLE_CAP),
        // The token it is made from may have been revoked: its replacement gets its chance.
        (_, _, FailureKind::Unrecognized)
        | (Use::Primary, Grant::Exchange, FailureKind::GrantRefused)
            if streak <= PATIENCE =>
        {
            later(UNAVAILABLE_CAP)
        }
        (_, _, FailureKind::Unrecognized)
        | (Use::Primary, Grant::Exchange, FailureKind::GrantRefused) => verdict(
            FixConfig,
            Reason::LastError,
            Retry::Slowly(streak - PATIENCE),
        ),
        (Use::Primary, Grant::Password, FailureKind::GrantRefused) => {
            verdict(FixConfig, Reason::PasswordRefused, Retry::OnChange)
        }
        (Use::Primary, Grant::Login | Grant::RefreshToken, FailureKind::GrantRefused) => {
            verdict(NeedsLogin, lost, Retry::OnChange)
        }
        (Use::RefreshToken, grant, FailureKind::GrantRefused) => Verdict {
            refresh_token: Fate::SetAside,
            ..match grant {
                Grant::ClientCredentials | Grant::Exchange | Grant::Password => {
                    verdict(Transient, Reason::RefreshTokenRefused, Retry::Soon)
                }
                Grant::RefreshToken if seed_untried => verdict(NeedsLogin, lost, Retry::Soon),
                Grant::Login | Grant::RefreshToken => verdict(NeedsLogin, lost, Retry::OnChange),
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorState::{Denied, FixConfig, NeedsLogin, Transient};
    use FailureKind as Kind;
    use Grant::{ClientCredentials, Password, RefreshToken};

    const PRIMARY: Use = Use::Primary;
    const REFRESH: Use = Use::RefreshToken;

    #[test]
    fn a_refusal_depends_on_what_was_refused() {
        let table = [
            (
                (PRIMARY, ClientCredentials, Kind::GrantRefused),
                FixConfig,
                Retry::Slowly(1),
            ),
            (
                (PRIMARY, Password, Kind::GrantRefused),
                FixConfig,
                Retry::OnChange,
            ),
            (
                (PRIMARY, RefreshToken, Kind::GrantRefused),
                NeedsLogin,
                Retry::OnChange,
            ),
            (
                (REFRESH, Password, Kind::GrantRefused),
                Transient,
                Retry::Soon,
            ),
            (
                (REFRESH, RefreshToken, Kind::GrantRefused),
                NeedsLogin,
                Retry::OnChange,
            ),
        ];
        for (what, state, retry) in table {
            let verdict = judge(what, 1, false, false);
            assert_eq!((verdict.state, verdict.retry), (state, retry), "{what:?}");
            let fate = match what.0 {
                Use::Primary => Fate::Kept,
                Use::RefreshToken => Fate::SetAside,
            };
            assert_eq!(verdict.refresh_token, fate, "{what:?}");
        }
    }

    #[test]
    fn other_failures_do_not() {
        let any = [
            (Kind::Denied, Denied, Retry::Slowly(1)),
            (Kind::Misconfigured, FixConfig, Retry::Slowly(1)),
            (
                Kind::RateLimited,
                Transient,
                Retry::Backoff(RATE_LIMITED_CAP),
            ),
            (
                Kind::Unavailable,
                Transient,
                Retry::Backoff(UNAVAILABLE_CAP),
            ),
            (
                Kind::Unrecognized,
                Transient,
                Retry::Backoff(UNAVAILABLE_CAP),
            ),
        ];
        for by in [PRIMARY, REFRESH] {
            for grant in [ClientCredentials, Password, RefreshToken] {
                for (kind, state, retry) in any {
                    let verdict = judge((by, grant, kind), 1, true, true);
                    assert_eq!(
                        (verdict.state, verdict.retry),
                        (state, retry),
                        "{by:?} {kind:?}"
                    );
                    assert_eq!(verdict.refresh_token, Fate::Kept);
                }
            }
        }
    }

    #[test]
    fn patience_with_the_unrecognized_ends() {
        let state = |streak| {
            let what = (PRIMARY, ClientCredentials, Kind::Unrecognized);
            judge(what, streak, false, false).state
        };
        assert_eq!(
            (state(PATIENCE), state(PATIENCE + 1)),
            (Transient, FixConfig)
        );
    }

    #[test]
    fn an_unanswered_refresh_and_a_refusal_are_a_lost_rotation() {
        let refused = (REFRESH, RefreshToken, Kind::GrantRefused);
        assert_eq!(judge(refused, 1, true, false).reason, Reason::RotationLost);
        assert_eq!(
            judge(refused, 1, false, false).reason,
            Reason::RefreshTokenRefused
        );
        assert_eq!(judge(refused, 1, false, true).retry, Retry::Soon);
    }
}
