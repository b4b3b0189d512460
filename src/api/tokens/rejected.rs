//! The hash that names a token which an API has rejected.

use aws_lc_rs::digest;

/// The SHA-256 of a token that an API has rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RejectedHash([u8; 32]);

impl RejectedHash {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(hash)
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`InvalidHash`], which does not repeat the text: it may be the token itself.
    pub fn parse(hex: &str) -> Result<Self, InvalidHash> {
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(InvalidHash);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).map_err(|_| InvalidHash)?;
        }
        Ok(Self(hash))
    }

    /// Writes the hash as 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The text is no SHA-256 in hex digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SHA-256: 64 hex digits")]
pub struct InvalidHash;
