//! Why an ID token is refused.

use std::fmt;

use crate::config::SignatureAlg;

/// Why an ID token is refused. Holds nothing of the token but `alg`, `typ`, `kid` and `iss`,
/// shortened and reduced to printable ASCII, so that it may be shown and logged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdTokenError {
    /// The access token beside it is not the one it was issued with (OpenID Connect Core 3.1.3.6).
    #[error("its at_hash does not fit the access token")]
    AccessTokenHash,
    /// `none`, an HMAC, an algorithm unknown to us, or one that this client does not expect.
    #[error("its alg \"{0}\" is not allowed")]
    Algorithm(String),
    /// More than one key could have signed it.
    #[error("more than one key of the provider's key set fits it")]
    AmbiguousKey,
    /// It was issued to another client.
    #[error("its aud does not name this client")]
    Audience,
    /// It is for several audiences, or has `azp`, and that is not this client.
    #[error("its azp does not name this client")]
    AuthorizedParty,
    /// A claim is of the wrong JSON type, or a time that is none.
    #[error("its claim {0} is malformed")]
    Claim(&'static str),
    /// A refreshed ID token speaks of another login (OpenID Connect Core 12.2).
    #[error("its {0} is not that of the login")]
    Discontinuous(&'static str),
    /// A member is there twice: two readers could see two different tokens.
    #[error("its {0} has a member twice")]
    Duplicate(Part),
    /// It is not base64url in its one canonical form.
    #[error("its {0} is not base64url without padding")]
    Encoding(Part),
    /// `exp` is past.
    #[error("it has expired")]
    Expired,
    /// `crit` or `b64`: an extension that changes what the signature means.
    #[error("its header has {0}, which is not supported")]
    Extension(&'static str),
    /// `alg`, `kid` or `typ` is missing or no string.
    #[error("its header parameter {0} is missing or malformed")]
    Header(&'static str),
    /// `iat` is to come.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// It is another provider's.
    #[error("its iss is \"{0}\"")]
    Issuer(String),
    /// A claim is missing that must be there.
    #[error("its claim {0} is missing")]
    Missing(&'static str),
    /// There is no key that may have signed it.
    #[error("no key of the provider's key set fits {alg:?}{}", with_kid(kid.as_ref()))]
    NoKey {
        /// The token's algorithm.
        alg: SignatureAlg,
        /// The key that the token names.
        kid: Option<String>,
    },
    /// It is that of another login.
    #[error("its nonce is not the one that was sent")]
    Nonce,
    /// It is not a JSON object.
    #[error("its {0} is no JSON object")]
    NotAnObject(Part),
    /// It is not the compact form of a JWS: it is encrypted, for example.
    #[error("it is not made of three parts")]
    NotThreeParts,
    /// `nbf` is to come.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It was not signed by the provider, or was changed since.
    #[error("its signature is wrong")]
    Signature,
    /// `iat` is longer ago than is allowed.
    #[error("it was issued too long ago")]
    Stale,
    /// It is larger than 64 KiB.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// `typ` says that it is another kind of JWT (RFC 8725 section 3.11).
    #[error("its typ is \"{0}\"")]
    Type(String),
}

/// A part of the compact form (RFC 7515 section 3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The claims.
    Payload,
    /// The signature.
    Signature,
}

impl IdTokenError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Algorithm(_) => Some(
                "have the provider sign ID tokens for this client with an RSA, EC or Ed25519 key",
            ),
            Self::Audience | Self::AuthorizedParty => {
                Some("check client_id; the provider may have mixed up two clients")
            }
            Self::Expired | Self::IssuedInFuture | Self::NotYetValid | Self::Stale => {
                Some("check this host's clock and the provider's")
            }
            Self::Issuer(_) => Some("write issuer exactly as the provider does"),
            Self::NotThreeParts => Some("have ID tokens for this client signed, and not encrypted"),
            Self::AccessTokenHash
            | Self::AmbiguousKey
            | Self::Claim(_)
            | Self::Discontinuous(_)
            | Self::Duplicate(_)
            | Self::Encoding(_)
            | Self::Extension(_)
            | Self::Header(_)
            | Self::Missing(_)
            | Self::NoKey { .. }
            | Self::Nonce
            | Self::NotAnObject(_)
            | Self::Signature
            | Self::TooLarge
            | Self::Type(_) => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// What an error shows of a value: printable ASCII, no quotes, not much of it.
pub(super) fn shown(value: &str) -> String {
    let printable = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    value.chars().filter(printable).take(SHOWN).collect()
}

fn with_kid(kid: Option<&String>) -> String {
    kid.map(|kid| format!(" and has kid \"{kid}\""))
        .unwrap_or_default()
}

/// Enough for a URL or a thumbprint.
const SHOWN: usize = 100;
