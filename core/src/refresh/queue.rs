//! Tokens that are due wait at their servers, and one after the other is let go.

use super::event::Use;
use super::limiter::{Admission, Place};
use super::phase::Phase;
use super::policy::ServerId;
use super::servers::Servers;
use super::tokens::Tokens;
use crate::credential::TokenName;
use crate::instant::Instant;

/// A token is to be requested as soon as its server may be asked.
pub(super) fn join(tokens: &mut Tokens, servers: &mut Servers, now: Instant, name: &TokenName) {
    let Some(slot) = tokens.get(name) else {
        return;
    };
    if let Err(obstacle) = tokens.next_use(now, slot) {
        return tokens.block(now, name, obstacle);
    }
    let Some(slot) = tokens.get_mut(name) else {
        return;
    };
    let place = slot.enqueue(now);
    let id = slot.policy.server.clone();
    tokens.mark_changed(name);
    if let Some(server) = servers.get_mut(&id) {
        server.enqueue(name, place);
    }
    servers.wake(now, &id);
}

/// While a token waits, its access token has expired, or its refresh token has: its place is
/// another one now, or there is no way to it without a person.
pub(super) fn move_up(
    tokens: &mut Tokens,
    servers: &mut Servers,
    now: Instant,
    name: &TokenName,
    before: Place,
) {
    let Some(slot) = tokens.get_mut(name) else {
        return;
    };
    let id = slot.policy.server.clone();
    let obstacle = slot.next_use(now).err();
    if let Some(server) = servers.get_mut(&id) {
        server.dequeue(name, before);
        if obstacle.is_none() {
            server.enqueue(name, slot.enqueue(now));
        }
    }
    if let Some(obstacle) = obstacle {
        tokens.block(now, name, obstacle.into());
    }
    servers.wake(now, &id);
}

/// The next token that is requested from this server now, and by which grant.
pub(super) fn admit(
    tokens: &mut Tokens,
    servers: &mut Servers,
    now: Instant,
    id: &ServerId,
) -> Option<(TokenName, Use)> {
    loop {
        let server = servers.get_mut(id)?;
        let name = match server.admit(now) {
            Admission::Closed => return None,
            Admission::Next(name) => name,
            Admission::NotBefore(at) => {
                servers.wake_at(id, at);
                return None;
            }
        };
        let slot = tokens.get(&name)?;
        let Phase::Queued(place) = slot.phase else {
            return None;
        };
        server.dequeue(&name, place);
        match tokens.next_use(now, slot) {
            Ok(by) => return Some((name, by)),
            Err(obstacle) => {
                tokens.block(now, &name, obstacle);
                tokens.arm(&name);
            }
        }
    }
}
