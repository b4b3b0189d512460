//! What people and circumstances do to a running daemon.

use std::time::Duration;

use bearerd_core::refresh::{AttemptId, Event, Grant, Health, Use};

use super::run::{Happening, World, refresh_at};
use super::shell::Token;
use super::world::{Granted, Mode, Request, Rotation};

impl World {
    /// Something goes wrong, or changes, or is mended; and the same again later.
    pub fn mischief(&mut self) {
        self.mend_something();
        let index = self.chance.below(self.tokens.len() as u64) as usize;
        match self.chance.below(24) {
            0..8 => self.outage(),
            8..10 => self.change_key(index),
            10..12 => self.change_password(index),
            12 => self.deny(index),
            13..16 => self.ask_for(index),
            16..19 => self.reload(index),
            19 => self.tokens[index].registration.revoke(),
            20..22 if self.shell.running => self.crash(),
            22 => self.suspend(),
            _ => self.step_the_clock(),
        }
        for index in 0..self.tokens.len() {
            self.check_recovery(index);
        }
        let pause = self.tempo * self.chance.pick(&[1, 2, 4]) + Duration::from_secs(5);
        let next = self.chance.between(Duration::ZERO, pause);
        self.schedule(self.now + next, Happening::Mischief);
    }

    fn check_recovery(&self, index: usize) {
        let token = &self.tokens[index];
        if self.shell.running && token.configured {
            let meter = &self.meters[token.registration.server];
            token
                .watch
                .recovered(self.now, token.registration.lifetime, meter);
        }
    }

    fn outage(&mut self) {
        self.totals.outages += 1;
        let server = self.chance.below(self.servers.len() as u64) as usize;
        let modes = [
            Mode::Erroring,
            Mode::Hanging,
            Mode::Odd,
            Mode::Refusing,
            Mode::Slow,
            Mode::Throttling,
        ];
        let ends_at = self.now + self.duration();
        let mode = self.chance.pick(&modes);
        self.servers[server].mode = mode;
        self.servers[server].mode_ends_at = ends_at;
        self.servers[server].suffers_until(ends_at);
        let meter = &mut self.meters[server];
        meter.trouble_until = meter.trouble_until.max(ends_at);
        self.schedule(ends_at, Happening::Recovers);
    }

    /// Ends the outages that have lasted long enough.
    pub fn end_outages(&mut self) {
        for server in &mut self.servers {
            if server.mode_ends_at <= self.now {
                server.mode = Mode::Up;
            }
        }
    }

    fn change_key(&mut self, index: usize) {
        self.totals.changed_keys += 1;
        self.tokens[index].registration.key += 1;
    }

    fn change_password(&mut self, index: usize) {
        self.totals.changed_passwords += 1;
        let token = &mut self.tokens[index];
        token.registration.password += 1;
        token.registration.forgive_passwords(self.now);
        // Most servers end the sessions that began with the old one.
        if self.chance.one_in(2) {
            token.registration.revoke();
        }
    }

    fn deny(&mut self, index: usize) {
        self.tokens[index].registration.denied = true;
    }

    /// Consumers ask for a new token, several at once.
    fn ask_for(&mut self, index: usize) {
        for _ in 0..=self.chance.below(5) {
            self.tell_of(index, |name| Event::RefreshRequested { name });
        }
    }

    /// One thing that is broken is put right, here or at the server.
    fn mend_something(&mut self) {
        let index = self.chance.below(self.tokens.len() as u64) as usize;
        let token = &mut self.tokens[index];
        let status = self.shell.scheduler.status(&token.name);
        let failing = status.is_some_and(|s| matches!(s.health, Health::Failing { .. }));
        let here = self.chance.one_in(2);
        let registration = &mut token.registration;
        if registration.denied {
            registration.denied = false;
        } else if registration.key != token.key && !here {
            registration.key = token.key;
        } else if registration.key != token.key || registration.password != token.password {
            (token.key, token.password) = (registration.key, registration.password);
            registration.forgive_passwords(self.now);
            token.watch.mended(self.now);
            self.tell_of(index, |name| Event::InputsChanged { name });
        } else if token.policy.grant == Grant::Login && failing {
            self.log_in(index);
        } else if token.policy.grant == Grant::RefreshToken && failing {
            self.totals.logins += 1;
            token.seed = Some(registration.login(self.now));
            token.watch.mended(self.now);
            self.tell_of(index, |name| Event::InputsChanged { name });
        }
    }

    /// Somebody logs in, and what that brings reaches the core at once.
    fn log_in(&mut self, index: usize) {
        if !self.shell.running || !self.tokens[index].configured {
            return;
        }
        self.totals.logins += 1;
        let now = self.now;
        let token = &mut self.tokens[index];
        let refresh = token.registration.login(now);
        token.watch.mended(now);
        token.watch.given_up = token.watch.in_flight;
        let stated = matches!(
            token.registration.rotation,
            Rotation::Keycloak | Rotation::Nhs
        );
        let granted = Granted {
            lifetime: token.registration.lifetime,
            refresh: Some(refresh),
            refresh_expires_in: stated.then_some(token.registration.refresh_lifetime),
        };
        let request = Request {
            by: Use::Primary,
            sent_at: now,
            deadline: token.policy.deadline,
            password: 0,
            key: token.key,
            refresh: None,
            subject: None,
        };
        let name = token.name.clone();
        let attempt = self.shell.scheduler.begin_attempt();
        self.shell.next_attempt = AttemptId(attempt.0 + 1);
        let validity = self.validity(index, &request, &granted);
        let arrived = (request, granted, validity);
        self.shell.arrived.insert(attempt, arrived);
        self.tell(Event::LoggedIn {
            name,
            attempt,
            validity,
        });
    }

    fn reload(&mut self, index: usize) {
        if !self.shell.running {
            return;
        }
        self.totals.reloads += 1;
        let token = &mut self.tokens[index];
        // Whoever changes a token's policy asks for another try.
        token.registration.forgive_passwords(self.now);
        match self.chance.below(5) {
            _ if !token.configured => self.add(index),
            0 => {
                token.policy.refresh_at = refresh_at(&mut self.chance, token.registration.lifetime);
            }
            1 => self.change_limits(index),
            2 => self.change_identity(index),
            3 => self.remove(index),
            _ => {
                let (low, high) = (Duration::from_secs(2), Duration::from_secs(12));
                token.policy.deadline = self.chance.between(low, high);
            }
        }
        self.trouble_for_all(Duration::ZERO);
        self.configure();
        self.settle();
    }

    fn change_limits(&mut self, index: usize) {
        let server = self.tokens[index].registration.server;
        let meter = &mut self.meters[server];
        meter.limits.max_in_flight = self.chance.pick(&[1, 2, 4, 16]);
        for token in self
            .tokens
            .iter_mut()
            .filter(|t| t.registration.server == server)
        {
            token.policy.limits = meter.limits;
            token.registration.forgive_passwords(self.now);
        }
    }

    /// Another scope, say: a refresh token that was granted for the old one is of no use.
    fn change_identity(&mut self, index: usize) {
        let token = &mut self.tokens[index];
        token.policy.identity[0] = token.policy.identity[0].wrapping_add(1);
        token.begins_anew(self.now, self.shell.next_attempt);
    }

    fn remove(&mut self, index: usize) {
        let made_from_it = |other: &Token| other.configured && other.parent == Some(index);
        if self.tokens.iter().any(made_from_it) {
            return;
        }
        let token = &mut self.tokens[index];
        token.configured = false;
        token.record = None;
        token.current = None;
    }

    fn add(&mut self, index: usize) {
        let parent = self.tokens[index].parent;
        if parent.is_some_and(|parent| !self.tokens[parent].configured) {
            return;
        }
        let token = &mut self.tokens[index];
        token.configured = true;
        token.begins_anew(self.now, self.shell.next_attempt);
        token.watch.forget_attempts();
    }

    /// The wall clock jumps: nothing may follow from it before the next boot.
    fn step_the_clock(&mut self) {
        self.totals.clock_steps += 1;
        let step = self.duration();
        let wall = &mut self.shell.wall_at_boot;
        *wall = if self.chance.one_in(2) {
            *wall + step
        } else {
            *wall - step
        };
    }
}
