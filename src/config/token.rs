//! `[token.NAME]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::RefreshAt;
use toml::de::DeValue;

use super::allow::socket;
use super::file::file;
use super::grant::{self, grant};
use super::keys::Field;
use super::model::{ClientConfig, HookAction, HookConfig, TokenConfig};
use super::references::params;
use super::units::{all, boolean, duration, scope, text_or_texts, texts, timeout};
use super::validate;

/// Reads `[token.NAME]`. `clients` holds every client by name, `None` where it could not be read.
pub(super) fn token(
    field: Field<'_>,
    name: TokenName,
    clients: &BTreeMap<String, Option<Arc<ClientConfig>>>,
) -> Option<TokenConfig> {
    let mut keys = field.keys()?;
    let alone = grant::stands_alone(&keys);
    let client = match alone {
        Some(_) => keys.optional("client", |_| None),
        None => keys.required(
            "client",
            "name one of the `[client.NAME]` tables",
            |client| validate::client_exists(client, clients),
        ),
    };
    for key in REQUEST_KEYS.into_iter().filter(|key| keys.has(key)) {
        if let Some(kind) = alone {
            let message = format!("`{key}` means nothing to the grant `{kind}`");
            keys.refuse(key, message, "leave it out: no token request is sent");
        }
    }
    let scope = keys.optional("scope", scope);
    let audience = keys.optional("audience", text_or_texts);
    let resource = keys.optional("resource", validate::resource);
    let params = keys.optional("params", params);
    let hint = format!("add `[{}.grant.KIND]`, {}", keys.name, grant::KINDS);
    let grant = keys.required("grant", &hint, grant);
    validate::login(&keys, client.as_deref(), scope.as_deref(), grant.as_ref());
    let refresh = keys.optional("refresh", refresh).unwrap_or_default();
    let assume_lifetime = keys.optional("assume_lifetime", duration);
    let revoke_on_removal = keys.optional("revoke_on_removal", boolean);
    let required = keys.optional("required", boolean);
    let files = keys.optional("file", |files| tables(files, file));
    let hooks = keys.optional("hook", |hooks| tables(hooks, hook));
    let socket = keys.optional("socket", socket).unwrap_or_default();
    keys.finish();
    if alone.is_none() && client.is_none() {
        return None;
    }
    Some(TokenConfig {
        name,
        client,
        scope: scope.unwrap_or_default(),
        audience: audience.unwrap_or_default(),
        resource: resource.unwrap_or_default(),
        params: params.unwrap_or_default(),
        grant: grant?,
        refresh_at: refresh.at.unwrap_or(RefreshAt::Permille(750)),
        follow_source: refresh.follow_source.unwrap_or(false),
        inactivity: refresh.inactivity,
        login_notice: refresh.login_notice.unwrap_or(LOGIN_NOTICE),
        assume_lifetime,
        revoke_on_removal: revoke_on_removal.unwrap_or(false),
        required: required.unwrap_or(true),
        files: files.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        allow: socket.allow,
        login: socket.login,
        // Follows when all tokens are known.
        identity: [0; 16],
    })
}

/// `[token.NAME.refresh]`.
#[derive(Default)]
struct Refresh {
    at: Option<RefreshAt>,
    follow_source: Option<bool>,
    inactivity: Option<Duration>,
    login_notice: Option<Duration>,
}

fn refresh(field: Field<'_>) -> Option<Refresh> {
    let mut keys = field.keys()?;
    let at = validate::refresh_at(&mut keys);
    let follow_source = keys.optional("follow_source", boolean);
    let inactivity = keys.optional("inactivity", duration);
    let login_notice = keys.optional("login_notice", duration);
    keys.finish();
    Some(Refresh {
        at,
        follow_source,
        inactivity,
        login_notice,
    })
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

pub(super) fn command(field: Field<'_>) -> Option<Vec<String>> {
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

pub(super) const COMMAND_HINT: &str =
    "no shell is used: `command = [\"/path/of/program\", \"argument\"]`";

/// What a token request says.
const REQUEST_KEYS: [&str; 5] = ["client", "scope", "audience", "resource", "params"];

/// Without `login_notice`.
const LOGIN_NOTICE: Duration = Duration::from_secs(15 * 60);
