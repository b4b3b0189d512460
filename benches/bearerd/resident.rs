//! The daemon at rest: its memory, and how often it wakes.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::daemon::{configure, in_memory, start_filled};
use crate::process::{Memory, context_switches};
use crate::table::Row;
use crate::token_server::{TOKEN_LENGTH, TokenServer};
use support::{Daemon, Host, pause};

const FEW: usize = 10;
const MANY: usize = 100_000;
const SETTLING: Duration = Duration::from_secs(8);
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn resident() -> Vec<Row> {
    let server = TokenServer::start();
    let (few_host, few_daemon) = start(&server, FEW, None);
    let few = Memory::of(few_daemon.pid());
    let mut rows = vec![
        Row::new("resident with 10 tokens", mib(few.resident))
            .goal("≤ 10 MiB", few.resident as f64 / MIB <= 10.0),
        Row::new("… anonymous", mib(few.anonymous)),
    ];
    rows.extend(wake_ups(&few_daemon));
    drop((few_host, few_daemon));
    rows.extend(many(&server, few, None, "resident with 100,000 tokens"));
    let outputs = in_memory();
    rows.extend(many(
        &server,
        few,
        Some(outputs.path()),
        "… and a file for each",
    ));
    rows
}

fn start(server: &TokenServer, tokens: usize, outputs: Option<&Path>) -> (Host, Daemon) {
    let host = Host::new();
    let state = in_memory();
    configure(&host, server, tokens, outputs, Some(state.path()));
    // What has just been written is read once more: a reload, which has a row of its own.
    pause(Duration::from_millis(100));
    let daemon = start_filled(&host, tokens);
    pause(SETTLING);
    (host, daemon)
}

fn many(server: &TokenServer, few: Memory, outputs: Option<&Path>, what: &str) -> [Row; 3] {
    let (_host, daemon) = start(server, MANY, outputs);
    let memory = Memory::of(daemon.pid());
    let before = daemon.notices().len();
    daemon.signal(Signal::HUP);
    daemon.wait_notice(before, "READY=1", Duration::from_secs(60));
    pause(SETTLING);
    let reloaded = Memory::of(daemon.pid());
    let own = TOKEN_LENGTH as f64;
    let each = (memory.resident - few.resident) as f64 / (MANY - FEW) as f64 - own;
    let beyond = Row::new("… each, beyond its own bytes", format!("{each:.0} B"));
    let anonymous = mib(memory.anonymous);
    [
        Row::new(
            what,
            format!("{}, anonymous {anonymous}", mib(memory.resident)),
        ),
        match outputs {
            None => beyond.goal("≤ 2 KiB", each <= 2048.0),
            Some(_) => beyond,
        },
        Row::new("… in all after a reload", mib(reloaded.resident)),
    ]
}

fn wake_ups(daemon: &Daemon) -> [Row; 2] {
    let before = context_switches(daemon.pid());
    pause(Duration::from_secs(60));
    let after = context_switches(daemon.pid());
    let woken = after.voluntary - before.voluntary;
    let displaced = after.involuntary - before.involuntary;
    [
        Row::new("wake-ups a minute, nothing due", woken.to_string()).goal("≤ 2", woken <= 2),
        Row::new("… displaced meanwhile by others", displaced.to_string()),
    ]
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}
