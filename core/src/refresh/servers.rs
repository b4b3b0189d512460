//! All authorization servers, and when each may be asked next.

use std::collections::BTreeMap;

use super::limiter::Server;
use super::policy::{Limits, ServerId};
use super::timers::Timers;
use crate::instant::Instant;

/// All authorization servers.
#[derive(Debug, Default)]
pub(super) struct Servers {
    servers: BTreeMap<ServerId, Server>,
    timers: Timers<ServerId>,
}

impl Servers {
    /// The server of this name.
    pub(super) fn get_mut(&mut self, id: &ServerId) -> Option<&mut Server> {
        self.servers.get_mut(id)
    }

    /// Replaces the configuration: these are the servers that tokens come from, and their limits.
    pub(super) fn configure(&mut self, now: Instant, limits: BTreeMap<ServerId, Limits>) {
        // Nobody waits for one without tokens, so it has no timer. What it asked for is remembered,
        // lest a token that is taken out and put back bring it down again.
        self.servers
            .retain(|id, server| limits.contains_key(id) || server.is_paused(now));
        for (id, limits) in limits {
            self.servers
                .entry(id.clone())
                .or_insert_with(|| Server::new(limits))
                .limit(limits);
            self.wake(now, &id);
        }
    }

    /// Lets a server choose again who may send: something changed.
    pub(super) fn wake(&mut self, now: Instant, id: &ServerId) {
        if let Some(server) = self.servers.get_mut(id) {
            let wake = server.has_queue().then_some(now);
            self.timers.arm(&mut server.armed, wake, || id.clone());
        }
    }

    /// Lets a server choose again at this instant.
    pub(super) fn wake_at(&mut self, id: &ServerId, at: Instant) {
        if let Some(server) = self.servers.get_mut(id) {
            self.timers.arm(&mut server.armed, Some(at), || id.clone());
        }
    }

    /// When the first timer of a server goes off.
    pub(super) fn first_timer(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Takes out the first server whose timer has gone off.
    pub(super) fn pop_reached(&mut self, now: Instant) -> Option<ServerId> {
        let id = self.timers.pop_reached(now)?;
        if let Some(server) = self.servers.get_mut(&id) {
            server.armed = None;
        }
        Some(id)
    }
}
