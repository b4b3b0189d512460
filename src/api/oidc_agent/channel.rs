//! Reads and writes oidc-agent's messages.
//!
//! A JSON object is a request in the clear. All else is a public key. It is answered with ours, and
//! then messages come in NaCl's `crypto_box`: `LENGTH:NONCE:CIPHERTEXT`, nonce and ciphertext in
//! base64. On a Unix socket the kernel keeps others out already, but the clients insist on it.

use std::io;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use salsa20::cipher::consts::U10;
use salsa20::{Key, hsalsa};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("encryption failed")]
    Crypto,
    #[error("the connection has ended")]
    Ended(#[from] io::Error),
    #[error("this is neither a JSON object nor a public key and an encrypted message")]
    Malformed,
    #[error("the request is above 8 KiB")]
    TooLarge,
}

/// A client's connection, in the clear or encrypted.
pub(super) struct Channel<S> {
    stream: S,
    /// The cipher is set once keys have been exchanged.
    cipher: Option<XSalsa20Poly1305>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Channel<S> {
    pub(super) const fn new(stream: S) -> Self {
        let cipher = None;
        Self { stream, cipher }
    }

    /// Reads the request, and decrypts it if it is encrypted.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, ChannelError> {
        let first = self.read_whole(first_message_ends).await?;
        if first.starts_with(b"{") {
            return Ok(first);
        }
        let private = PrivateKey::generate(&X25519).map_err(|_| ChannelError::Crypto)?;
        let public = private
            .compute_public_key()
            .map_err(|_| ChannelError::Crypto)?;
        let cipher = agree(&private, &first)?;
        let public = BASE64_STANDARD.encode(public);
        self.stream.write_all(public.as_bytes()).await?;
        let sealed = self.read_whole(sealed_message_ends).await?;
        let request = open(&cipher, &sealed)?;
        self.cipher = Some(cipher);
        Ok(request)
    }

    /// Sends one message, encrypted if the request was. It is sent in one piece, as clients take
    /// what one read gives for the whole message.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        match &self.cipher {
            Some(cipher) => {
                let sealed = seal(cipher, message)?;
                self.stream.write_all(sealed.as_bytes()).await?;
            }
            None => self.stream.write_all(message).await?,
        }
        Ok(self.stream.shutdown().await?)
    }

    async fn read_whole(&mut self, ends: fn(&[u8]) -> bool) -> Result<Vec<u8>, ChannelError> {
        let mut message = Vec::new();
        let mut piece = [0; 1024];
        while !ends(&message) {
            let n = self.stream.read(&mut piece).await?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            message.extend_from_slice(piece.get(..n).unwrap_or_default());
            if message.len() > MAX_REQUEST {
                return Err(ChannelError::TooLarge);
            }
        }
        Ok(message)
    }
}

/// Says whether a JSON object or a public key is complete, or can no longer become one.
fn first_message_ends(message: &[u8]) -> bool {
    match message.first() {
        Some(b'{') => {
            let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(message);
            !parsed.is_err_and(|error| error.is_eof())
        }
        Some(_) => message.len() >= PUBLIC_KEY_IN_BASE64,
        None => false,
    }
}

/// Says whether `LENGTH:NONCE:CIPHERTEXT` is complete, or can no longer become that.
fn sealed_message_ends(message: &[u8]) -> bool {
    let mut parts = message.splitn(3, |byte| *byte == b':');
    let length = parts.next().unwrap_or_default();
    let length = std::str::from_utf8(length).ok();
    let Some(length) = length.and_then(|length| length.parse::<usize>().ok()) else {
        return message.len() > LENGTH_DIGITS || message.contains(&b':');
    };
    let expected = length.saturating_add(TAG).div_ceil(3).saturating_mul(4);
    match (parts.next(), parts.next()) {
        (Some(_), Some(ciphertext)) => ciphertext.len() >= expected,
        _ => false,
    }
}

/// Agrees on a key as `crypto_box_beforenm` does: X25519, then HSalsa20 over zeros.
fn agree(private: &PrivateKey, public: &[u8]) -> Result<XSalsa20Poly1305, ChannelError> {
    let public = BASE64_STANDARD.decode(public.trim_ascii_end());
    let public = public.map_err(|_| ChannelError::Malformed)?;
    let public = UnparsedPublicKey::new(&X25519, public);
    agreement::agree(private, public, ChannelError::Malformed, |shared| {
        let shared = Zeroizing::new(<[u8; 32]>::try_from(shared).unwrap_or_default());
        let key = hsalsa::<U10>(Key::from_slice(&*shared), &[0; 16].into());
        Ok(XSalsa20Poly1305::new(&key))
    })
}

fn open(cipher: &XSalsa20Poly1305, message: &[u8]) -> Result<Vec<u8>, ChannelError> {
    let mut parts = message.trim_ascii_end().splitn(3, |byte| *byte == b':');
    let (_, nonce, ciphertext) = (parts.next(), parts.next(), parts.next());
    let decode = |part: Option<&[u8]>| {
        let decoded = part.and_then(|part| BASE64_STANDARD.decode(part).ok());
        decoded.ok_or(ChannelError::Malformed)
    };
    let (nonce, ciphertext) = (decode(nonce)?, decode(ciphertext)?);
    let nonce = <[u8; 24]>::try_from(nonce).map_err(|_| ChannelError::Malformed)?;
    let opened = cipher.decrypt(&Nonce::from(nonce), ciphertext.as_slice());
    opened.map_err(|_| ChannelError::Malformed)
}

fn seal(cipher: &XSalsa20Poly1305, message: &[u8]) -> Result<String, ChannelError> {
    let mut nonce = [0; 24];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| ChannelError::Crypto)?;
    let sealed = cipher.encrypt(&Nonce::from(nonce), message);
    let sealed = BASE64_STANDARD.encode(sealed.map_err(|_| ChannelError::Crypto)?);
    let nonce = BASE64_STANDARD.encode(nonce);
    Ok(format!("{}:{nonce}:{sealed}", message.len()))
}

const MAX_REQUEST: usize = 8 * 1024;
/// How long a public key of 32 bytes is in base64.
const PUBLIC_KEY_IN_BASE64: usize = 44;
/// How many digits the length of a request has at most.
const LENGTH_DIGITS: usize = 4;
/// How many bytes Poly1305 puts before the encrypted bytes.
const TAG: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages() {
        for whole in [
            &b"{}"[..],
            b"{\"request\":\"x\"}",
            b"{]",
            b"{} {}",
            &[b'A'; 44],
            &[0; 100],
        ] {
            assert!(first_message_ends(whole), "{whole:?}");
        }
        for part in [&b""[..], b"{", b"{\"request\":", b"{\"a\":{}", &[b'A'; 43]] {
            assert!(!first_message_ends(part), "{part:?}");
        }
    }

    #[test]
    fn sealed_messages() {
        // 2 + 16 bytes are 24 in base64.
        let whole = format!("2:{}:{}", "n".repeat(32), "c".repeat(24));
        assert!(sealed_message_ends(whole.as_bytes()));
        for end in 0..whole.len() {
            assert!(!sealed_message_ends(&whole.as_bytes()[..end]), "{end}");
        }
        for never in ["x:", ":", "-1:n:c", "nonsense", "99999999999999999999:"] {
            assert!(sealed_message_ends(never.as_bytes()), "{never}");
        }
        assert!(!sealed_message_ends(b"18446744073709551615:n:c"));
    }

    /// PyNaCl has made the message, to the private key 01…01 from 02…02.
    #[test]
    fn opens_what_nacl_has_sealed() {
        let theirs = "zo060cy2M+x7cMF4FKXHbs0CloUFDTRHRboFhw5YfVk=";
        let message = "29:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD:\
                       7gHTLjPPoersKwXTsDZpzpgJDWpaY1/dUCIcVRbFoZ+vPv/UC3dlkTgvwGQP";
        let private = PrivateKey::from_private_key(&X25519, &[1; 32]).unwrap();
        let cipher = agree(&private, theirs.as_bytes()).unwrap();
        let opened = open(&cipher, message.as_bytes()).unwrap();
        assert_eq!(opened, b"{\"request\":\"loaded_accounts\"}");
        let sealed = seal(&cipher, b"hello").unwrap();
        assert_eq!(open(&cipher, sealed.as_bytes()).unwrap(), b"hello");
        let mut changed = sealed.into_bytes();
        let last = changed.len() - 2;
        changed[last] ^= 1;
        assert!(open(&cipher, &changed).is_err());
        // A point of small order would make the key known to everybody.
        let zero = BASE64_STANDARD.encode([0; 32]);
        assert!(agree(&private, zero.as_bytes()).is_err());
        assert!(agree(&private, b"x").is_err());
    }
}
