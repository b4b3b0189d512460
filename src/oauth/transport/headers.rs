//! Headers that are made for a request.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use super::error::{EncodingError, TransportError};
use crate::config::{self, Environment};
use crate::oauth::credentials::secret;

/// A value that is not to be shown.
pub(in crate::oauth) fn sensitive(text: &str) -> Result<HeaderValue, EncodingError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| EncodingError)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The headers of a request for JSON, with those of the configuration; and the secrets among them.
/// `what` is the configuration key that an error names. Blocks on files.
pub(in crate::oauth) fn configured(
    what: &'static str,
    headers: &BTreeMap<String, config::HeaderValue>,
    environment: &Environment,
) -> Result<(HeaderMap, Vec<SecretString>), TransportError> {
    let mut secrets = Vec::new();
    let mut made = HeaderMap::new();
    made.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let value = match value {
            config::HeaderValue::Plain(value) => sensitive(value)?,
            config::HeaderValue::Secret(secret) => {
                let secret = secret::read(what, secret, environment)?;
                let value = sensitive(secret.expose_secret())?;
                secrets.push(secret);
                value
            }
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EncodingError)?;
        made.insert(name, value);
    }
    Ok((made, secrets))
}
