//! Tokens that are made from other tokens: an acyclic graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use bearerd_core::credential::TokenName;

use super::identity::identity;
use super::reading::{Reading, Site};
use super::token::TokenConfig;

/// Tokens that are made from others: those exist, and none is made from itself. Returns the tokens
/// with their identities, which those they are made from are part of.
pub(super) fn linked(
    tokens: BTreeMap<TokenName, TokenConfig>,
    sites: &BTreeMap<String, Site>,
    reading: &Reading,
) -> BTreeMap<TokenName, Arc<TokenConfig>> {
    let refuse = |name: &TokenName, message: String, hint: String| {
        if let Some(site) = sites.get(name.as_str()) {
            reading.refuse(*site, message, hint);
        }
    };
    let mut linked = BTreeMap::<TokenName, Arc<TokenConfig>>::new();
    let mut rest = tokens;
    loop {
        let before = rest.len();
        let ready = |token: &TokenConfig| {
            let mut parents = token.parents().into_iter();
            parents.all(|parent| linked.contains_key(&parent.name))
        };
        let names: Vec<_> = rest.iter().filter(|(_, token)| ready(token)).collect();
        let names: Vec<_> = names.into_iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(mut token) = rest.remove(&name) {
                token.identity = identity(&token, &linked);
                linked.insert(name, Arc::new(token));
            }
        }
        if rest.len() == before {
            break;
        }
    }
    for (name, token) in &rest {
        for parent in token.parents() {
            if !rest.contains_key(&parent.name) && !linked.contains_key(&parent.name) {
                // One that is there but wrong has been reported already.
                if !sites.contains_key(parent.name.as_str()) && !reading.broken.get() {
                    let hint = format!("add `[token.{}]`", parent.name);
                    let message = format!(
                        "`token.{name}` is made from `{}`, which is no token",
                        parent.name
                    );
                    refuse(name, message, hint);
                }
            } else if let Some(path) = cycle(&rest, name) {
                let message = format!("`token.{name}` is made from itself: {path}");
                refuse(
                    name,
                    message,
                    "break the circle: one of them has to come from elsewhere".into(),
                );
                break;
            }
        }
    }
    linked
}

/// The way from a token back to itself, if there is one and it is the first of those on it.
fn cycle(tokens: &BTreeMap<TokenName, TokenConfig>, start: &TokenName) -> Option<String> {
    let mut path = vec![start.clone()];
    let mut trail = vec![tokens.get(start)?.parents()];
    while let Some(parents) = trail.last_mut() {
        let Some(next) = parents.pop() else {
            trail.pop();
            path.pop();
            continue;
        };
        if next.name == *start {
            path.push(next.name);
            let names: Vec<_> = path.iter().map(TokenName::as_str).collect();
            return (path.iter().min() == Some(start)).then(|| names.join(" <- "));
        }
        if let Some(token) = tokens
            .get(&next.name)
            .filter(|_| !path.contains(&next.name))
        {
            trail.push(token.parents());
            path.push(next.name);
        }
    }
    None
}
