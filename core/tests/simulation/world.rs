//! The authorization servers: what they know, and how they answer or fail to.

use std::time::Duration;

use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Delivery, Failure, FailureKind, Grant, Use};

use super::chance::Chance;

/// The longest an answer takes from a server that is well.
pub const LATENCY: Duration = Duration::from_millis(150);

const FORGETS_AFTER: Duration = Duration::from_secs(59 * 60);

/// One authorization server.
pub struct Server {
    pub mode: Mode,
    pub mode_ends_at: Instant,
    /// Until when tokens may suffer from what happened here.
    pub trouble_until: Instant,
}

/// How a server does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// 5xx, some with `Retry-After`.
    Erroring,
    /// Requests or their answers are lost.
    Hanging,
    /// A 4xx nobody has heard of.
    Odd,
    /// Connection refused.
    Refusing,
    /// Answers after the deadline.
    Slow,
    /// 429, some with `Retry-After`.
    Throttling,
    /// Well.
    Up,
}

/// What happens to refresh tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rotation {
    /// Each works once; a spent one ends the session. Idle limit, stated.
    Keycloak,
    /// Each works once; a spent one is refused. An absolute window from the first issue.
    Nhs,
    /// The same for good, and not repeated in the answer.
    Static,
    /// Each works once, and no limit is stated, though there is an idle one.
    Unstated,
}

/// Which refresh token: the session it belongs to and its number there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RefreshToken {
    session: u32,
    serial: u32,
}

struct Session {
    id: u32,
    live: bool,
    honoured: u32,
    ends_at: Instant,
}

/// What a server knows of one client.
pub struct Registration {
    pub server: usize,
    pub grant: Grant,
    pub rotation: Rotation,
    pub lifetime: Duration,
    pub refresh_lifetime: Duration,
    /// The password and the key it accepts, by number.
    pub password: u32,
    pub key: u32,
    pub denied: bool,
    /// Wrong passwords it has counted. Like most it forgets after a while.
    pub refused_passwords: u32,
    refused_at: Instant,
    forgiven_at: Instant,
    sessions: Vec<Session>,
    next_session: u32,
}

/// A token request on its way.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub by: Use,
    pub sent_at: Instant,
    pub deadline: Duration,
    pub password: u32,
    pub key: u32,
    /// The refresh token used: the one held, or the seed.
    pub refresh: Option<RefreshToken>,
    /// Until when the token is valid that this one is made from.
    pub subject: Option<Instant>,
}

/// What a server grants.
#[derive(Clone, Copy, Debug)]
pub struct Granted {
    pub lifetime: Duration,
    pub refresh: Option<RefreshToken>,
    pub refresh_expires_in: Option<Duration>,
}

pub type Answer = Result<Granted, Failure>;

/// What becomes of a request.
pub enum Fate {
    Answered {
        after: Duration,
        answer: Answer,
    },
    /// Nobody will ever hear of it.
    Lost,
}

impl Registration {
    pub fn new(server: usize, grant: Grant, rotation: Rotation, lifetime: Duration) -> Self {
        Self {
            server,
            grant,
            rotation,
            lifetime,
            refresh_lifetime: lifetime * 2,
            password: 0,
            key: 0,
            denied: false,
            refused_passwords: 0,
            refused_at: Instant::BOOT,
            forgiven_at: Instant::BOOT,
            sessions: Vec::new(),
            next_session: 0,
        }
    }

    /// A wrong password was refused, and the refusal heard. (What a server counts while its answers
    /// get lost, nobody can know.)
    pub fn refused_password(&mut self, now: Instant, sent_at: Instant) {
        if now - self.refused_at > FORGETS_AFTER {
            self.refused_passwords = 0;
        }
        if self.forgiven_at <= sent_at {
            self.refused_passwords += 1;
            self.refused_at = now;
        }
    }

    /// Something changed, or somebody asks for another try.
    pub fn forgive_passwords(&mut self, now: Instant) {
        self.refused_passwords = 0;
        self.forgiven_at = now;
    }

    /// Somebody logs in: a new session and its first refresh token.
    pub fn login(&mut self, now: Instant) -> RefreshToken {
        let id = self.next_session;
        self.next_session += 1;
        // Enough sessions are remembered for any answer still on its way.
        if self.sessions.len() > 3 {
            self.sessions.remove(0);
        }
        let ends_at = now + self.refresh_lifetime;
        self.sessions.push(Session {
            id,
            live: true,
            honoured: 0,
            ends_at,
        });
        RefreshToken {
            session: id,
            serial: 0,
        }
    }

    /// The server ends every session.
    pub fn revoke(&mut self) {
        self.sessions.clear();
    }

    /// Whether this refresh token still works.
    pub fn honours(&self, now: Instant, token: RefreshToken) -> bool {
        self.sessions.iter().any(|session| {
            session.id == token.session
                && session.live
                && session.honoured == token.serial
                && now < session.ends_at
        })
    }

    /// Takes a refresh token; the one that works from now on.
    fn redeem(&mut self, now: Instant, token: RefreshToken) -> Option<RefreshToken> {
        let (rotation, idle) = (self.rotation, self.refresh_lifetime);
        let session = self
            .sessions
            .iter_mut()
            .find(|session| session.id == token.session)?;
        if !session.live || session.ends_at <= now {
            return None;
        }
        if session.honoured != token.serial {
            session.live = rotation != Rotation::Keycloak;
            return None;
        }
        if rotation != Rotation::Static {
            session.honoured += 1;
        }
        if rotation != Rotation::Nhs {
            session.ends_at = now + idle;
        }
        Some(RefreshToken {
            serial: session.honoured,
            ..token
        })
    }

    /// What a server that is well answers.
    fn answer(&mut self, now: Instant, request: &Request) -> Answer {
        if request.key != self.key {
            return Err(answered(FailureKind::Misconfigured));
        }
        if self.denied {
            return Err(answered(FailureKind::Denied));
        }
        let refused = Err(answered(FailureKind::GrantRefused));
        let refresh = match (request.refresh, self.grant) {
            (Some(token), _) => match self.redeem(now, token) {
                Some(_) if self.rotation == Rotation::Static && request.by == Use::RefreshToken => {
                    None
                }
                Some(token) => Some(token),
                None => return refused,
            },
            (None, Grant::ClientCredentials) => None,
            (None, Grant::Exchange) if request.subject.is_some_and(|end| now < end) => {
                Some(self.login(now))
            }
            (None, Grant::Password) if request.password == self.password => Some(self.login(now)),
            (None, _) => return refused,
        };
        let ends_at = refresh.and_then(|token| {
            self.sessions
                .iter()
                .find(|session| session.id == token.session)
                .map(|s| s.ends_at)
        });
        let stated = matches!(self.rotation, Rotation::Keycloak | Rotation::Nhs);
        Ok(Granted {
            lifetime: self.lifetime,
            refresh,
            refresh_expires_in: ends_at.filter(|_| stated).map(|ends_at| ends_at - now),
        })
    }
}

impl Server {
    /// What becomes of a request that reaches this server now.
    pub fn receive(
        &mut self,
        now: Instant,
        registration: &mut Registration,
        request: &Request,
        chance: &mut Chance,
    ) -> Fate {
        let after = chance.between(Duration::from_millis(1), LATENCY / 2);
        let mode = match self.mode {
            // One request in some hundred fails on a server that is well otherwise.
            Mode::Up if chance.one_in(300) => {
                self.suffers_until(now + after);
                chance.pick(&[Mode::Erroring, Mode::Hanging, Mode::Slow, Mode::Throttling])
            }
            mode => mode,
        };
        let (kind, delivery) = match mode {
            Mode::Up => {
                let answer = registration.answer(now, request);
                return Fate::Answered { after, answer };
            }
            Mode::Slow => {
                self.suffers_until(request.sent_at + request.deadline);
                let answer = registration.answer(now, request);
                let after = chance.between(LATENCY, request.deadline * 3 / 2);
                return Fate::Answered { after, answer };
            }
            Mode::Hanging => {
                // A place among those in flight is taken meanwhile: all suffer.
                self.suffers_until(request.sent_at + request.deadline);
                if chance.one_in(2) {
                    let _unheard = registration.answer(now, request);
                }
                if chance.one_in(2) {
                    return Fate::Lost;
                }
                (FailureKind::Unavailable, Delivery::Unknown)
            }
            Mode::Erroring => (FailureKind::Unavailable, Delivery::Answered),
            Mode::Odd => (FailureKind::Unrecognized, Delivery::Answered),
            Mode::Refusing => (FailureKind::Unavailable, Delivery::NotSent),
            Mode::Throttling => (FailureKind::RateLimited, Delivery::Answered),
        };
        let retry_after = match mode {
            Mode::Erroring | Mode::Throttling => retry_after(chance),
            _ => None,
        };
        Fate::Answered {
            after,
            answer: Err(Failure {
                kind,
                delivery,
                retry_after,
                echo: false,
            }),
        }
    }

    /// Tokens may suffer from what happens here until then.
    pub fn suffers_until(&mut self, until: Instant) {
        self.trouble_until = self.trouble_until.max(until);
    }
}

fn answered(kind: FailureKind) -> Failure {
    Failure {
        kind,
        delivery: Delivery::Answered,
        retry_after: None,
        echo: false,
    }
}

fn retry_after(chance: &mut Chance) -> Option<Duration> {
    match chance.below(8) {
        0..4 => None,
        4..7 => Some(Duration::from_secs(chance.below(30))),
        _ => Some(Duration::from_secs(chance.below(2000))),
    }
}
