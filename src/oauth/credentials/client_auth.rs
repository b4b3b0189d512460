//! How the client proves who it is: secrets read and keys parsed, once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;

use super::assertion::{Party, Signer};
use super::error::CredentialsError;
use super::secret;
use super::values::Values;
use crate::config::{ClientAuth, ClientId, ClientSecret, Environment, TokenRef};

/// A client's credentials, ready for use.
pub(in crate::oauth) enum Credentials {
    /// `client_id` in the body and nothing more: `none`, and `tls_client_auth`, where the handshake
    /// proves the rest (RFC 8705 section 2).
    Id,
    /// HTTP Basic (RFC 7617).
    Basic {
        /// What follows the scheme in the `Authorization` header.
        encoded: SecretString,
        /// The secret in it.
        client_secret: SecretString,
    },
    /// `client_id` and `client_secret` in the body.
    Post(SecretString),
    /// A `client_assertion` that bearerd signs.
    Assertion(Arc<Signer>),
    /// A `client_assertion` that somebody else makes: it is read at each request, since it lives
    /// for minutes.
    Made(TokenRef),
}

impl Credentials {
    /// Reads the secrets and parses the keys of a client.
    pub(in crate::oauth) fn load(
        auth: &ClientAuth,
        client_id: &str,
        environment: &Environment,
        values: &Values,
    ) -> Result<Self, CredentialsError> {
        let secret_of = |secret: &ClientSecret| match secret {
            ClientSecret::Document(place) => values.at("client_secret", place).cloned(),
            ClientSecret::Secret(secret) => secret::read("client_secret", secret, environment),
        };
        let party = |what| Party {
            issuer: client_id,
            subject: Some(client_id),
            what,
        };
        match auth {
            ClientAuth::None | ClientAuth::TlsClientAuth => Ok(Self::Id),
            ClientAuth::ClientAssertion { client_assertion } => {
                Ok(Self::Made(client_assertion.clone()))
            }
            ClientAuth::ClientSecretBasic { client_secret } => {
                let client_secret = secret_of(client_secret)?;
                let secret = SecretString::from(form_encoded(client_secret.expose_secret()));
                Ok(Self::Basic {
                    encoded: basic(&form_encoded(client_id), &secret),
                    client_secret,
                })
            }
            ClientAuth::ClientSecretBasicRaw { client_secret } => {
                if client_id.contains(':') {
                    return Err(CredentialsError::ColonInClientId);
                }
                let client_secret = secret_of(client_secret)?;
                Ok(Self::Basic {
                    encoded: basic(client_id, &client_secret),
                    client_secret,
                })
            }
            ClientAuth::ClientSecretJwt {
                client_secret,
                alg,
                assertion,
            } => {
                let secret = secret_of(client_secret)?;
                let signer =
                    Signer::with_secret(&secret, *alg, &party("client_secret"), assertion)?;
                Ok(Self::Assertion(Arc::new(signer)))
            }
            ClientAuth::ClientSecretPost { client_secret } => {
                let secret = secret_of(client_secret)?;
                Ok(Self::Post(secret))
            }
            ClientAuth::PrivateKeyJwt {
                key,
                alg,
                assertion,
            } => {
                let party = party("private_key_jwt.key");
                let pem = secret::read(party.what, key, environment)?;
                let signer = Signer::with_private_key(&pem, *alg, &party, assertion)?;
                Ok(Self::Assertion(Arc::new(signer)))
            }
        }
    }
}

/// `client_id`, wherever it stands.
pub(in crate::oauth) fn client_id(
    configured: &ClientId,
    values: &Values,
) -> Result<String, CredentialsError> {
    match configured {
        ClientId::Given(client_id) => Ok(client_id.clone()),
        ClientId::Document(place) => {
            let client_id = values.at("client_id", place)?;
            Ok(client_id.expose_secret().to_owned())
        }
    }
}

/// RFC 6749 section 2.3.1: name and secret are form-encoded first (appendix B). A blank becomes `%20`:
/// servers that decode percent signs alone take `+` for a plus.
fn form_encoded(text: &str) -> String {
    let form: String = byte_serialize(text.as_bytes()).collect();
    form.replace('+', "%20")
}

fn basic(id: &str, secret: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{id}:{}", secret.expose_secret()));
    SecretString::from(STANDARD.encode(pair.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretRef;

    fn header(raw: bool, id: &str, secret: &str) -> String {
        let environment = Environment::from([("S", secret)]);
        let client_secret = ClientSecret::Secret(SecretRef::Env("S".into()));
        let auth = if raw {
            ClientAuth::ClientSecretBasicRaw { client_secret }
        } else {
            ClientAuth::ClientSecretBasic { client_secret }
        };
        match Credentials::load(&auth, id, &environment, &Values::default()) {
            Ok(Credentials::Basic { encoded, .. }) => {
                String::from_utf8(STANDARD.decode(encoded.expose_secret()).unwrap()).unwrap()
            }
            _ => panic!("not Basic"),
        }
    }

    #[test]
    fn basic_is_form_encoded_first() {
        for (id, secret, sent) in [
            ("id", "secret", "id:secret"),
            ("a+b", "c%d", "a%2Bb:c%25d"),
            ("a:b", "ü x+y", "a%3Ab:%C3%BC%20x%2By"),
            ("-._*", "~&=/", "-._*:%7E%26%3D%2F"),
        ] {
            assert_eq!(header(false, id, secret), sent);
        }
    }

    #[test]
    fn basic_raw_is_not() {
        assert_eq!(header(true, "a+b", "c%d ü:x"), "a+b:c%d ü:x");
        let auth = ClientAuth::ClientSecretBasicRaw {
            client_secret: ClientSecret::Secret(SecretRef::Env("S".into())),
        };
        assert!(matches!(
            Credentials::load(&auth, "a:b", &Environment::default(), &Values::default()),
            Err(CredentialsError::ColonInClientId)
        ));
    }
}
