//! One world from its seed: time, what happens in it, and the people who break and mend things.

use std::collections::BTreeMap;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{
    AttemptId, Event, Grant, Limits, Parent, Part, Policy, RefreshAt, Scheduler, ServerId,
};

use super::chance::Chance;
use super::check::{Meter, Watch};
use super::shell::{Shell, Token};
use super::totals::Totals;
use super::world::{Answer, Fate, LATENCY, Mode, Registration, Request, Rotation, Server};

/// Everything there is.
pub struct World {
    pub seed: u64,
    pub chance: Chance,
    pub now: Instant,
    /// What a token's lifetime is about, and with it the pace of events.
    pub tempo: Duration,
    pub servers: Vec<Server>,
    pub meters: Vec<Meter>,
    pub tokens: Vec<Token>,
    pub indices: BTreeMap<TokenName, usize>,
    pub shell: Shell,
    pub totals: Totals,
    happenings: BTreeMap<(Instant, u64), Happening>,
    happened: u64,
    /// Calls of the core within the current second.
    calls: (u64, u32),
}

/// What is going to happen.
pub enum Happening {
    /// A request reaches its server.
    Arrives {
        process: u32,
        index: usize,
        attempt: AttemptId,
        request: Request,
    },
    /// An answer reaches the host.
    Answered {
        process: u32,
        index: usize,
        attempt: AttemptId,
        request: Request,
        answer: Answer,
    },
    /// Somebody or something interferes.
    Mischief,
    /// An outage ends.
    Recovers,
    /// The daemon starts.
    Starts,
}

impl World {
    /// A world that the seed determines.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let tempo = Duration::from_secs(chance.pick(&[7, 20, 60, 300, 600, 3600, 28_800]));
        let now = Instant::since_boot(Duration::from_secs(1_000_000));
        let booted_at = now.saturating_sub(Duration::from_secs(100));
        let shell = Shell {
            scheduler: Scheduler::new(seed),
            process: 0,
            running: false,
            next_attempt: AttemptId(0),
            boot: 0,
            booted_at,
            wall_at_boot: Duration::from_secs(1 << 31),
            in_flight: BTreeMap::new(),
            arrived: BTreeMap::new(),
        };
        let mut world = Self {
            seed,
            now,
            tempo,
            servers: Vec::new(),
            meters: Vec::new(),
            tokens: Vec::new(),
            indices: BTreeMap::new(),
            shell,
            totals: Totals::default(),
            happenings: BTreeMap::new(),
            happened: 0,
            calls: (0, 0),
            chance: Chance::new(chance.bits()),
        };
        world.populate();
        world.start();
        world.schedule(now + tempo, Happening::Mischief);
        world
    }

    /// Runs until so many attempts were made.
    pub fn run(&mut self, attempts: u64) {
        let begun_at = self.now;
        while self.totals.attempts < attempts {
            self.step();
        }
        self.totals.virtual_days = (self.now - begun_at).as_secs() / 86_400;
    }

    pub fn schedule(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.happenings.insert((at, self.happened), happening);
    }

    /// The core is called: not more often than what happens explains.
    pub fn count_call(&mut self) {
        let second = self.now.elapsed_since_boot().as_secs();
        if self.calls.0 != second {
            self.calls = (second, 0);
        }
        self.calls.1 += 1;
        let bound = 40 + 12 * self.tokens.len() as u32;
        assert!(
            self.calls.1 < bound,
            "{} calls within a second",
            self.calls.1
        );
    }

    fn populate(&mut self) {
        let crowd = self.chance.one_in(32);
        let servers = if crowd {
            1
        } else {
            1 + self.chance.below(3) as usize
        };
        for _ in 0..servers {
            let mode_ends_at = self.now;
            let up = Server {
                mode: Mode::Up,
                mode_ends_at,
                trouble_until: self.now,
            };
            self.servers.push(up);
            let max_in_flight = self.chance.pick(&[1, 2, 4, 16]);
            self.meters.push(Meter::new(Limits {
                max_in_flight,
                requests_per_minute: None,
            }));
        }
        let tokens = if crowd {
            40
        } else {
            1 + self.chance.below(7) as usize
        };
        for index in 0..tokens {
            self.add_token(index);
        }
        for (server, meter) in self.meters.iter_mut().enumerate() {
            let own = self
                .tokens
                .iter()
                .filter(|token| token.registration.server == server);
            // A published rate that the tokens' lifetimes stay well within.
            let demand: f64 = own
                .map(|t| 120.0 / t.registration.lifetime.as_secs_f64())
                .sum();
            if self.chance.one_in(3) && demand < 40.0 {
                let rate = self.chance.pick(&[120, 300]);
                meter.limits.requests_per_minute = Some(rate.max(demand as u32 * 4));
            }
        }
        for token in &mut self.tokens {
            let meter = &mut self.meters[token.registration.server];
            meter.tokens += 1;
            token.policy.limits = meter.limits;
        }
    }

    fn add_token(&mut self, index: usize) {
        let chance = &mut self.chance;
        let server = chance.below(self.servers.len() as u64) as usize;
        let grants = [
            Grant::ClientCredentials,
            Grant::Exchange,
            Grant::Login,
            Grant::Password,
            Grant::RefreshToken,
        ];
        let grant = match chance.pick(&grants) {
            Grant::Exchange if index == 0 => Grant::ClientCredentials,
            grant => grant,
        };
        let parent = (grant == Grant::Exchange).then(|| chance.below(index as u64) as usize);
        let parents = parent.map(|parent| Parent {
            name: self.tokens[parent].name.clone(),
            part: Part::AccessToken,
            on_refresh: false,
        });
        let rotation = chance.pick(&ROTATIONS);
        let low = (self.tempo / 2).max(Duration::from_secs(5));
        let lifetime = chance.between(low, self.tempo * 3 / 2);
        let mut registration = Registration::new(server, grant, rotation, lifetime);
        registration.refresh_lifetime = match rotation {
            // Idle limits, some shorter than the access token's life; a window of many lives.
            Rotation::Keycloak => chance.between(lifetime / 2, lifetime * 8),
            Rotation::Nhs => lifetime * 72,
            Rotation::Static | Rotation::Unstated => lifetime * 12,
        };
        let seed = (grant == Grant::RefreshToken).then(|| registration.login(self.now));
        let policy = Policy {
            server: ServerId(format!("https://as{server}.example").into()),
            limits: self.meters[server].limits,
            grant,
            refresh_at: refresh_at(chance, lifetime),
            deadline: chance.pick(&[Duration::from_secs(3), Duration::from_secs(10)]),
            identity: [0; 16],
            parents: parents.into_iter().collect(),
            follows_parents: chance.one_in(3),
            inactivity: None,
            login_notice: Duration::from_secs(900),
            rotation_grace: Duration::ZERO,
        };
        let name = TokenName::parse(&format!("t{index}")).unwrap();
        self.indices.insert(name.clone(), index);
        let token = Token {
            name,
            registration,
            policy,
            configured: true,
            password: 0,
            key: 0,
            seed,
            record: None,
            parent,
            current: None,
            watch: Watch::new(self.now),
        };
        self.tokens.push(token);
    }

    fn step(&mut self) {
        let due = match self.shell.scheduler.poll_timeout() {
            Some(at) if self.shell.running => Some(self.shell.booted_at + at.elapsed_since_boot()),
            _ => None,
        };
        let next = self.happenings.first_key_value().map(|((at, _), _)| *at);
        if let Some(due) = due.filter(|due| next.is_none_or(|next| *due < next)) {
            // Timers fire late, if only a little.
            let late = Duration::from_micros(self.chance.below(2000));
            self.now = self.now.max(due + late);
            self.excuse_all();
            self.settle();
        } else if let Some(((at, _), happening)) = self.happenings.pop_first() {
            self.now = self.now.max(at);
            self.excuse_all();
            self.happen(happening);
            self.settle();
        }
        for index in 0..self.tokens.len() {
            self.check(index);
        }
    }

    fn excuse_all(&mut self) {
        for index in 0..self.tokens.len() {
            self.excuse(index);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives {
                process,
                index,
                attempt,
                request,
            } => {
                self.arrive(process, index, attempt, request);
            }
            Happening::Answered {
                process,
                index,
                attempt,
                request,
                answer,
            } => {
                if process == self.shell.process && self.shell.running {
                    self.answered(index, attempt, request, answer);
                } else {
                    self.totals.lost_replies += 1;
                }
            }
            Happening::Mischief => self.mischief(),
            Happening::Recovers => self.end_outages(),
            Happening::Starts => self.start(),
        }
    }

    fn arrive(&mut self, process: u32, index: usize, attempt: AttemptId, request: Request) {
        let registration = &mut self.tokens[index].registration;
        let server = registration.server;
        let fate = self.servers[server].receive(self.now, registration, &request, &mut self.chance);
        let trouble_until = self.servers[server].trouble_until;
        let meter = &mut self.meters[server];
        meter.trouble_until = meter.trouble_until.max(trouble_until);
        match fate {
            Fate::Answered { after, answer } => {
                let answered = Happening::Answered {
                    process,
                    index,
                    attempt,
                    request,
                    answer,
                };
                self.schedule(self.now + after, answered);
            }
            Fate::Lost => self.totals.lost_replies += 1,
        }
    }

    /// Nothing runs for a while; the servers answer meanwhile.
    pub fn suspend(&mut self) {
        self.totals.suspends += 1;
        let resumes_at = self.now + self.duration();
        while let Some(entry) = self
            .happenings
            .first_entry()
            .filter(|e| e.key().0 < resumes_at)
        {
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            match happening {
                Happening::Arrives {
                    process,
                    index,
                    attempt,
                    request,
                } => {
                    self.arrive(process, index, attempt, request);
                }
                other => self.schedule(resumes_at, other),
            }
        }
        self.now = resumes_at;
        self.trouble_for_all(LATENCY);
    }

    /// Until `after` from now no expiry is the core's fault.
    pub fn trouble_for_all(&mut self, after: Duration) {
        for token in &mut self.tokens {
            token.watch.suffers_until(self.now + after);
            token.watch.hurries();
        }
    }

    /// Short or long, against the tokens' lifetimes.
    pub fn duration(&mut self) -> Duration {
        let span = self.tempo / self.chance.pick(&[64, 16, 4, 1]);
        self.chance.between(span / 4, span * 2)
    }

    /// Tells the core if it runs.
    pub fn tell_of(&mut self, index: usize, event: impl FnOnce(TokenName) -> Event) {
        self.tokens[index].watch.hurries();
        if self.shell.running {
            self.tell(event(self.tokens[index].name.clone()));
        }
    }
}

pub fn refresh_at(chance: &mut Chance, lifetime: Duration) -> RefreshAt {
    match chance.below(4) {
        0 => RefreshAt::BeforeExpiry(lifetime / 3),
        1 => RefreshAt::Permille(500 + chance.below(500) as u16),
        _ => RefreshAt::Permille(750),
    }
}

const ROTATIONS: [Rotation; 4] = [
    Rotation::Keycloak,
    Rotation::Nhs,
    Rotation::Static,
    Rotation::Unstated,
];
