//! The real core in a scripted world: servers that fail in every way, people who change things, a
//! process and a machine that stop and start, all in virtual time and all from a seed.
//!
//! `SEED=7 cargo test -p bearerd-core --test simulation` runs one seed only, `SEEDS=1024..9216`
//! others than usual.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
#![expect(unreachable_pub, reason = "a test has no outside")]

mod simulation {
    pub(crate) mod chance;
    pub(crate) mod check;
    pub(crate) mod mischief;
    pub(crate) mod orders;
    pub(crate) mod run;
    pub(crate) mod shell;
    pub(crate) mod totals;
    pub(crate) mod world;
}

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use simulation::run::World;
use simulation::totals::Totals;

const SEEDS: Range<u64> = 0..1024;
const ATTEMPTS_PER_SEED: u64 = 10_000;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long it took, which decides nothing"
)]
fn simulation() {
    let started_at = Instant::now();
    if let Ok(seed) = std::env::var("SEED") {
        let totals = run(seed.parse().unwrap());
        return eprintln!("{totals}");
    }
    let seeds = std::env::var("SEEDS").ok().map(|seeds| {
        let (first, end) = seeds.split_once("..").unwrap();
        first.parse().unwrap()..end.parse().unwrap()
    });
    let totals = run_all(seeds.unwrap_or(SEEDS));
    let took = started_at.elapsed();
    eprintln!("{totals}{took:>12.1?} of real time");
    assert!(totals.attempts >= 10_000_000);
}

/// All seeds, on as many threads as there are processors.
fn run_all(seeds: Range<u64>) -> Totals {
    eprintln!("seeds {seeds:?}");
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return totals;
            }
            let outcome = catch_unwind(|| run(seed));
            totals.add(&outcome.unwrap_or_else(|panic| {
                // The other threads need not look for more.
                next.store(seeds.end, Ordering::Relaxed);
                resume_unwind(panic)
            }));
        }
    };
    let mut totals = Totals::default();
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let sum = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            totals.add(&sum);
        }
    });
    totals
}

/// One seed; a failure says which.
fn run(seed: u64) -> Totals {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run(ATTEMPTS_PER_SEED)));
    if let Err(panic) = outcome {
        let (attempts, now) = (world.totals.attempts, world.now);
        eprintln!("after {attempts} attempts, at {now:?}; to see it again:");
        eprintln!("SEED={seed} cargo test -p bearerd-core --test simulation");
        for token in &world.tokens {
            let status = world.shell.scheduler.status(&token.name);
            let (name, policy, parent) = (&token.name, &token.policy, token.parent);
            let refresh = token.record.and_then(|record| record.refresh);
            eprintln!("{name}, from {parent:?}: {policy:?}\n    {refresh:?} {status:?}");
        }
        resume_unwind(panic);
    }
    world.totals
}
