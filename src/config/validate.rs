//! The rules that look at more than one key.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bearerd_core::refresh::RefreshAt;

use super::keys::{Field, Keys, closest};
use super::model::{
    AssertionConfig, ClientAuth, ClientConfig, Endpoint, FileFormat, GrantConfig, NETRC_LOGIN,
    TlsConfig, TlsIdentity,
};
use super::reading::{Reading, Site};
use super::secret_ref::SecretRef;
use super::units::{
    duration, file_path, https_url, one_of, permille, text_or_texts, variable, word,
};

/// Exactly one of `issuer` and `token_endpoint`.
pub(super) fn endpoint(keys: &mut Keys<'_>) -> Option<Endpoint> {
    let issuer = keys.optional("issuer", |field| {
        let issuer = https_url(field)?;
        // RFC 8414 section 2.
        match issuer.url.query() {
            Some(_) => field.must_be("a URL without query (`?…`)", ""),
            None => Some(issuer),
        }
    });
    let token_endpoint = keys.optional("token_endpoint", https_url);
    match (keys.has("issuer"), keys.has("token_endpoint")) {
        (true, true) => {
            let hint = "with `issuer` the token endpoint is discovered; keep `token_endpoint` \
                        where the server has no discovery or its endpoint must be used as written";
            let message = format!("`{}` has both `issuer` and `token_endpoint`", keys.name);
            keys.refuse("token_endpoint", message, hint);
            None
        }
        (false, false) => {
            let hint =
                "add `issuer = \"https://…\"` (discovery) or `token_endpoint = \"https://…\"`";
            keys.lacks("`issuer` or `token_endpoint`", hint);
            None
        }
        (true, false) => issuer.map(Endpoint::Issuer),
        (false, true) => token_endpoint.map(Endpoint::TokenEndpoint),
    }
}

/// A login needs a place for it, and scope `openid` the keys that its ID token is verified with.
pub(super) fn login(
    keys: &Keys<'_>,
    client: Option<&ClientConfig>,
    scope: Option<&[String]>,
    grant: Option<&GrantConfig>,
) {
    let Some((Endpoint::TokenEndpoint(_), client)) = client.map(|c| (&c.endpoint, c)) else {
        return;
    };
    let (key, endpoint) = match grant {
        Some(GrantConfig::AuthorizationCode(_)) => (
            "authorization_endpoint",
            &client.login_endpoints.authorization,
        ),
        Some(GrantConfig::DeviceCode) => {
            let endpoint = &client.login_endpoints.device_authorization;
            ("device_authorization_endpoint", endpoint)
        }
        _ => return,
    };
    let name = &client.name;
    if endpoint.is_none() {
        let message = format!("`{}` has nowhere to log in", keys.name);
        let hint = format!("set `issuer` or `{key}` in `[client.{name}]`");
        keys.refuse("grant", message, &hint);
    }
    if scope.is_some_and(|scope| scope.iter().any(|scope| scope == "openid")) {
        let message = "with `openid` comes an ID token, which only an issuer's keys can verify";
        let hint = format!("set `issuer` in `[client.{name}]`, or leave `openid` out");
        keys.refuse("scope", message, &hint);
    }
}

/// A client certificate and its key come together.
pub(super) fn tls_identity(
    keys: &Keys<'_>,
    certificate: Option<PathBuf>,
    key: Option<SecretRef>,
) -> Option<TlsIdentity> {
    match (keys.has("certificate"), keys.has("key")) {
        (true, false) => {
            let message = format!("`{}` has `certificate` without `key`", keys.name);
            let hint = "add its private key: `key = { file = \"/etc/bearerd/keys/NAME.key\" }`";
            keys.refuse("certificate", message, hint);
        }
        (false, true) => {
            let message = format!("`{}` has `key` without `certificate`", keys.name);
            keys.refuse(
                "key",
                message,
                "add `certificate = \"/etc/bearerd/keys/NAME.crt\"`",
            );
        }
        _ => {}
    }
    Some(TlsIdentity {
        certificate: certificate?,
        key: key?,
    })
}

/// `tls_client_auth` needs a certificate to show.
pub(super) fn tls_client_auth(
    keys: &Keys<'_>,
    key: &str,
    auth: Option<&ClientAuth>,
    tls: &TlsConfig,
) {
    let unread = keys.field("tls").is_some_and(|tls| match tls.value() {
        toml::de::DeValue::Table(tls) => tls.contains_key("certificate") || tls.contains_key("key"),
        _ => true,
    });
    if auth == Some(&ClientAuth::TlsClientAuth) && tls.identity.is_none() && !unread {
        let message = format!("`{}.{key}` needs a client certificate", keys.name);
        let hint = format!("add `[{}.tls]` with `certificate` and `key`", keys.name);
        keys.refuse(key, message, &hint);
    }
}

/// Thumbprints are made from the certificate, and it serves nothing else.
pub(super) fn thumbprint(keys: &Keys<'_>, assertion: &AssertionConfig) {
    let wanted = [("x5t", assertion.x5t), ("x5t#S256", assertion.x5t_s256)];
    if keys.has("certificate") {
        if wanted.iter().all(|(key, _)| !keys.has(key)) {
            let hint = "add `x5t = true` or `\"x5t#S256\" = true`";
            keys.refuse(
                "certificate",
                "`certificate` is for `x5t` and `x5t#S256`, and neither is set",
                hint,
            );
        }
        return;
    }
    for (key, _) in wanted.iter().filter(|(_, wanted)| *wanted) {
        let hint = "add `certificate = \"/etc/bearerd/keys/NAME.crt\"`";
        keys.refuse(key, format!("`{key}` needs `certificate`"), hint);
    }
}

/// Claims that bearerd sets itself (RFC 7523 section 3) cannot be set beside it.
pub(super) fn claim(keys: &Keys<'_>, name: &str) {
    let hint = match name {
        "aud" => "set `audience` beside `key` instead",
        "exp" => "set `lifetime` beside `key` instead",
        "iss" | "sub" => "it is the `client_id`; with `jwt_bearer` set `issuer` and `subject`",
        "iat" | "jti" => "it is made anew for every request",
        _ => return,
    };
    keys.refuse(name, format!("the claim `{name}` cannot be set here"), hint);
}

/// Parameters that have a key of their own, or that bearerd sets, cannot be set beside it.
pub(super) fn param(keys: &Keys<'_>, name: &str) {
    let hint = match name {
        "audience" | "resource" | "scope" => "set it in the token's own table",
        "grant_type" => "it follows from `[token.NAME.grant.*]`",
        "username" | "password" => "set it in `[token.NAME.grant.password]`",
        "assertion" => "set it in `[token.NAME.grant.jwt_bearer]`",
        "refresh_token" => "set it in `[token.NAME.grant.refresh_token]`",
        "response_mode" | "response_type" => "bearerd reads a code from the query and nothing else",
        "redirect_uri" => "set it in `[token.NAME.grant.authorization_code]`",
        "code"
        | "code_verifier"
        | "code_challenge"
        | "code_challenge_method"
        | "device_code"
        | "nonce"
        | "state" => "it is made anew for every login",
        "subject_token"
        | "subject_token_type"
        | "actor_token"
        | "actor_token_type"
        | "requested_token_type" => "set it in `[token.NAME.grant.token_exchange]`",
        "client_id" => "set it in `[client.NAME]`",
        "client_secret" | "client_assertion" | "client_assertion_type" => {
            "it follows from `[client.NAME.auth.*]`"
        }
        _ => return,
    };
    keys.refuse(
        name,
        format!("the parameter `{name}` cannot be set here"),
        hint,
    );
}

/// The client that a token names.
pub(super) fn client_exists(
    field: Field<'_>,
    clients: &BTreeMap<String, Option<Arc<ClientConfig>>>,
) -> Option<Arc<ClientConfig>> {
    let name = field.str("the name of a client", "")?;
    if let Some(client) = clients.get(name) {
        return client.clone();
    }
    if field.origin.reading.broken.get() {
        return None;
    }
    let names: Vec<&str> = clients.keys().take(SUGGESTED).map(String::as_str).collect();
    let hint = match closest(name, &names) {
        Some(close) => format!("did you mean \"{close}\"?"),
        None => format!("add `[client.{name}]`"),
    };
    field.refuse(format!("there is no client `{name}`"), &hint)
}

/// `resource`: absolute URIs without fragment (RFC 8707 section 2).
pub(super) fn resource(field: Field<'_>) -> Option<Vec<String>> {
    let resources = text_or_texts(field)?;
    let absolute = |text: &String| url::Url::parse(text).is_ok() && !text.contains('#');
    if !resources.iter().all(absolute) {
        return field.must_be("an absolute URI without fragment (RFC 8707)", "");
    }
    Some(resources)
}

/// One of `at` and `before_expiry` at most.
pub(super) fn refresh_at(keys: &mut Keys<'_>) -> Option<RefreshAt> {
    let at = keys.optional("at", permille);
    let before_expiry = keys.optional("before_expiry", duration);
    if keys.has("at") && keys.has("before_expiry") {
        let message = format!("`{}` has both `at` and `before_expiry`", keys.name);
        keys.refuse("before_expiry", message, "keep one of them");
    }
    let fraction = at.map(RefreshAt::Permille);
    fraction.or(before_expiry.map(RefreshAt::BeforeExpiry))
}

/// A file's format, with the keys that only one format or two have.
pub(super) fn file_format(keys: &mut Keys<'_>) -> Option<FileFormat> {
    let format = match keys.has("format") {
        true => keys.optional("format", |format| one_of(format, &FORMATS)),
        false => Some("raw"),
    };
    let variable = keys.optional("variable", variable);
    let machine = keys.optional("machine", word);
    let login = keys.optional("login", word);
    let template = keys.optional("template", file_path);
    let format = format?;
    for (key, formats) in FORMAT_KEYS {
        if keys.has(key) && !formats.contains(&format) {
            let message = format!("`{key}` means nothing to the format `{format}`");
            keys.refuse(
                key,
                message,
                &format!("it is for the format {}", formats.join(" or ")),
            );
        }
    }
    for (wanted_by, key, hint) in REQUIRED_KEYS {
        if wanted_by == format && !keys.has(key) {
            keys.lacks(format!("`{key}`, which the format `{format}` needs"), hint);
        }
    }
    if format == "template" && !cfg!(feature = "template") {
        let hint = "build bearerd with its cargo feature `template`";
        keys.refuse("format", "this bearerd was built without templates", hint);
    }
    match format {
        "curl" => Some(FileFormat::Curl),
        "env" => Some(FileFormat::Env {
            variable: variable.unwrap_or_else(|| "ACCESS_TOKEN".into()),
        }),
        "headers" => Some(FileFormat::Headers),
        "json" => Some(FileFormat::Json),
        "netrc" => Some(FileFormat::Netrc {
            machine: machine?,
            login: login.unwrap_or_else(|| NETRC_LOGIN.into()),
        }),
        "template" => template.map(|template| FileFormat::Template { template }),
        _ => Some(FileFormat::Raw),
    }
}

/// A certificate file may hold its key; a key alone is of no use.
pub(super) fn cert_of_key(keys: &Keys<'_>) {
    if keys.has("key") && !keys.has("cert") {
        let message = format!("`{}` has `key` without `cert`", keys.name);
        keys.refuse(
            "key",
            message,
            "add `cert = \"/etc/bearerd/keys/NAME.crt\"`",
        );
    }
}

/// Two files at one path would overwrite each other.
pub(super) fn unique_path(
    paths: &mut BTreeMap<PathBuf, Site>,
    path: &Path,
    site: Site,
    reading: &Reading,
) {
    match paths.entry(path.to_path_buf()) {
        Entry::Vacant(vacant) => {
            vacant.insert(site);
        }
        Entry::Occupied(first) => {
            let message = format!("`{}` is written twice", path.display());
            reading.again(site, message, *first.get());
        }
    }
}

/// Among how many clients the one that was meant is looked for.
const SUGGESTED: usize = 1000;

const FORMATS: [(&str, &str); 7] = [
    ("raw", "raw"),
    ("headers", "headers"),
    ("curl", "curl"),
    ("json", "json"),
    ("env", "env"),
    ("netrc", "netrc"),
    ("template", "template"),
];

const FORMAT_KEYS: [(&str, &[&str]); 7] = [
    ("headers", &["headers", "curl"]),
    ("cert", &["curl"]),
    ("key", &["curl"]),
    ("variable", &["env"]),
    ("machine", &["netrc"]),
    ("login", &["netrc"]),
    ("template", &["template"]),
];

const REQUIRED_KEYS: [(&str, &str, &str); 2] = [
    (
        "netrc",
        "machine",
        "the API's host: `machine = \"api.example.org\"`",
    ),
    (
        "template",
        "template",
        "the template's file: `template = \"/etc/bearerd/NAME.j2\"`",
    ),
];
