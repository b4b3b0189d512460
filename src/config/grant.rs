//! `[token.NAME.grant.*]`: how a token is obtained.

use std::collections::BTreeMap;
use std::time::Duration;

use bearerd_core::refresh::Part;
use toml::de::DeValue;
use url::Url;

use super::auth::{self, ALG_HINT, KEY_HINT, SIGNATURE_ALGS};
use super::grant_http;
use super::keys::{Field, Keys};
use super::model::{
    AuthorizationCode, CommandGrant, FormValue, GrantConfig, JwtBearer, RedirectUri,
    SignedAssertion, TokenExchange, TokenRef, TypedToken,
};
use super::references::{params, secret, token_ref};
use super::token::{self, COMMAND_HINT};
use super::units::{all, boolean, one_of, text, timeout, variable};

/// Reads `grant`.
pub(super) fn grant(field: Field<'_>) -> Option<GrantConfig> {
    let (table, field) = field.kind(&GRANTS, "grant")?;
    let field = Field {
        table: &table,
        ..field
    };
    let mut keys = field.keys()?;
    match field.key {
        "authorization_code" => {
            let grant = authorization_code(keys)?;
            Some(GrantConfig::AuthorizationCode(Box::new(grant)))
        }
        "client_credentials" => {
            keys.finish();
            Some(GrantConfig::ClientCredentials)
        }
        "device_code" => {
            keys.finish();
            Some(GrantConfig::DeviceCode)
        }
        "command" => command(keys).map(GrantConfig::Command),
        "github_app" => Some(GrantConfig::Http(Box::new(grant_http::github_app(keys)?))),
        "http" => Some(GrantConfig::Http(Box::new(grant_http::http(keys)?))),
        "jwt_bearer" => Some(GrantConfig::JwtBearer(Box::new(jwt_bearer(keys)?))),
        "password" => {
            let username = keys.required("username", "the user that the token is for", text);
            let password = keys.required("password", PASSWORD_HINT, secret);
            keys.finish();
            Some(GrantConfig::Password {
                username: username?,
                password: password?,
            })
        }
        "token_exchange" => {
            let grant = token_exchange(keys)?;
            Some(GrantConfig::TokenExchange(Box::new(grant)))
        }
        _ => {
            let refresh_token = keys.required("refresh_token", SEED_HINT, secret);
            keys.finish();
            let refresh_token = refresh_token?;
            Some(GrantConfig::RefreshToken { refresh_token })
        }
    }
}

fn authorization_code(mut keys: Keys<'_>) -> Option<AuthorizationCode> {
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
    Some(AuthorizationCode {
        redirect_uri: redirect_uri?,
        authorization_params: authorization_params.unwrap_or_default(),
        form_login,
    })
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

fn token_exchange(mut keys: Keys<'_>) -> Option<TokenExchange> {
    let subject = keys.required("subject_token", SUBJECT_HINT, token_ref);
    let subject_type = keys.optional("subject_token_type", text);
    let actor = keys.optional("actor_token", token_ref);
    let actor_type = keys.optional("actor_token_type", text);
    let requested_token_type = keys.optional("requested_token_type", text);
    if keys.has("actor_token_type") && !keys.has("actor_token") {
        // RFC 8693 section 2.1.
        let hint = "add `actor_token`, or leave it out";
        keys.refuse("actor_token_type", "there is no `actor_token`", hint);
    }
    keys.finish();
    let typed = |token: TokenRef, token_type: Option<String>| TypedToken {
        token_type: token_type.unwrap_or_else(|| default_type(&token).into()),
        token,
    };
    Some(TokenExchange {
        subject: typed(subject?, subject_type),
        actor: actor.map(|actor| typed(actor, actor_type)),
        requested_token_type,
    })
}

/// Which grant a token has that is no token request, if it has one.
pub(super) fn stands_alone(token: &Keys<'_>) -> Option<&'static str> {
    match token.field("grant")?.value() {
        DeValue::Table(grant) => ALONE.into_iter().find(|kind| grant.contains_key(*kind)),
        _ => None,
    }
}

fn command(mut keys: Keys<'_>) -> Option<CommandGrant> {
    let command = keys.required("command", COMMAND_HINT, token::command);
    let timeout = keys.optional("timeout", timeout);
    let environment = keys.optional("environment", |field| {
        all(field.elements("a list of variables' names", "")?, variable)
    });
    keys.finish();
    Some(CommandGrant {
        command: command?,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        environment: environment.unwrap_or_default(),
    })
}

fn jwt_bearer(mut keys: Keys<'_>) -> Option<JwtBearer> {
    if !keys.has("assertion") {
        let hint = "for one that somebody else makes: `assertion = { file = \"…\" }`";
        let hint = format!("{KEY_HINT}; {hint}");
        return signed(keys, &hint).map(JwtBearer::Signed);
    }
    let assertion = keys.optional("assertion", token_ref);
    if keys.has("key") {
        let message = format!("`{}` has both `assertion` and `key`", keys.name);
        keys.refuse(
            "key",
            message,
            "with `key` bearerd signs the assertion itself",
        );
        return None;
    }
    keys.finish();
    assertion.map(JwtBearer::Made)
}

/// Keys of an assertion that bearerd signs in somebody's name.
fn signed(mut keys: Keys<'_>, key_hint: &str) -> Option<SignedAssertion> {
    let key = keys.required("key", key_hint, secret);
    let alg = keys.required("alg", ALG_HINT, |alg| one_of(alg, &SIGNATURE_ALGS));
    let issuer = keys.optional("issuer", text);
    let subject = keys.optional("subject", text);
    let assertion = auth::assertion(keys);
    Some(SignedAssertion {
        key: key?,
        alg: alg?,
        issuer,
        subject,
        assertion: assertion?,
    })
}

/// RFC 8693 section 3. What a file holds is nobody's but its reader's to know; most are JWTs.
fn default_type(token: &TokenRef) -> &'static str {
    match token {
        TokenRef::Secret(_) => "urn:ietf:params:oauth:token-type:jwt",
        TokenRef::Token { part, .. } => match part {
            Part::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Part::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Part::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
        },
    }
}

const ALONE: [&str; 3] = ["command", "github_app", "http"];

const GRANTS: [&str; 10] = [
    "authorization_code",
    "client_credentials",
    "command",
    "device_code",
    "github_app",
    "http",
    "jwt_bearer",
    "password",
    "refresh_token",
    "token_exchange",
];

/// The grants, for a hint.
pub(super) const KINDS: &str = "KIND being authorization_code, client_credentials, command, \
     device_code, github_app, http, jwt_bearer, password, refresh_token or token_exchange";

/// Without `redirect_uri` (RFC 8252 section 7.3).
const LOOPBACK: &str = "http://127.0.0.1/";
const PASSWORD_HINT: &str = "write `password = { file = \"/etc/bearerd/secrets/NAME\" }`";
const SEED_HINT: &str = "write `refresh_token = { file = \"/etc/bearerd/secrets/NAME\" }`";
const SUBJECT_HINT: &str = "write `subject_token = { token = \"NAME\", field = \"id_token\" }`, or \
     `{ file = \"…\" }`";
