//! Tokens read through the socket, one after the other and while the daemon is busy.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bearerd::clock;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::consumer::Consumer;
use crate::daemon::{configure, in_memory, median, ratio, start_filled};
use crate::floor::{Answers, Floor};
use crate::table::Row;
use crate::token_server::TokenServer;
use support::Host;

const TOKEN: &str = "/v1/tokens/t000000";
const ROUNDS: usize = 301;
const READS: usize = 500;
/// Tokens that are refreshed, and clients that connect and say nothing.
const BUSY: usize = 1000;
/// Such that each of them is refreshed every seven seconds or so.
const SHORT_LIFETIME: Duration = Duration::from_secs(10);
const WATCHED: Duration = Duration::from_secs(5);
const BUSY_ROUNDS: usize = 3;
/// Of silent clients, taken at a time.
const EVENTS: usize = 64;

/// Reads a second over one connection, all on one CPU.
pub(crate) fn reads() -> Vec<Row> {
    on_one_cpu(reads_over_one_connection)
}

fn reads_over_one_connection() -> Vec<Row> {
    let server = TokenServer::start();
    let host = Host::new();
    configure(&host, &server, 1, None, None);
    let _daemon = start_filled(&host, 1);
    let bare = format!("{TOKEN}/access_token");
    let pages = [("bare", bare.as_str()), ("as JSON", TOKEN)];
    pages
        .into_iter()
        .map(|(what, page)| {
            let (floor, time, share) = alternating(&host.socket(), page);
            Row::new(format!("reads over one connection, {what}"), rate(time))
                .over(rate(floor), share)
                .goal("≥ 0.6", share >= 0.6)
        })
        .collect()
}

/// Times of many reads, of the floor and of the daemon, and the share of the floor's rate that the daemon has:
/// of times next to each other, as the machine's pace changes from one second to the next.
fn alternating(socket: &Path, page: &str) -> (Duration, Duration, f64) {
    let mut daemon = Consumer::connect(socket, page);
    let responder = Floor::start(Answers::Requests, daemon.read());
    let mut floor = Consumer::connect(&responder.socket(), page);
    let (mut floors, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(many(&mut floor));
        times.push(many(&mut daemon));
    }
    let pairs = floors.iter().zip(&times);
    let mut shares: Vec<_> = pairs.map(|(floor, time)| ratio(*floor, *time)).collect();
    shares.sort_unstable_by(f64::total_cmp);
    (median(floors), median(times), shares[shares.len() / 2])
}

/// Between two CPUs, where the kernel puts the one that is woken counts for more than what the server does.
fn on_one_cpu<T>(measure: impl FnOnce() -> T) -> T {
    let allowed = sched_getaffinity(None).expect("the CPUs");
    let mut one = CpuSet::new();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu));
    one.set(first.expect("a CPU"));
    sched_setaffinity(None, &one).expect("a CPU of its own");
    let measured = measure();
    sched_setaffinity(None, &allowed).expect("all CPUs again");
    measured
}

fn many(consumer: &mut Consumer) -> Duration {
    let begun = clock::now();
    for _ in 0..READS {
        consumer.read();
    }
    clock::now() - begun
}

fn rate(time: Duration) -> String {
    format!("{:.0} /s", READS as f64 / time.as_secs_f64())
}

/// The slowest of a thousand reads: quiet, while all tokens are refreshed, and with silent clients, too.
pub(crate) fn busy() -> Vec<Row> {
    allow_descriptors();
    let memory = in_memory();
    let states = [
        (Duration::from_secs(3600), 0, None),
        (SHORT_LIFETIME, 0, None),
        (SHORT_LIFETIME, BUSY, None),
        (SHORT_LIFETIME, BUSY, Some(memory.path())),
    ];
    let mut times: [[Vec<Duration>; 3]; 4] = Default::default();
    for _ in 0..BUSY_ROUNDS {
        for ((lifetime, silent, state), times) in states.into_iter().zip(&mut times) {
            for (time, times) in watched(lifetime, silent, state).into_iter().zip(times) {
                times.push(time);
            }
        }
    }
    let [quiet, refreshing, both, both_in_memory] = times.map(|times| times.map(median));
    let over = |what: &str, busy: Duration, quiet: Duration| {
        Row::new(what, micros(busy)).over(micros(quiet), ratio(busy, quiet))
    };
    let goal = |row: Row| {
        let met = row.ratio.is_some_and(|ratio| ratio <= 3.0);
        row.goal("≤ 3", met)
    };
    vec![
        goal(over(
            "p99.9 of reads, 1,000 tokens refreshing, 1,000 silent clients",
            both[KEPT],
            quiet[KEPT],
        )),
        over(
            "… without the silent clients",
            refreshing[KEPT],
            quiet[KEPT],
        ),
        over("… of the bare responder meanwhile", both[BARE], quiet[BARE]),
        goal(over(
            "… with the state on tmpfs",
            both_in_memory[KEPT],
            quiet[KEPT],
        )),
        over(
            "… of the bare responder meanwhile",
            both_in_memory[BARE],
            quiet[BARE],
        ),
        over("… with a connection for each read", both[EACH], quiet[EACH]),
        over(
            "… the same without the silent clients",
            refreshing[EACH],
            quiet[EACH],
        ),
    ]
}

/// Places of what [`watched`] returns.
const KEPT: usize = 0;
const EACH: usize = 1;
const BARE: usize = 2;

/// The p99.9 of reads over one connection, of reads with a connection each, and of a bare responder that has
/// nothing to do but bear the machine's load.
fn watched(lifetime: Duration, silent: usize, state: Option<&Path>) -> [Duration; 3] {
    let server = TokenServer::start_with(lifetime);
    let host = Host::new();
    configure(&host, &server, BUSY, None, state);
    let _daemon = start_filled(&host, BUSY);
    let _silent = Silent::sit(host.socket(), silent);
    let page = format!("{TOKEN}/access_token");
    let mut kept = Consumer::connect(&host.socket(), &page);
    let floor = Floor::start(Answers::Requests, kept.read());
    let mut bare = Consumer::connect(&floor.socket(), &page);
    [
        slowest_of_a_thousand(|| {
            kept.read();
        }),
        slowest_of_a_thousand(|| {
            Consumer::connect(&host.socket(), &page).read();
        }),
        slowest_of_a_thousand(|| {
            bare.read();
        }),
    ]
}

fn slowest_of_a_thousand(mut read: impl FnMut()) -> Duration {
    let mut times = Vec::new();
    let end = clock::now() + WATCHED;
    let mut now = clock::now();
    while now < end {
        read();
        let then = clock::now();
        times.push(then - now);
        now = then;
    }
    times.sort_unstable();
    times[times.len() * 999 / 1000]
}

/// Clients that connect and say nothing, and come back when they are sent away.
struct Silent {
    _until_dropped: UnixStream,
}

impl Silent {
    fn sit(socket: PathBuf, count: usize) -> Self {
        let (until_dropped, dropped) = UnixStream::pair().expect("two sockets");
        std::thread::spawn(move || {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
            let watch = |stream: &UnixStream, number| {
                let data = epoll::EventData::new_u64(number);
                epoll::add(&epoll, stream, data, epoll::EventFlags::IN).expect("a watch");
            };
            let connect = |number| {
                let stream = UnixStream::connect(&socket).ok()?;
                watch(&stream, number);
                Some(stream)
            };
            let mut clients: Vec<_> = (0..count as u64).map(connect).collect();
            watch(&dropped, count as u64);
            let mut events = Vec::with_capacity(EVENTS);
            loop {
                epoll::wait(&epoll, spare_capacity(&mut events), None).expect("an event");
                for event in events.drain(..) {
                    let number = event.data.u64();
                    match clients.get_mut(number as usize) {
                        Some(client) => *client = connect(number),
                        None => return,
                    }
                }
            }
        });
        Self {
            _until_dropped: until_dropped,
        }
    }
}

fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let allowed = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, allowed).expect("a soft limit up to the hard one");
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}
