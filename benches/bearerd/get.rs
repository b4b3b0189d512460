//! `bearerd get`, beside curl and beside a program that does nothing.

use std::process::{Command, Stdio};
use std::time::Duration;

use bearerd::clock;

use crate::daemon::{configure, median, ratio, start_filled};
use crate::table::Row;
use crate::token_server::{TOKEN_LENGTH, TokenServer};
use support::Host;

const ROUNDS: usize = 501;

pub(crate) fn get() -> Vec<Row> {
    let server = TokenServer::start();
    let host = Host::new();
    configure(&host, &server, 1, None, None);
    let _daemon = start_filled(&host, 1);
    let mut get = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    get.args(["get", "t000000", "--socket"]).arg(host.socket());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--unix-socket"]).arg(host.socket());
    curl.arg("http://bearerd/v1/tokens/t000000/access_token");
    let mut nothing = Command::new("/bin/true");
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(&mut nothing, 0));
        times[1].push(timed(&mut get, TOKEN_LENGTH));
        if has_curl {
            times[2].push(timed(&mut curl, TOKEN_LENGTH));
        }
    }
    let [nothing, get, curl] = times;
    let (nothing, get) = (median(nothing), median(get));
    let mut rows = vec![
        Row::new("bearerd get, over /bin/true", millis(get))
            .over(millis(nothing), ratio(get, nothing)),
    ];
    if has_curl {
        let curl = median(curl);
        let share = ratio(get, curl);
        rows.push(
            Row::new("bearerd get, over curl", millis(get))
                .over(millis(curl), share)
                .goal("≤ 0.5", share <= 0.5),
        );
    }
    rows
}

/// From the fork until all output is read and the process has ended.
fn timed(command: &mut Command, length: usize) -> Duration {
    command.stdin(Stdio::null());
    let begun = clock::now();
    let output = command.output().expect("a program");
    let time = clock::now() - begun;
    assert!(output.status.success() && output.stdout.len() == length);
    time
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
