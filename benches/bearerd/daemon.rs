//! The real daemon with many tokens of one client.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bearerd::clock;
use bearerd_core::instant::Instant;
use tempfile::TempDir;

use crate::token_server::TokenServer;
use support::{Daemon, Host, pause};

/// Requests under way at once, of the daemon and of the floor.
pub(crate) const CONCURRENCY: usize = 32;

/// A directory in memory, as `/run` is where the daemon is at home.
pub(crate) fn in_memory() -> TempDir {
    TempDir::with_prefix_in("bearerd-", "/dev/shm").expect("a tmpfs")
}

/// Configures `tokens` tokens, their state in `state` or else in the host's own directory; with a file for
/// each in `outputs`, or none.
pub(crate) fn configure(
    host: &Host,
    server: &TokenServer,
    tokens: usize,
    outputs: Option<&Path>,
    state: Option<&Path>,
) {
    let directory = |name: &str| host.path(name).display().to_string();
    let state = state.map_or_else(|| directory("state"), |path| path.display().to_string());
    let mut text = format!(
        "[daemon]\nstate_dir = \"{state}\"\nruntime_dir = \"{run}\"\n\
         [client.c]\ntoken_endpoint = \"{url}\"\nclient_id = \"bench\"\n\
         [client.c.limits]\nmax_in_flight = {CONCURRENCY}\n\
         [client.c.auth.client_secret_post]\nclient_secret = {{ file = \"{secret}\" }}\n",
        run = directory("run"),
        url = server.url(),
        secret = host.secret("bench", "a-client-secret-0123456789").display(),
    );
    for number in 0..tokens {
        write!(
            text,
            "[token.t{number:06}]\nclient = \"c\"\nscope = [\"system/read\"]\n\
             [token.t{number:06}.grant.client_credentials]\n"
        )
        .expect("memory");
        if let Some(outputs) = outputs {
            let path = outputs.join(format!("t{number:06}"));
            let path = path.display();
            writeln!(text, "[[token.t{number:06}.file]]\npath = \"{path}\"").expect("memory");
        }
    }
    host.write("bearerd.toml", &text);
}

/// Follows what the daemon logs, at the cost of one read now and then.
pub(crate) struct LogTail {
    file: File,
    rest: Vec<u8>,
}

impl LogTail {
    /// From here on.
    pub(crate) fn new(host: &Host) -> Self {
        let mut file = File::open(host.path("log")).expect("the daemon's log");
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).expect("a file");
        Self {
            file,
            rest: Vec::new(),
        }
    }

    /// Waits for so many publications; returns when the last was seen.
    #[track_caller]
    pub(crate) fn published(&mut self, count: usize, timeout: Duration) -> Instant {
        let deadline = clock::now() + timeout;
        let mut seen = 0;
        loop {
            self.file.read_to_end(&mut self.rest).expect("a file");
            let now = clock::now();
            let complete = self.rest.iter().rposition(|byte| *byte == b'\n');
            for line in self
                .rest
                .drain(..complete.map_or(0, |at| at + 1))
                .as_slice()
                .split(|byte| *byte == b'\n')
            {
                seen += usize::from(line.windows(10).any(|text| text == b" published"));
            }
            if seen >= count {
                return now;
            }
            assert!(now < deadline, "{seen} of {count} tokens in {timeout:?}");
            pause(Duration::from_millis(1));
        }
    }
}

/// Starts the daemon and waits until it has obtained and published all its tokens.
pub(crate) fn start_filled(host: &Host, tokens: usize) -> Daemon {
    let daemon = host.start();
    LogTail::new(host).published(tokens, Duration::from_secs(600));
    // A token that was just obtained is not obtained again at once.
    pause(Duration::from_secs(2));
    daemon
}

/// The middle one.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn ratio(measured: Duration, floor: Duration) -> f64 {
    measured.as_secs_f64() / floor.as_secs_f64()
}
