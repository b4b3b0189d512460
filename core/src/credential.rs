//! Names of tokens, and when they hold.

use std::fmt;
use std::sync::Arc;

use crate::instant::Instant;

/// The name of a configured token: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or
/// digit.
///
/// It becomes a file name and a path segment of the HTTP API, hence the narrow alphabet.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenName(Arc<str>);

/// A name that [`TokenName::parse`] refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidTokenName;

impl fmt::Display for InvalidTokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit")
    }
}

impl std::error::Error for InvalidTokenName {}

impl TokenName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidTokenName`] for one outside the alphabet or the length.
    pub fn parse(name: &str) -> Result<Self, InvalidTokenName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let first_ok = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if first_ok && name.len() <= 64 && name.chars().all(allowed) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidTokenName)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a token was asked for and until when it holds. All the core ever sees of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// The instant its request was *sent*: lifetimes count from there, so that a slow answer cannot
    /// make a token look younger than it is.
    pub obtained_at: Instant,
    /// The access token is not to be used from here on.
    pub expires_at: Instant,
    /// The refresh token that came with it or that it keeps, if any.
    pub refresh: Option<RefreshValidity>,
    /// Until when the ID token that came with it may be used, if one did.
    pub id_token_expires_at: Option<Instant>,
}

/// Until when a refresh token may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RefreshValidity {
    /// `None`: the server named no limit, which is not the same as "never expires".
    pub expires_at: Option<Instant>,
}

impl RefreshValidity {
    /// Whether it may be used now, as far as is known.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenName;

    #[test]
    fn names() {
        for good in ["lev", "a", "9", "nhs_user.v2-x", &"a".repeat(64)] {
            assert!(TokenName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-x",
            "_x",
            "a/b",
            "a b",
            "ä",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(TokenName::parse(bad).is_err(), "{bad}");
        }
    }
}
