//! The configured grant, and what is known of the credential that it goes by.

use super::event::ErrorState;
use super::policy::Grant;
use super::status::Reason;

/// The configured grant, and what is known of the credential that it goes by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Primary {
    /// `client_credentials` and its like.
    ClientCredentials,
    /// A token exchange, or an assertion made from another token.
    Exchange,
    /// A person logs in.
    Login,
    /// A password.
    Password {
        /// How many times it was refused since an input changed.
        refusals: u32,
    },
    /// A configured refresh token.
    RefreshToken(Seed),
}

impl Primary {
    /// A grant whose credential may be a new one.
    pub(super) fn new(grant: Grant) -> Self {
        match grant {
            Grant::ClientCredentials => Self::ClientCredentials,
            Grant::Exchange => Self::Exchange,
            Grant::Login => Self::Login,
            Grant::Password => Self::Password { refusals: 0 },
            Grant::RefreshToken => Self::RefreshToken(Seed::Untried),
        }
    }

    /// The server has refused the password, if there is one.
    pub(super) fn password_refused(&mut self) {
        if let Self::Password { refusals } = self {
            *refusals = refusals.saturating_add(1);
        }
    }

    /// The grant brought a token: the password is right, if there is one.
    pub(super) fn accepted(&mut self) {
        if let Self::Password { refusals } = self {
            *refusals = 0;
        }
    }

    /// Takes note of what is known of the seed, if there is one.
    pub(super) fn set_seed(&mut self, known: Seed) {
        if let Self::RefreshToken(seed) = self {
            *seed = known;
        }
    }

    /// Whether there is a seed that may be a new one.
    pub(super) fn has_untried_seed(&self) -> bool {
        matches!(self, Self::RefreshToken(Seed::Untried))
    }

    /// Whether there is a password that has not been refused.
    pub(super) fn has_unrefused_password(&self) -> bool {
        matches!(self, Self::Password { refusals: 0 })
    }

    /// Whether the password has been refused more than once.
    pub(super) fn is_refused_again(&self) -> bool {
        matches!(self, Self::Password { refusals: 2.. })
    }

    /// Why the grant is no way to a token, if it is none. `asked`: somebody wants a refused
    /// password tried again; `login` is why a person has to log in, where nothing else helps.
    pub(super) fn obstacle(&self, asked: bool, login: Reason) -> Option<(ErrorState, Reason)> {
        match self {
            Self::ClientCredentials
            | Self::Exchange
            | Self::Password { refusals: 0 }
            | Self::RefreshToken(Seed::Untried) => None,
            Self::Password { .. } if asked => None,
            Self::Password { .. } => Some((ErrorState::FixConfig, Reason::PasswordRefused)),
            Self::Login | Self::RefreshToken(Seed::Tried) => Some((ErrorState::NeedsLogin, login)),
        }
    }
}

/// What is known of a configured refresh token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seed {
    /// It may be a new one.
    Untried,
    /// It was used or refused, or a login or a logout took its place.
    Tried,
}
