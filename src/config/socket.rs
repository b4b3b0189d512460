//! `[token.NAME.socket]`: who may read a token through the socket, and who may log in for it.

use super::keys::Field;
use super::units::all;

/// One entry of `allow` or `login` in `[token.NAME.socket]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Allow {
    /// The entry as configured.
    pub written: String,
    /// Whom the entry means.
    pub who: Who,
}

/// Whom an entry of `allow` or `login` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// Processes that have this group, as their first or as a further one.
    Group(u32),
    /// Processes in systemd units whose name matches this glob.
    Unit(String),
    /// Processes of this user.
    User(u32),
}

/// `[token.NAME.socket]`.
#[derive(Default)]
pub(super) struct Socket {
    pub(super) allow: Vec<Allow>,
    pub(super) login: Vec<Allow>,
}

/// Reads the table.
pub(super) fn socket(field: Field<'_>) -> Option<Socket> {
    let mut keys = field.keys()?;
    let allow = match keys.has("login") {
        true => keys.optional("allow", rules),
        false => keys.required("allow", HINT, rules),
    };
    let login = keys.optional("login", rules);
    keys.finish();
    Some(Socket {
        allow: allow.unwrap_or_default(),
        login: login.unwrap_or_default(),
    })
}

fn rules(field: Field<'_>) -> Option<Vec<Allow>> {
    all(field.elements("a list of strings", HINT)?, rule)
}

fn rule(field: Field<'_>) -> Option<Allow> {
    let written = field.str("a string", HINT)?;
    let who = match written.split_once(':') {
        Some(("user", name)) => Who::User(user(field, name)?),
        Some(("group", name)) => Who::Group(group(field, name)?),
        Some(("unit", glob)) => Who::Unit(unit(field, glob)?),
        _ => return field.refuse("an entry is `user:…`, `group:…` or `unit:…`", HINT),
    };
    Some(Allow {
        written: written.to_owned(),
        who,
    })
}

fn user(field: Field<'_>, name: &str) -> Option<u32> {
    let id = id(name).or_else(|| field.origin.reading.users.owner(name));
    let hint = "by name, as in /etc/passwd, or by id";
    id.or_else(|| field.refuse(format!("there is no user `{name}`"), hint))
}

fn group(field: Field<'_>, name: &str) -> Option<u32> {
    let id = id(name).or_else(|| field.origin.reading.users.group(name));
    let hint = "by name, as in /etc/group, or by id";
    id.or_else(|| field.refuse(format!("there is no group `{name}`"), hint))
}

fn id(name: &str) -> Option<u32> {
    // The largest id means "nobody in particular" to the kernel.
    name.parse().ok().filter(|&id: &u32| id != u32::MAX)
}

fn unit(field: Field<'_>, glob: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@*?".contains(c);
    if glob.is_empty() || !glob.chars().all(allowed) {
        let hint = "`*` is any text, `?` any character: `unit:reports@*.service`";
        return field.refuse("this is no unit's name", hint);
    }
    if !glob.contains(['.', '*']) {
        let hint = format!("write `unit:{glob}.service`");
        return field.refuse(format!("`{glob}` lacks the unit's kind"), &hint);
    }
    Some(glob.to_owned())
}

const HINT: &str =
    "such as `allow = [\"user:www-data\", \"group:reports\", \"unit:reports@*.service\"]`";
