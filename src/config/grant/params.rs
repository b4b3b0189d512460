//! Further parameters of a request. Those that bearerd sets itself are refused.

use std::collections::BTreeMap;

use super::super::keys::Field;

/// Reads further parameters. `of_grants` are the names of those that grants set, each with a hint.
pub(super) fn read<'h>(
    field: Field<'_>,
    of_grants: impl Iterator<Item = (&'static str, &'h str)> + Clone,
) -> Option<BTreeMap<String, String>> {
    let keys = field.keys()?;
    let mut params = BTreeMap::new();
    for param in keys.all() {
        let mut set = SET.into_iter().chain(of_grants.clone());
        if let Some((name, hint)) = set.find(|(name, _)| *name == param.key) {
            let message = format!("the parameter `{name}` cannot be set here");
            keys.refuse(name, message, hint);
        }
        if let Some(value) = param.str("a string", "parameters are sent as text") {
            params.insert(param.key.to_owned(), value.to_owned());
        }
    }
    Some(params)
}

/// The parameters that bearerd sets with every grant, each with a hint.
const SET: [(&str, &str); 8] = [
    ("audience", TOKEN_HINT),
    ("resource", TOKEN_HINT),
    ("scope", TOKEN_HINT),
    ("grant_type", "it follows from `[token.NAME.grant.*]`"),
    ("client_id", "set it in `[client.NAME]`"),
    ("client_secret", AUTH_HINT),
    ("client_assertion", AUTH_HINT),
    ("client_assertion_type", AUTH_HINT),
];

const AUTH_HINT: &str = "it follows from `[client.NAME.auth.*]`";
const TOKEN_HINT: &str = "set it in the token's own table";

/// The hint for a parameter that is made for every login.
pub(super) const LOGIN_HINT: &str = "it is made anew for every login";
