//! `[client.NAME.auth.*]`: how a client proves who it is.

use super::super::document::{ClientSecret, Documents, client_secret};
use super::super::keys::{Field, Keys};
use super::super::references::{TokenRef, platform_token_ref, secret};
use super::super::secret_ref::SecretRef;
use super::super::units::one_of;
use super::assertion::{
    ALG_HINT, AssertionConfig, HMAC_ALGS, HmacAlg, KEY_HINT, SIGNATURE_ALGS, SignatureAlg,
};

/// `[client.NAME.auth.*]`, by its registered name (RFC 7591, RFC 8705).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientAuth {
    /// A public client, which sends its `client_id` only.
    None,
    /// HTTP Basic with id and secret form-encoded first (RFC 6749 section 2.3.1).
    ClientSecretBasic {
        /// The secret.
        client_secret: ClientSecret,
    },
    /// HTTP Basic without that encoding, for servers that do not decode.
    ClientSecretBasicRaw {
        /// The secret.
        client_secret: ClientSecret,
    },
    /// An assertion that somebody else has made (RFC 7521 section 4.2). It is read at every
    /// request.
    ClientAssertion {
        /// Where the assertion is.
        client_assertion: TokenRef,
    },
    /// An HMAC-signed assertion (OpenID Connect Core section 9).
    ClientSecretJwt {
        /// The HMAC key.
        client_secret: ClientSecret,
        /// HS256, HS384 or HS512.
        alg: HmacAlg,
        /// What the assertion says.
        assertion: AssertionConfig,
    },
    /// `client_id` and `client_secret` in the body.
    ClientSecretPost {
        /// The secret.
        client_secret: ClientSecret,
    },
    /// An assertion signed with a private key (RFC 7523 section 2.2).
    PrivateKeyJwt {
        /// PEM, PKCS#1, PKCS#8 or SEC1.
        key: SecretRef,
        /// The signature algorithm.
        alg: SignatureAlg,
        /// What the assertion says.
        assertion: AssertionConfig,
    },
    /// The TLS client certificate of [`TlsConfig::identity`](super::TlsConfig::identity) (RFC 8705
    /// section 2), CA-issued or self-signed.
    TlsClientAuth,
}

impl ClientAuth {
    /// Reads `auth` or `refresh_auth`.
    pub(super) fn read(field: Field<'_>, documents: &Documents) -> Option<Self> {
        let (table, field, method) = field.kind(&METHODS, "client authentication method")?;
        let field = Field {
            table: &table,
            ..field
        };
        let mut keys = field.keys()?;
        match method {
            Method::None => {
                keys.finish();
                Some(Self::None)
            }
            Method::ClientSecretBasic => {
                let client_secret = only_secret(keys, documents)?;
                Some(Self::ClientSecretBasic { client_secret })
            }
            Method::ClientSecretBasicRaw => {
                let client_secret = only_secret(keys, documents)?;
                Some(Self::ClientSecretBasicRaw { client_secret })
            }
            Method::ClientAssertion => {
                let assertion =
                    keys.required("client_assertion", ASSERTION_HINT, platform_token_ref);
                keys.finish();
                assertion.map(|client_assertion| Self::ClientAssertion { client_assertion })
            }
            Method::ClientSecretJwt => client_secret_jwt(keys, documents),
            Method::ClientSecretPost => {
                let client_secret = only_secret(keys, documents)?;
                Some(Self::ClientSecretPost { client_secret })
            }
            Method::PrivateKeyJwt => private_key_jwt(keys),
            Method::TlsClientAuth => {
                keys.finish();
                Some(Self::TlsClientAuth)
            }
        }
    }

    /// The `client_secret`, if the method has one.
    pub(super) const fn client_secret(&self) -> Option<&ClientSecret> {
        match self {
            Self::ClientSecretBasic { client_secret }
            | Self::ClientSecretBasicRaw { client_secret }
            | Self::ClientSecretJwt { client_secret, .. }
            | Self::ClientSecretPost { client_secret } => Some(client_secret),
            Self::None
            | Self::ClientAssertion { .. }
            | Self::PrivateKeyJwt { .. }
            | Self::TlsClientAuth => None,
        }
    }

    /// The assertion that somebody else has made, if that is the method.
    pub(in crate::config) const fn client_assertion(&self) -> Option<&TokenRef> {
        match self {
            Self::ClientAssertion { client_assertion } => Some(client_assertion),
            Self::None
            | Self::ClientSecretBasic { .. }
            | Self::ClientSecretBasicRaw { .. }
            | Self::ClientSecretJwt { .. }
            | Self::ClientSecretPost { .. }
            | Self::PrivateKeyJwt { .. }
            | Self::TlsClientAuth => None,
        }
    }

    /// The secret that the method reads, unless it stands in a document or is one of bearerd's
    /// tokens.
    pub(super) fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::None | Self::TlsClientAuth => None,
            Self::ClientAssertion { client_assertion } => client_assertion.secret(),
            Self::ClientSecretBasic { client_secret }
            | Self::ClientSecretBasicRaw { client_secret }
            | Self::ClientSecretJwt { client_secret, .. }
            | Self::ClientSecretPost { client_secret } => match client_secret {
                ClientSecret::Document(_) => None,
                ClientSecret::Secret(secret) => Some(secret),
            },
            Self::PrivateKeyJwt { key, .. } => Some(key),
        }
    }

    /// What the assertion says that bearerd signs, if that is the method.
    pub(super) const fn assertion(&self) -> Option<&AssertionConfig> {
        match self {
            Self::ClientSecretJwt { assertion, .. } | Self::PrivateKeyJwt { assertion, .. } => {
                Some(assertion)
            }
            Self::None
            | Self::ClientAssertion { .. }
            | Self::ClientSecretBasic { .. }
            | Self::ClientSecretBasicRaw { .. }
            | Self::ClientSecretPost { .. }
            | Self::TlsClientAuth => None,
        }
    }
}

fn only_secret(mut keys: Keys<'_>, documents: &Documents) -> Option<ClientSecret> {
    let secret = keys.required("client_secret", SECRET_HINT, |field| {
        client_secret(field, documents)
    });
    keys.finish();
    secret
}

fn client_secret_jwt(mut keys: Keys<'_>, documents: &Documents) -> Option<ClientAuth> {
    let secret = keys.required("client_secret", SECRET_HINT, |field| {
        client_secret(field, documents)
    });
    let alg = match keys.has("alg") {
        true => keys.optional("alg", |alg| one_of(alg, &HMAC_ALGS)),
        false => Some(HmacAlg::HS256),
    };
    let assertion = AssertionConfig::read(keys);
    Some(ClientAuth::ClientSecretJwt {
        client_secret: secret?,
        alg: alg?,
        assertion: assertion?,
    })
}

fn private_key_jwt(mut keys: Keys<'_>) -> Option<ClientAuth> {
    let key = keys.required("key", KEY_HINT, secret);
    let alg = keys.required("alg", ALG_HINT, |alg| one_of(alg, &SIGNATURE_ALGS));
    let assertion = AssertionConfig::read(keys);
    Some(ClientAuth::PrivateKeyJwt {
        key: key?,
        alg: alg?,
        assertion: assertion?,
    })
}

/// A sub-table of `auth`, before it is read.
#[derive(Clone, Copy)]
enum Method {
    None,
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretJwt,
    ClientSecretPost,
    PrivateKeyJwt,
    TlsClientAuth,
}

/// Sub-tables of `auth`, by their registered names (RFC 7591, RFC 8705).
const METHODS: [(&str, Method); 9] = [
    ("client_assertion", Method::ClientAssertion),
    ("client_secret_basic", Method::ClientSecretBasic),
    ("client_secret_basic_raw", Method::ClientSecretBasicRaw),
    ("client_secret_jwt", Method::ClientSecretJwt),
    ("client_secret_post", Method::ClientSecretPost),
    ("private_key_jwt", Method::PrivateKeyJwt),
    ("tls_client_auth", Method::TlsClientAuth),
    // RFC 8705 registers two names; on this side of the connection they are the same.
    ("self_signed_tls_client_auth", Method::TlsClientAuth),
    ("none", Method::None),
];

/// The methods in a hint, the usual ones first.
pub(super) const METHODS_HINT: &str = "METHOD being client_secret_post, client_secret_basic, \
     client_secret_basic_raw, client_secret_jwt, private_key_jwt, client_assertion, \
     tls_client_auth, or none for a public client";

const ASSERTION_HINT: &str = "an assertion made elsewhere: \
     `client_assertion = { file = \"/var/run/secrets/…\" }`, or `{ token = \"NAME\" }`";
const SECRET_HINT: &str = "write `client_secret = { file = \"/etc/bearerd/secrets/NAME\" }`";
