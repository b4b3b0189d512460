//! Values that may stand elsewhere: secrets, tokens, headers. And values that are sent as JSON.

use std::collections::BTreeMap;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Parent, Part};
use serde_json::Value;
use toml::de::DeValue;

use super::keys::{Field, Keys};
use super::secret_ref::SecretRef;
use super::units::{all, file_path, one_of, text, variable};

/// Where a token that a request carries is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenRef {
    /// `{ file = "…" }` and the like. It is read at each request.
    Secret(SecretRef),
    /// `{ token = "NAME", field = "…" }`: another of bearerd's tokens.
    Token {
        /// The name of the token.
        name: TokenName,
        /// The part of the token that is sent.
        part: Part,
    },
}

impl TokenRef {
    /// The secret, if the token is in one.
    pub(super) fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Token { .. } => None,
        }
    }

    /// The parent that a token of bearerd is to the requests that carry it.
    pub(super) fn parent(&self, on_refresh: bool) -> Option<Parent> {
        match self {
            Self::Secret(_) => None,
            Self::Token { name, part } => Some(Parent {
                name: name.clone(),
                part: *part,
                on_refresh,
            }),
        }
    }
}

/// A header's value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderValue {
    /// The value as it stands in the configuration.
    Plain(String),
    /// A secret. It is read whenever the header is written.
    Secret(SecretRef),
}

/// The secrets among the values of headers, each with the header's name.
pub(super) fn header_secrets(
    headers: &BTreeMap<String, HeaderValue>,
) -> impl Iterator<Item = (&str, &SecretRef)> {
    headers.iter().filter_map(|(name, value)| match value {
        HeaderValue::Plain(_) => None,
        HeaderValue::Secret(secret) => Some((name.as_str(), secret)),
    })
}

/// Reads a reference to a secret. The secret itself is refused: configuration files get copied,
/// shown to colleagues and committed.
pub(super) fn secret(field: Field<'_>) -> Option<SecretRef> {
    if !matches!(field.value(), DeValue::Table(_)) {
        let message = format!("`{}` must be a reference to a secret", field.key);
        let path = matches!(field.value(), DeValue::String(text) if text.starts_with('/'));
        if path {
            let hint = format!("for a file write `{} = {{ file = \"…\" }}`", field.key);
            return field.refuse(message, &hint);
        }
        let hint = format!(
            "put it into a file that only its owner can read, and write \
             `{} = {{ file = \"/etc/bearerd/secrets/NAME\" }}`; \
             `{{ credential = \"NAME\" }}` and `{{ env = \"NAME\" }}` work too",
            field.key
        );
        return field.refuse(message, &hint);
    }
    let (table, field, source) = field.kind(&SOURCES, "source")?;
    let field = Field {
        table: &table,
        ..field
    };
    match source {
        Source::File => file_path(field).map(SecretRef::File),
        Source::Credential => credential(field).map(SecretRef::Credential),
        Source::Env => variable(field).map(SecretRef::Env),
    }
}

/// What holds a secret.
#[derive(Clone, Copy)]
enum Source {
    File,
    Credential,
    Env,
}

const SOURCES: [(&str, Source); 3] = [
    ("file", Source::File),
    ("credential", Source::Credential),
    ("env", Source::Env),
];

/// Reads a reference to a token: another one of bearerd's, or a secret.
pub(super) fn token_ref(field: Field<'_>) -> Option<TokenRef> {
    let ours = matches!(field.value(), DeValue::Table(table) if table.contains_key("token"));
    if !ours {
        return secret(field).map(TokenRef::Secret);
    }
    let mut keys = field.keys()?;
    let name = keys.optional("token", |field| {
        let name = TokenName::parse(field.str("the name of a token", "")?);
        name.map_or_else(|error| field.refuse(error, ""), Some)
    });
    let part = match keys.has("field") {
        true => keys.optional("field", |field| one_of(field, &PARTS)),
        false => Some(Part::AccessToken),
    };
    keys.finish();
    Some(TokenRef::Token {
        name: name?,
        part: part?,
    })
}

/// Reads a reference to a token that another program may have written, such as Kubernetes' for a
/// pod: it is for all that runs there, and its file's mode says so.
pub(super) fn platform_token_ref(field: Field<'_>) -> Option<TokenRef> {
    match token_ref(field)? {
        TokenRef::Secret(SecretRef::File(path)) => {
            Some(TokenRef::Secret(SecretRef::TokenFile(path)))
        }
        token => Some(token),
    }
}

const PARTS: [(&str, Part); 3] = [
    ("access_token", Part::AccessToken),
    ("id_token", Part::IdToken),
    ("refresh_token", Part::RefreshToken),
];

fn credential(field: Field<'_>) -> Option<String> {
    let name = text(field)?;
    if name.contains('/') || name == "." || name == ".." {
        return field.must_be(
            "the name of a systemd credential",
            "the ID of `LoadCredential=ID:PATH` in the unit; for a path write `file = …`",
        );
    }
    Some(name)
}

/// Reads the further headers of a token file.
pub(super) fn headers(field: Field<'_>) -> Option<BTreeMap<String, HeaderValue>> {
    all_headers(field, |keys, header| {
        let hint = "leave it out: bearerd writes it, with the token";
        keys.refuse(header.key, "`Authorization` cannot be set here", hint);
        None
    })
}

/// Reads the headers of a request. `Authorization` has to be a reference to a secret.
pub(super) fn request_headers(field: Field<'_>) -> Option<BTreeMap<String, HeaderValue>> {
    all_headers(field, |_, header| secret(header).map(HeaderValue::Secret))
}

fn all_headers(
    field: Field<'_>,
    authorization: impl Fn(&Keys<'_>, Field<'_>) -> Option<HeaderValue>,
) -> Option<BTreeMap<String, HeaderValue>> {
    let keys = field.keys()?;
    let mut headers = BTreeMap::new();
    for header in keys.all() {
        if http::HeaderName::from_bytes(header.key.as_bytes()).is_err() {
            let hint = "letters, digits and `-`, such as `X-Request-Source` (RFC 9110 section 5.1)";
            keys.refuse(header.key, "this is no header's name", hint);
        }
        let value = match header.key.eq_ignore_ascii_case("authorization") {
            true => authorization(&keys, header),
            false => header_value(header),
        };
        headers.extend(value.map(|value| (header.key.to_owned(), value)));
    }
    Some(headers)
}

fn header_value(field: Field<'_>) -> Option<HeaderValue> {
    match field.value() {
        DeValue::String(value) if http::HeaderValue::from_str(value).is_ok() => {
            Some(HeaderValue::Plain(value.clone().into_owned()))
        }
        DeValue::String(_) => field.must_be("printable ASCII on one line", ""),
        DeValue::Table(_) => secret(field).map(HeaderValue::Secret),
        _ => field.wrong_type("a string or a reference to a secret", ""),
    }
}

/// Reads a value that TOML and JSON both know.
pub(super) fn json(field: Field<'_>) -> Option<Value> {
    let what = "a value that JSON knows: a string, integer, finite float, boolean, list or table";
    match field.value() {
        DeValue::String(text) => Some(Value::String(text.clone().into_owned())),
        DeValue::Boolean(value) => Some(Value::Bool(*value)),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| field.must_be(what, ""), |n| Some(n.into()))
        }
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            number.map_or_else(|| field.must_be(what, ""), |n| Some(n.into()))
        }
        DeValue::Datetime(_) => field.wrong_type(what, "write it as a string or as a NumericDate"),
        DeValue::Array(_) => {
            let elements = field.elements(what, "")?;
            all(elements, json).map(Value::Array)
        }
        DeValue::Table(_) => {
            let keys = field.keys()?;
            let entries = keys.all().into_iter();
            let read: Vec<_> = entries
                .map(|e| Some((e.key.to_owned(), json(e)?)))
                .collect();
            Some(Value::Object(read.into_iter().collect::<Option<_>>()?))
        }
    }
}
