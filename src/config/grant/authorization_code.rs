//! `[token.NAME.grant.authorization_code]`: RFC 6749 section 4.1, with PKCE (RFC 7636).

use std::borrow::Cow;
use std::collections::BTreeMap;

use bearerd_core::refresh::Grant;
use toml::de::DeValue;
use url::Url;

use super::super::keys::{Field, Keys};
use super::super::references::secret;
use super::super::secret_ref::SecretRef;
use super::super::units::{boolean, text};
use super::params::LOGIN_HINT;
use super::profile::{LoginAt, Profile};

/// `[token.NAME.grant.authorization_code]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorizationCode {
    /// Where the browser is sent with the code.
    pub redirect_uri: RedirectUri,
    /// Further parameters of the authorization request, such as `prompt` or `acr_values`.
    pub authorization_params: BTreeMap<String, String>,
    /// What a mock identity provider's login form is filled with. With it, no person is needed.
    pub form_login: Option<BTreeMap<String, FormValue>>,
}

impl AuthorizationCode {
    /// Reads the table. `params` reads further parameters and refuses those that bearerd sets.
    pub(super) fn read(
        mut keys: Keys<'_>,
        params: impl FnOnce(Field<'_>) -> Option<BTreeMap<String, String>>,
    ) -> Option<Self> {
        let redirect_uri = match keys.has("redirect_uri") {
            true => keys.optional("redirect_uri", redirect_uri),
            false => Url::parse(LOOPBACK).ok().map(RedirectUri::Loopback),
        };
        let authorization_params = keys.optional("authorization_params", params);
        let form_login = keys.optional("form_login", form);
        let mock = keys.optional("mock_identity_provider", boolean);
        if keys.has("form_login") && mock != Some(true) {
            let hint = "only a mock identity provider lets a program fill in its form: say so with \
                        `mock_identity_provider = true`";
            keys.refuse(
                "form_login",
                "`form_login` would log in in a person's place",
                hint,
            );
        }
        keys.finish();
        Some(Self {
            redirect_uri: redirect_uri?,
            authorization_params: authorization_params.unwrap_or_default(),
            form_login,
        })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        let core = match self.form_login {
            // A refused form is like a refused password: it must not be tried again.
            Some(_) => Grant::Password,
            None => Grant::Login,
        };
        let fields = self.form_login.iter().flatten();
        let mut identity: Vec<Cow<'_, str>> = Vec::new();
        for (name, value) in &self.authorization_params {
            identity.extend([name.into(), value.into()]);
        }
        for (name, value) in fields.clone() {
            identity.push(name.into());
            identity.extend(value.plain().map(Into::into));
        }
        Profile {
            identity,
            login: Some(LoginAt::Authorization),
            secrets: fields
                .filter_map(|(name, value)| Some((name.as_str(), value.secret()?)))
                .collect(),
            ..Profile::new("authorization_code", core)
        }
    }
}

/// Where the browser is sent with the code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedirectUri {
    /// A port of this host that is free when the login begins (RFC 8252 section 7.3).
    Loopback(Url),
    /// An address at which bearerd cannot listen: the person brings the URL that the browser ended
    /// at. It is kept as written, because the token request repeats it byte for byte (RFC 6749
    /// section 4.1.3).
    Elsewhere(String),
}

/// The value of a field of a login form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FormValue {
    /// The value as it stands in the configuration.
    Plain(String),
    /// A secret. It is read at each login.
    Secret(SecretRef),
}

impl FormValue {
    fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Secret(_) => None,
        }
    }

    fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

fn redirect_uri(field: Field<'_>) -> Option<RedirectUri> {
    let text = text(field)?;
    match Url::parse(&text) {
        Ok(url) if url.fragment().is_some() => {
            // RFC 6749 section 3.1.2.
            field.must_be("a URL without fragment", "")
        }
        Ok(url) if is_loopback(&url) => Some(RedirectUri::Loopback(url)),
        Ok(_) => Some(RedirectUri::Elsewhere(text)),
        Err(_) => field.must_be("an absolute URL, as registered for the client", ""),
    }
}

/// RFC 8252 section 7.3: an address, as `localhost` may lead elsewhere, and no port.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str();
    url.scheme() == "http" && matches!(host, Some("127.0.0.1" | "[::1]"))
}

fn form(field: Field<'_>) -> Option<BTreeMap<String, FormValue>> {
    let keys = field.keys()?;
    let mut fields = BTreeMap::new();
    for field in keys.all() {
        let value = match field.value() {
            DeValue::String(value) => Some(FormValue::Plain(value.clone().into_owned())),
            _ => secret(field).map(FormValue::Secret),
        };
        fields.extend(value.map(|value| (field.key.to_owned(), value)));
    }
    Some(fields)
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] = &[
    ("code", LOGIN_HINT),
    ("code_challenge", LOGIN_HINT),
    ("code_challenge_method", LOGIN_HINT),
    ("code_verifier", LOGIN_HINT),
    ("nonce", LOGIN_HINT),
    (
        "redirect_uri",
        "set it in `[token.NAME.grant.authorization_code]`",
    ),
    ("response_mode", RESPONSE_HINT),
    ("response_type", RESPONSE_HINT),
    ("state", LOGIN_HINT),
];

/// Without `redirect_uri` (RFC 8252 section 7.3).
const LOOPBACK: &str = "http://127.0.0.1/";
const RESPONSE_HINT: &str = "bearerd reads a code from the query and nothing else";
