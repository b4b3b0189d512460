//! Ten thousand tokens due at once, beside a bare HTTP client that makes the same requests.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bearerd::clock;
use rustix::process::Signal;

use crate::daemon::{
    CONCURRENCY, LogTail, configure, in_memory, median, millis, ratio, start_filled,
};
use crate::table::Row;
use crate::token_server::TokenServer;
use support::{Daemon, Host, pause};

const TOKENS: usize = 10_000;
const ROUNDS: usize = 5;
/// Bytes of a state file here.
const RECORD_LENGTH: usize = 1600;

pub(crate) fn refresh() -> Vec<Row> {
    let server = TokenServer::start();
    let memory = in_memory();
    let places = [None, Some(memory.path())];
    let hosts = places.map(|state| start(&server, state));
    let mut times: [Vec<Duration>; 3] = Default::default();
    // One after the other in each round, that a change of the machine's mood meets all of them.
    for _ in 0..ROUNDS {
        times[0].push(bare_client(&server));
        for (number, (host, daemon)) in hosts.iter().enumerate() {
            times[number + 1].push(refresh_all(host, daemon));
        }
    }
    let [floor, on_disk, in_memory] = times.map(median);
    let row = |what, time| Row::new(what, millis(time)).over(millis(floor), ratio(time, floor));
    let in_memory_ratio = ratio(in_memory, floor);
    let disk = 100.0 * (ratio(on_disk, floor) - in_memory_ratio) / (ratio(on_disk, floor) - 1.0);
    let writer = bare_writer();
    vec![
        row("10,000 tokens due at once, state on disk", on_disk)
            .goal("≤ 1.25", ratio(on_disk, floor) <= 1.25),
        row("… with the state on tmpfs", in_memory),
        Row::new(
            "… the disk's part of the difference",
            format!("{disk:.0} %"),
        ),
        Row::new("… as many files replaced by a bare writer", millis(writer)),
    ]
}

fn start(server: &TokenServer, state: Option<&Path>) -> (Host, Daemon) {
    let host = Host::new();
    configure(&host, server, TOKENS, None, state);
    let daemon = start_filled(&host, TOKENS);
    (host, daemon)
}

/// From the signal until the last token is durable and published.
fn refresh_all(host: &Host, daemon: &Daemon) -> Duration {
    let mut log = LogTail::new(host);
    let begun = clock::now();
    daemon.signal(Signal::USR1);
    let ended = log.published(TOKENS, Duration::from_secs(120));
    pause(Duration::from_secs(2));
    ended - begun
}

/// As many files as large as the state's, replaced as safely, in batches as large as the daemon's largest.
fn bare_writer() -> Duration {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |kind: &str, number: usize| directory.path().join(format!("{kind}{number}"));
    let content = vec![b'x'; RECORD_LENGTH];
    let descriptor = File::open(directory.path()).expect("a directory");
    let replace = || {
        for batch in (0..TOKENS).collect::<Vec<_>>().chunks(4096) {
            for number in batch {
                fs::write(path("new", *number), &content).expect("a file");
            }
            rustix::fs::syncfs(&descriptor).expect("a disk");
            for number in batch {
                fs::rename(path("new", *number), path("old", *number)).expect("a file");
            }
            descriptor.sync_all().expect("a disk");
        }
    };
    replace();
    let begun = clock::now();
    replace();
    clock::now() - begun
}

/// The same requests by a client that does nothing else, on one thread as the daemon's are.
fn bare_client(server: &TokenServer) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(CONCURRENCY)
        .build()
        .expect("a client");
    let url = server.url();
    let begun = clock::now();
    runtime.block_on(async {
        let left = Arc::new(AtomicUsize::new(TOKENS));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENCY {
            workers.spawn(work(client.clone(), url.clone(), Arc::clone(&left)));
        }
        while let Some(ended) = workers.join_next().await {
            ended.expect("a worker that does not panic");
        }
    });
    clock::now() - begun
}

async fn work(client: reqwest::Client, url: String, left: Arc<AtomicUsize>) {
    let taken = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
        .is_ok()
    {
        let request = client
            .post(&url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials&scope=system%2Fread&client_id=bench&client_secret=a-client-secret-0123456789");
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success());
        response.bytes().await.expect("a body");
    }
}
