//! `[token.NAME.grant.http]`, and `github_app`, which is a description of one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeValue;
use url::Url;

use super::auth::KEY_HINT;
use super::client::transport;
use super::keys::{Field, Keys};
use super::model::{
    AssertionConfig, Authorization, HeaderValue, HttpGrant, HttpMethod, HttpsUrl, SignatureAlg,
    SignedAssertion,
};
use super::references::{json, request_headers, secret, token_ref};
use super::units::{https_url, one_of, pointer, text, texts};

/// Reads `http`.
pub(super) fn http(mut keys: Keys<'_>) -> Option<HttpGrant> {
    let url = keys.required(
        "url",
        "where the token is: `url = \"https://…\"`",
        https_url,
    );
    let method = keys.optional("method", |method| one_of(method, &METHODS));
    let headers = keys.optional("headers", request_headers);
    let bearer = keys.optional("bearer", token_ref);
    let body = keys.optional("body", json);
    let token = keys.required("token", POINTER_HINT, pointer);
    let expires_at = keys.optional("expires_at", pointer);
    let expires_in = keys.optional("expires_in", pointer);
    let transport = transport(&mut keys);
    let default = match body {
        Some(_) => HttpMethod::Post,
        None => HttpMethod::Get,
    };
    keys.finish();
    Some(HttpGrant {
        transport,
        method: method.unwrap_or(default),
        url: url?,
        headers: headers.unwrap_or_default(),
        authorization: bearer.map(Authorization::Bearer),
        body,
        token: token?,
        expires_at,
        expires_in,
    })
}

/// Reads `github_app`: an installation access token
/// (<https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app>).
pub(super) fn github_app(mut keys: Keys<'_>) -> Option<HttpGrant> {
    let client_id = keys.required("client_id", "the app's client ID", id);
    let installation = keys.required("installation_id", INSTALLATION_HINT, id);
    let key = keys.required("key", KEY_HINT, secret);
    let repositories = keys.optional("repositories", texts);
    let permissions = keys.optional("permissions", permissions);
    let api = keys.optional("api", https_url);
    let transport = transport(&mut keys);
    keys.finish();
    let api = api.map_or_else(|| GITHUB.to_owned(), |api| api.text);
    let api = api.trim_end_matches('/');
    let text = format!("{api}/app/installations/{}/access_tokens", installation?);
    let url = Url::parse(&text).ok()?;
    let repositories = repositories.map(|names| ("repositories".to_owned(), names.into()));
    let permissions = permissions.map(|map| ("permissions".to_owned(), Value::Object(map)));
    let body: Map<_, _> = repositories.into_iter().chain(permissions).collect();
    let plain = |name: &str, value: &str| (name.to_owned(), HeaderValue::Plain(value.to_owned()));
    Some(HttpGrant {
        transport,
        method: HttpMethod::Post,
        url: HttpsUrl { text, url },
        headers: BTreeMap::from([
            plain("Accept", "application/vnd.github+json"),
            plain("X-GitHub-Api-Version", "2022-11-28"),
        ]),
        authorization: Some(Authorization::Signed(app(client_id?, key?))),
        body: (!body.is_empty()).then_some(Value::Object(body)),
        token: "/token".into(),
        expires_at: Some("/expires_at".into()),
        expires_in: None,
    })
}

/// GitHub accepts ten minutes from now, and advises to begin a minute before it.
fn app(client_id: String, key: super::SecretRef) -> SignedAssertion {
    SignedAssertion {
        key,
        alg: SignatureAlg::RS256,
        issuer: Some(client_id),
        subject: None,
        assertion: AssertionConfig {
            kid: None,
            typ: "JWT".into(),
            audience: None,
            lifetime: Duration::from_secs(600),
            certificate: None,
            x5t: false,
            x5t_s256: false,
            claims: BTreeMap::new(),
        },
    }
}

/// An id: GitHub has numbers and words.
fn id(field: Field<'_>) -> Option<String> {
    let id = match field.value() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::String(_) => text(field)?,
        _ => return field.wrong_type("a number or a string", ""),
    };
    match id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    {
        true => Some(id),
        false => field.must_be("an id of letters and digits", ""),
    }
}

fn permissions(field: Field<'_>) -> Option<Map<String, Value>> {
    let keys = field.keys()?;
    let mut permissions = Map::new();
    for permission in keys.all() {
        let what = "a level of access, such as \"read\" or \"write\"";
        let level = permission.str(what, "")?;
        permissions.insert(permission.key.to_owned(), level.into());
    }
    Some(permissions)
}

const METHODS: [(&str, HttpMethod); 2] = [("GET", HttpMethod::Get), ("POST", HttpMethod::Post)];
const GITHUB: &str = "https://api.github.com";
const INSTALLATION_HINT: &str = "the number at the end of the installation's URL: `https://github.com/settings/installations/NUMBER`";
const POINTER_HINT: &str =
    "where in the answer it is, as a JSON pointer (RFC 6901): `token = \"/access_token\"`";
