//! `[token.NAME]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::allow::socket;
use super::file::file;
use super::keys::Field;
use super::model::{ClientConfig, GrantConfig, HookAction, HookConfig, TokenConfig};
use super::references::{params, secret};
use super::units::{all, boolean, duration, scope, text, text_or_texts, texts, timeout};
use super::validate;
use crate::credential::TokenName;

/// Reads `[token.NAME]`. `clients` holds every client by name, `None` where it could not be read.
pub(super) fn token(
    field: Field<'_>,
    name: TokenName,
    clients: &BTreeMap<String, Option<Arc<ClientConfig>>>,
) -> Option<TokenConfig> {
    let mut keys = field.keys()?;
    let client = keys.required(
        "client",
        "name one of the `[client.NAME]` tables",
        |client| validate::client_exists(client, clients),
    );
    let scope = keys.optional("scope", scope);
    let audience = keys.optional("audience", text_or_texts);
    let resource = keys.optional("resource", validate::resource);
    let params = keys.optional("params", params);
    let hint = format!("add `[{}.grant.KIND]`, {KINDS}", keys.name);
    let grant = keys.required("grant", &hint, grant);
    let refresh_at = keys.optional("refresh", validate::refresh_at);
    let assume_lifetime = keys.optional("assume_lifetime", duration);
    let required = keys.optional("required", boolean);
    let files = keys.optional("file", |files| tables(files, file));
    let hooks = keys.optional("hook", |hooks| tables(hooks, hook));
    let allow = keys.optional("socket", socket);
    keys.finish();
    Some(TokenConfig {
        name,
        client: client?,
        scope: scope.unwrap_or_default(),
        audience: audience.unwrap_or_default(),
        resource: resource.unwrap_or_default(),
        params: params.unwrap_or_default(),
        grant: grant?,
        refresh_at: refresh_at.unwrap_or(validate::DEFAULT_REFRESH_AT),
        assume_lifetime,
        required: required.unwrap_or(true),
        files: files.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        allow: allow.unwrap_or_default(),
    })
}

fn grant(field: Field<'_>) -> Option<GrantConfig> {
    let (table, field) = field.kind(&GRANTS, "grant")?;
    let field = Field {
        table: &table,
        ..field
    };
    let mut keys = field.keys()?;
    match field.key {
        "client_credentials" => {
            keys.finish();
            Some(GrantConfig::ClientCredentials)
        }
        "password" => {
            let username = keys.required("username", "the user that the token is for", text);
            let password = keys.required("password", PASSWORD_HINT, secret);
            keys.finish();
            Some(GrantConfig::Password {
                username: username?,
                password: password?,
            })
        }
        _ => {
            let refresh_token = keys.required("refresh_token", SEED_HINT, secret);
            keys.finish();
            let refresh_token = refresh_token?;
            Some(GrantConfig::RefreshToken { refresh_token })
        }
    }
}

fn hook(field: Field<'_>) -> Option<HookConfig> {
    let mut keys = field.keys()?;
    let command = keys.optional("command", command);
    let reload_consumers = keys.optional("reload_consumers", always);
    let timeout = keys.optional("timeout", timeout);
    match (keys.has("command"), keys.has("reload_consumers")) {
        (true, true) => {
            let message = format!("`{}` has both `command` and `reload_consumers`", keys.name);
            let hint = "make each a `[[token.NAME.hook]]` of its own";
            keys.refuse("reload_consumers", message, hint);
        }
        (false, false) => keys.lacks("`command` or `reload_consumers = true`", COMMAND_HINT),
        _ => {}
    }
    keys.finish();
    let command = command.map(HookAction::Command);
    Some(HookConfig {
        action: command.or(reload_consumers.map(|()| HookAction::ReloadConsumers))?,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

fn always(field: Field<'_>) -> Option<()> {
    if boolean(field)? {
        return Some(());
    }
    field.must_be("true", "without it, leave the hook out")
}

fn command(field: Field<'_>) -> Option<Vec<String>> {
    if let DeValue::String(_) = field.value() {
        return field.wrong_type("a list of strings", COMMAND_HINT);
    }
    let argv = texts(field)?;
    if argv.is_empty() {
        return field.must_be("the program and its arguments", COMMAND_HINT);
    }
    Some(argv)
}

/// Reads an array of tables.
fn tables<T>(field: Field<'_>, read: impl FnMut(Field<'_>) -> Option<T>) -> Option<Vec<T>> {
    let header = format!(
        "write `[[{}.{}]]`, in two pairs of brackets",
        field.table, field.key
    );
    all(field.elements("an array of tables", &header)?, read)
}

const GRANTS: [&str; 3] = ["client_credentials", "password", "refresh_token"];

const COMMAND_HINT: &str = "no shell is used: `command = [\"/path/of/program\", \"argument\"]`";
const KINDS: &str = "KIND being client_credentials, password or refresh_token";
const PASSWORD_HINT: &str = "write `password = { file = \"/etc/bearerd/secrets/NAME\" }`";
const SEED_HINT: &str = "write `refresh_token = { file = \"/etc/bearerd/secrets/NAME\" }`";
