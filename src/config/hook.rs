//! `[[token.NAME.hook]]`: what runs when a token was replaced.

use std::time::Duration;

use super::keys::Field;
use super::units::{COMMAND_HINT, boolean, command, timeout};

/// `[[token.NAME.hook]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookConfig {
    /// What the hook does.
    pub action: HookAction,
    /// How long the hook may run before it is killed.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HookAction {
    /// It runs a program with these arguments. No shell is used.
    Command(Vec<String>),
    /// It has the units that got the token as a credential reloaded or restarted, so that they get
    /// the new one.
    ReloadConsumers,
}

/// Reads one hook.
pub(super) fn hook(field: Field<'_>) -> Option<HookConfig> {
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
        (true, false) | (false, true) => {}
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
