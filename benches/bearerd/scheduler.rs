//! The core alone, with a hundred thousand tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Duration;

use bearerd::clock;
use bearerd_core::credential::{TokenName, Validity};
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{
    Command, Event, Grant, Limits, Policy, RefreshAt, Scheduler, ServerId,
};

use crate::daemon::millis;
use crate::table::Row;

const TOKENS: usize = 100_000;
const SERVERS: usize = 10;
const CYCLES: usize = 1_000_000;
const LIFETIME: Duration = Duration::from_secs(3600);
const ANSWER_AFTER: Duration = Duration::from_millis(50);

pub(crate) fn scheduler() -> Vec<Row> {
    let names: Vec<_> = (0..TOKENS)
        .map(|number| TokenName::parse(&format!("t{number:06}")).expect("a name"))
        .collect();
    let start = Instant::since_boot(Duration::from_secs(1000));
    let mut world = World::new(start);
    let policies = policies(&names);
    let configured = timed(|| world.scheduler.configure(start, policies));
    world.cycles(TOKENS);
    let cycles = per_cycle(timed(|| world.cycles(CYCLES)));
    let floor = per_cycle(timed(|| bare_set(&names, start)));
    vec![
        Row::new(
            "scheduler, a token's cycle, 100,000 tokens",
            format!("{cycles:.0} ns"),
        )
        .over(format!("{floor:.0} ns"), cycles / floor),
        Row::new("… taking over that configuration", millis(configured)),
    ]
}

fn per_cycle(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9 / CYCLES as f64
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = clock::now();
    work();
    clock::now() - begun
}

fn policies(names: &[TokenName]) -> BTreeMap<TokenName, Policy> {
    let policy = |number: usize| Policy {
        server: ServerId(format!("https://s{}.example.org", number % SERVERS).into()),
        limits: Limits {
            max_in_flight: 32,
            requests_per_minute: None,
        },
        grant: Grant::ClientCredentials,
        refresh_at: RefreshAt::Permille(750),
        deadline: Duration::from_secs(30),
        identity: [0; 16],
        parents: Vec::new(),
        follows_parents: false,
        inactivity: None,
        login_notice: Duration::from_secs(900),
        rotation_grace: Duration::ZERO,
    };
    let names = names.iter().enumerate();
    names
        .map(|(number, name)| (name.clone(), policy(number)))
        .collect()
}

/// The core, and servers that answer each request after the same time.
struct World {
    scheduler: Scheduler,
    now: Instant,
    answers: std::collections::VecDeque<(Instant, Event)>,
}

impl World {
    fn new(now: Instant) -> Self {
        Self {
            scheduler: Scheduler::new(1),
            now,
            answers: Default::default(),
        }
    }

    /// Lets so many tokens be obtained: for each a timer, a command, an event, a command.
    fn cycles(&mut self, mut count: usize) {
        while count > 0 {
            let timeout = self.scheduler.poll_timeout();
            let answer = self.answers.front().map(|(at, _)| *at);
            let next = timeout
                .into_iter()
                .chain(answer)
                .min()
                .expect("something to come");
            self.now = self.now.max(next);
            if answer.is_some_and(|at| at <= self.now)
                && let Some((_, event)) = self.answers.pop_front()
            {
                self.scheduler.handle_event(self.now, event);
                count -= 1;
            }
            if self
                .scheduler
                .poll_timeout()
                .is_some_and(|at| at <= self.now)
            {
                self.scheduler.handle_timeout(self.now);
            }
            while let Some(command) = self.scheduler.poll_command() {
                if let Command::Obtain { name, attempt, .. } = command {
                    let validity = Validity {
                        obtained_at: self.now,
                        expires_at: self.now + LIFETIME,
                        refresh: None,
                        id_token_expires_at: None,
                    };
                    let obtained = Event::Obtained {
                        name,
                        attempt,
                        validity,
                    };
                    self.answers.push_back((self.now + ANSWER_AFTER, obtained));
                }
            }
        }
    }
}

/// No scheduler of ordered timers does less for a token than to take it out and put it back. Its times are
/// spread as jitter spreads them, so that neighbours in time are none in memory.
fn bare_set(names: &[TokenName], start: Instant) {
    let spread = LIFETIME / u32::try_from(TOKENS).expect("not so many");
    let jitter =
        |number: usize| spread * u32::try_from(number * 7919 % TOKENS).expect("not so many");
    let first = names.iter().enumerate();
    let mut set: BTreeSet<_> = first
        .map(|(number, name)| (start + jitter(number), name.clone()))
        .collect();
    for number in 0..CYCLES {
        let Some((at, name)) = set.pop_first() else {
            return;
        };
        set.insert((at + LIFETIME / 4 * 3 + jitter(number) / 10, name));
    }
    black_box(set);
}
