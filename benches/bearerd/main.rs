//! What bearerd costs, each figure beside its floor measured in the same run. See `benches/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a table"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking, and its own files need no atomic replacement"
)]

mod consumer;
mod credential;
mod daemon;
mod floor;
mod get;
mod process;
mod reads;
mod refresh;
mod resident;
mod scheduler;
mod start;
mod table;
mod token_server;

use table::Row;

type Measure = fn() -> Vec<Row>;

/// The figures, each with the word that picks it: `cargo bench -- memory`.
const FIGURES: [(&str, Measure); 9] = [
    ("size", start::size),
    ("start", start::start),
    ("scheduler", scheduler::scheduler),
    ("reads", reads::reads),
    ("credential", credential::credential),
    ("get", get::get),
    ("busy", reads::busy),
    ("refresh", refresh::refresh),
    ("memory", resident::resident),
];

fn main() {
    floor::serve_if_asked();
    // Cargo itself passes `--bench`.
    let picked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut rows = Vec::new();
    for (name, measure) in FIGURES {
        if picked.is_empty() || picked.iter().any(|word| word == name) {
            eprintln!("measuring: {name}");
            rows.extend(measure());
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{}", table::of(rows));
    println!("load average at the end: {}", load.trim());
}
