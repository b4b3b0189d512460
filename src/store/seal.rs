//! Sealing of the durable state: AES-256-GCM under a key that systemd hands over.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::atomic_file::{Directory, WriteError};
use crate::config::Environment;

/// How state files are protected.
#[derive(Clone, Debug)]
pub enum Sealer {
    /// They are sealed with the key derived from the credential `bearerd-state-key`.
    Aes256Gcm(Arc<StateKey>),
    /// They are protected by their mode (0600) alone, of which administrators are to be warned.
    None,
}

/// The key that state files are sealed with.
#[derive(Debug)]
pub struct StateKey {
    key: RandomizedNonceKey,
    /// Tells "another key" from "tampered with". It is derived beside the key, so that it gives
    /// nothing away.
    id: [u8; 8],
}

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum SealerError {
    /// The credential exists and cannot be read.
    #[error("cannot read credential {STATE_KEY}")]
    Unreadable(#[source] WriteError),
    /// The credential is too short to be a key.
    #[error("credential {STATE_KEY} has {0} bytes, fewer than 32")]
    TooShort(usize),
    /// The cryptographic library refuses to derive a key.
    #[error("cannot derive a key from credential {STATE_KEY}")]
    Refused,
}

/// Why a sealed record cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// There is no key.
    #[error("it is sealed and there is no credential {STATE_KEY}")]
    NoKey,
    /// The record is sealed with a key that is not the present one.
    #[error("it is sealed with another key than the present {STATE_KEY}")]
    OtherKey,
    /// The record was changed since it was sealed, or it is another token's.
    #[error("it was changed after it was sealed, or belongs to another token")]
    Tampered,
}

/// The key refused to seal. Nothing that a caller does leads here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot seal the state")]
pub struct SealError;

/// A sealed record as it stands in its file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    key_id: [u8; 8],
    nonce: [u8; 12],
    /// The sealed bytes in Base64.
    ciphertext: String,
}

impl Sealer {
    /// Takes the key from `$CREDENTIALS_DIRECTORY/bearerd-state-key`; [`Sealer::None`] where there
    /// is none.
    ///
    /// # Errors
    /// [`SealerError`] when the credential is there and of no use: to go on unsealed would be a
    /// surprise.
    pub fn from_environment(environment: &Environment) -> Result<Self, SealerError> {
        let Some(directory) = environment.directory("CREDENTIALS_DIRECTORY") else {
            return Ok(Self::None);
        };
        let read = Directory::open(&directory).and_then(|d| d.read(STATE_KEY.as_ref(), MAX_KEY));
        match read {
            Ok((key, _)) => Self::from_key(&key),
            Err(WriteError::Failed { cause, .. }) if cause == Errno::NOENT => Ok(Self::None),
            Err(e) => Err(SealerError::Unreadable(e)),
        }
    }

    /// Derives the key from at least 32 bytes.
    ///
    /// # Errors
    /// [`SealerError`] when they are fewer.
    pub fn from_key(bytes: &[u8]) -> Result<Self, SealerError> {
        if bytes.len() < 32 {
            return Err(SealerError::TooShort(bytes.len()));
        }
        let derived = Salt::new(HKDF_SHA256, b"bearerd").extract(bytes);
        let expand = |purpose: &[u8], out: &mut [u8]| {
            derived
                .expand(&[purpose], Length(out.len()))
                .and_then(|okm| okm.fill(out))
                .map_err(|_| SealerError::Refused)
        };
        let mut key = Zeroizing::new([0_u8; 32]);
        expand(b"state file key", &mut *key)?;
        let mut id = [0_u8; 8];
        expand(b"state file key id", &mut id)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| SealerError::Refused)?;
        Ok(Self::Aes256Gcm(Arc::new(StateKey { key, id })))
    }
}

impl StateKey {
    pub(super) fn seal(
        &self,
        bound_to: &str,
        mut record: Zeroizing<Vec<u8>>,
    ) -> Result<Sealed, SealError> {
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(associated(bound_to)), &mut *record)
            .map_err(|_| SealError)?;
        Ok(Sealed {
            key_id: self.id,
            nonce: *nonce.as_ref(),
            ciphertext: STANDARD.encode(&*record),
        })
    }

    pub(super) fn open(
        &self,
        bound_to: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.key_id != self.id {
            return Err(OpenError::OtherKey);
        }
        let decoded = STANDARD.decode(&sealed.ciphertext);
        let mut record = Zeroizing::new(decoded.map_err(|_| OpenError::Tampered)?);
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(associated(bound_to)), &mut record)
            .map_err(|_| OpenError::Tampered)?
            .len();
        record.truncate(opened);
        Ok(record)
    }
}

/// What a record is bound to: the format, so that none is read as another's, and the token's name,
/// so that files cannot be swapped.
fn associated(bound_to: &str) -> Vec<u8> {
    format!("bearerd state 1\0{bound_to}").into_bytes()
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

const STATE_KEY: &str = "bearerd-state-key";

const MAX_KEY: usize = 64 << 10;
