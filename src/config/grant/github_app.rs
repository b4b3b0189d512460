//! `[token.NAME.grant.github_app]`: the description of an HTTP request.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeValue;
use url::Url;

use super::super::client::{AssertionConfig, KEY_HINT, SignatureAlg};
use super::super::keys::{Field, Keys};
use super::super::references::{HeaderValue, secret};
use super::super::secret_ref::SecretRef;
use super::super::transport::Transport;
use super::super::units::{HttpsUrl, https_url, text, texts};
use super::http::{Authorization, HttpGrant, HttpMethod};
use super::signed::SignedAssertion;

/// Reads `github_app`: the request for an installation access token
/// (<https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app>).
pub(super) fn read(mut keys: Keys<'_>) -> Option<HttpGrant> {
    let client_id = keys.required("client_id", "the app's client ID", id);
    let installation = keys.required("installation_id", INSTALLATION_HINT, id);
    let key = keys.required("key", KEY_HINT, secret);
    let repositories = keys.optional("repositories", texts);
    let permissions = keys.optional("permissions", permissions);
    let api = keys.optional("api", https_url);
    let transport = Transport::read(&mut keys);
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
fn app(client_id: String, key: SecretRef) -> SignedAssertion {
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

const GITHUB: &str = "https://api.github.com";
const INSTALLATION_HINT: &str = "the number at the end of the installation's URL: \
     `https://github.com/settings/installations/NUMBER`";
