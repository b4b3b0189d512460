//! The binary: how large it is, and how soon it serves.

use std::process::{Command, Stdio};
use std::time::Duration;

use bearerd::clock;

use crate::daemon::{configure, in_memory, median, millis, ratio, start_filled};
use crate::table::Row;
use crate::token_server::TokenServer;
use support::Host;

const BINARY: &str = env!("CARGO_BIN_EXE_bearerd");
const TOKENS: usize = 100;
const ROUNDS: usize = 21;

pub(crate) fn size() -> Vec<Row> {
    let bytes = std::fs::metadata(BINARY).expect("the binary").len();
    let mib = bytes as f64 / 1024.0 / 1024.0;
    vec![
        Row::new("size of the release binary", format!("{mib:.2} MiB")).goal("≤ 9 MiB", mib <= 9.0),
    ]
}

pub(crate) fn start() -> Vec<Row> {
    let server = TokenServer::start();
    let host = Host::new();
    let outputs = in_memory();
    configure(&host, &server, TOKENS, Some(outputs.path()), None);
    start_filled(&host, TOKENS).stop();
    let (mut floors, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(version());
        starts.push(ready(&host));
    }
    let (floor, start) = (median(floors), median(starts));
    let met = start <= Duration::from_millis(50);
    vec![
        Row::new(
            "start to READY=1, 100 valid tokens with files",
            millis(start),
        )
        .over(millis(floor), ratio(start, floor))
        .goal("≤ 50 ms", met),
    ]
}

fn ready(host: &Host) -> Duration {
    let begun = clock::now();
    let daemon = host.start();
    let notice = daemon.wait_ready(Duration::from_secs(20));
    daemon.stop();
    notice.at - begun
}

fn version() -> Duration {
    let begun = clock::now();
    let mut command = Command::new(BINARY);
    let status = command.arg("--version").stdout(Stdio::null()).status();
    assert!(status.expect("the binary").success());
    clock::now() - begun
}
