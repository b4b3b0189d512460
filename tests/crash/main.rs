//! Kills the daemon at every step of a rotation, a thousand times and more, against a server that ends the
//! session when a spent refresh token comes again, as Keycloak does. No login is lost but in the one window
//! that no client can close: the server has rotated, and what it answered is not on disk. That loss is
//! reported, and after a new login it goes on.
//!
//! SIGKILL leaves the page cache alone: that the directory is synced, it cannot show.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows it within #[test] functions only"
)]

mod watchdog;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use bearerd::clock;
use bearerd::store::state_file::decode;
use bearerd::store::{BootId, Moment, Record, Sealer};
use bearerd_core::credential::TokenName;
use rustix::process::Signal;
use secrecy::ExposeSecret;
use serde_json::Value;
use support::{Fault, Host, Log, Server, Settings, System, eventually};

/// Every point that one rotation passes, which time it is meant, and whether the login is lost there: the
/// server has spent the refresh token, and its successor is not on disk.
const POINTS: [(&str, u32, bool); 26] = [
    ("intent", 1, false),
    ("intent-queued", 1, false),
    ("temporary-made", 1, false),
    ("temporary-written", 1, false),
    ("state-synced", 1, false),
    ("state-renamed", 1, false),
    ("state-directory-synced", 1, false),
    ("intent-durable", 1, false),
    ("request", 1, false),
    ("reply-begun", 1, true),
    ("reply-read", 1, true),
    ("reply", 1, true),
    ("record", 1, true),
    ("temporary-made", 2, true),
    ("temporary-written", 2, true),
    ("state-synced", 2, true),
    ("state-renamed", 2, false),
    ("state-directory-synced", 2, false),
    ("publish", 1, false),
    ("published", 1, false),
    ("temporary-made", 3, false),
    ("file-synced", 1, false),
    ("file-renamed", 1, false),
    ("file-directory-synced", 1, false),
    ("hook", 1, false),
    ("hook-ended", 1, false),
];

/// Of each point where the login is kept, and where it is lost, which takes longer to mend.
const KEPT_RUNS: usize = 36;
const LOST_RUNS: usize = 14;
const UNANSWERED_RUNS: usize = 14;
const RANDOM_RUNS: usize = 200;
const WORKERS: usize = 8;

/// Where the daemon is killed.
#[derive(Clone, Debug)]
enum Kill {
    /// At a point, by itself.
    At(&'static str, u32, bool),
    /// While the server holds its answer back; whether it had rotated by then.
    Unanswered(bool),
    /// So long after a rotation was asked for.
    Rotating(Duration),
    /// So long after its start.
    Starting(Duration),
}

impl Kill {
    fn label(&self) -> String {
        match self {
            Self::At(name, pass, _) => format!("{name}:{pass}"),
            Self::Unanswered(true) => "unanswered, rotated".into(),
            Self::Unanswered(false) => "unanswered, not rotated".into(),
            Self::Rotating(_) => "at random while rotating".into(),
            Self::Starting(_) => "at random while starting".into(),
        }
    }

    /// Whether it lies in the window; `None` where chance decides.
    fn loses(&self) -> Option<bool> {
        match self {
            Self::At(_, _, loses) | Self::Unanswered(loses) => Some(*loses),
            Self::Rotating(_) => None,
            Self::Starting(_) => Some(false),
        }
    }
}

fn plan() -> Vec<Kill> {
    let mut kills = Vec::new();
    for (name, pass, loses) in POINTS {
        let runs = if loses { LOST_RUNS } else { KEPT_RUNS };
        kills.extend((0..runs).map(|_| Kill::At(name, pass, loses)));
    }
    for loses in [false, true] {
        kills.extend((0..UNANSWERED_RUNS).map(|_| Kill::Unanswered(loses)));
    }
    for _ in 0..RANDOM_RUNS {
        kills.push(Kill::Rotating(random_time(Duration::from_millis(40))));
    }
    for _ in 0..RANDOM_RUNS / 2 {
        kills.push(Kill::Starting(random_time(Duration::from_millis(60))));
    }
    kills
}

fn random_time(limit: Duration) -> Duration {
    let mut random = [0; 4];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).expect("random");
    limit * (u32::from_ne_bytes(random) % 1000) / 1000
}

#[derive(Default)]
struct Tally {
    kills: usize,
    lost: usize,
}

#[test]
fn no_login_is_lost_outside_the_window() {
    let began = clock::now();
    let plan = plan();
    let share = |worker| {
        let of_worker = plan.iter().skip(worker).step_by(WORKERS);
        let kills: Vec<_> = of_worker.cloned().collect();
        move || Site::new().suffer(kills)
    };
    let mut tallies = BTreeMap::<String, Tally>::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|w| scope.spawn(share(w))).collect();
        for worker in workers {
            for (kill, lost) in worker.join().expect("a worker's assertions hold") {
                let tally = tallies.entry(kill.label()).or_default();
                tally.kills += 1;
                tally.lost += usize::from(lost);
            }
        }
    });
    println!("{:<28} {:>5} {:>5}", "killed", "times", "lost");
    for (label, tally) in &tallies {
        println!("{label:<28} {:>5} {:>5}", tally.kills, tally.lost);
    }
    let kills: usize = tallies.values().map(|tally| tally.kills).sum();
    let lost: usize = tallies.values().map(|tally| tally.lost).sum();
    println!(
        "{kills} kills in {:?}; lost in the window and reported: {lost}; lost outside: 0",
        clock::now() - began
    );
    assert!(kills >= 1000);
}

/// One host, its daemon, and an authorization server of its own.
struct Site {
    server: Server,
    host: Host,
}

impl Site {
    fn new() -> Self {
        let server = Server::start(Settings::default());
        let host = Host::new();
        let hook = "[[token.user.hook]]\ncommand = [\"true\"]\n";
        host.configure(&(host.lev_user(&server) + hook));
        host.start_ready().kill();
        Self { server, host }
    }

    /// Which kills have lost the login.
    fn suffer(mut self, kills: Vec<Kill>) -> Vec<(Kill, bool)> {
        let mut outcomes = Vec::new();
        for kill in kills {
            // A log of a thousand runs would be searched each time.
            let _ = fs::remove_file(self.host.path("log"));
            self.strike(&kill);
            self.settle();
            let lost = self.judge_disk(&kill);
            self.recover(&kill, lost);
            outcomes.push((kill, lost));
        }
        outcomes
    }

    /// Starts the daemon, has it rotate, and lets it be killed.
    fn strike(&mut self, kill: &Kill) {
        if let Kill::At(name, pass, _) = kill {
            self.host
                .variable("BEARERD_FAILPOINT", format!("{name}:{pass}"));
        }
        let mut daemon = self.host.start();
        self.host.environment.clear();
        if let Kill::Starting(after) = kill {
            assert!(!daemon.exits_within(*after));
            return daemon.kill();
        }
        daemon.wait_ready(SOON);
        let requests = self.server.requests(System::Lev);
        match kill {
            Kill::At(..) => {
                daemon.signal(Signal::USR1);
                let status = daemon.wait_exit(SOON);
                assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{kill:?}");
                return;
            }
            Kill::Unanswered(rotated) => {
                let fault = if *rotated {
                    Fault::LostReply
                } else {
                    Fault::Hang
                };
                self.server.queue_fault(System::Lev, fault);
                daemon.signal(Signal::USR1);
                self.server.wait_requests(System::Lev, requests + 1, SOON);
            }
            Kill::Rotating(after) | Kill::Starting(after) => {
                daemon.signal(Signal::USR1);
                assert!(!daemon.exits_within(*after));
            }
        }
        daemon.kill();
    }

    /// Lets the server take up what the dead daemon has sent: connections are accepted in their order.
    fn settle(&self) {
        let origin = self.server.origin();
        let address = origin.trim_start_matches("http://");
        let mut last = TcpStream::connect(address).expect("the server");
        let request = "GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        last.write_all(request.as_bytes()).expect("a request");
        last.read_to_end(&mut Vec::new()).expect("an answer");
        let quiet = |log: &Log| (log.connections == 0).then_some(());
        self.server.wait_for("no connection", SOON, quiet);
    }

    /// Reads what the kill has left. Whether the login is lost: the newest refresh token is not on disk.
    fn judge_disk(&self, kill: &Kill) -> bool {
        let record = self.record();
        let position = |access_token: &str| {
            let of = |log: &Log| {
                log.issued
                    .iter()
                    .position(|i| i.access_token == access_token)
            };
            let known = self.server.log(of);
            known.unwrap_or_else(|| panic!("{kill:?}: a token that the server does not know"))
        };
        let durable = position(record.token.access_token.expose_secret());
        let published = position(&self.host.token("user").expect("a token file"));
        assert!(published <= durable, "{kill:?}: published before durable");
        let newest = self.server.log(|log| {
            let last = log.last_issued(System::Lev)?;
            last.refresh_token.clone()
        });
        let held = record.token.refresh_token.as_ref();
        let lost = held.map(|held| held.expose_secret().to_owned()) != newest;
        if let Some(loses) = kill.loses() {
            assert_eq!(lost, loses, "{kill:?}: whether the login is lost");
        }
        assert!(!lost || record.open_intent.is_some(), "{kill:?}: no intent");
        lost
    }

    /// The state file holds a whole record, the old one or the new.
    fn record(&self) -> Record {
        let name = TokenName::parse("user").unwrap();
        let bytes = fs::read(self.host.path("state/tokens/user.json")).expect("a state file");
        let moment = Moment {
            boot: BootId::of_system(),
            now: clock::now(),
            unix_now: clock::unix_now(),
        };
        decode(&name, &bytes, &Sealer::None, &moment).expect("a whole state file")
    }

    /// Starts the daemon again: it serves the valid token before its first request, and then either goes on
    /// by the refresh token or reports the loss, and goes on after a new login.
    fn recover(&self, kill: &Kill, lost: bool) {
        let before = self.server.requests(System::Lev);
        let durable = self.record().token.access_token.expose_secret().to_owned();
        let daemon = self.host.start_ready();
        assert_eq!(self.host.token("user"), Some(durable.clone()), "{kill:?}");
        assert_eq!(self.served().as_ref(), Some(&durable), "{kill:?}");
        assert_eq!(self.server.requests(System::Lev), before, "{kill:?}");
        let issued = self.server.issued(System::Lev);
        daemon.signal(Signal::USR1);
        if lost {
            let status = eventually("the loss in status", SOON, || {
                let status = self.ask("/v1/status/user")?;
                (status["state"] == "needs_login").then_some(status)
            });
            assert_eq!(status["reason"], "rotation_lost", "{kill:?}: {status}");
            assert_eq!(self.served().as_ref(), Some(&durable), "{kill:?}");
            self.host.secret("seed", &self.server.seed_lev());
        }
        let refreshed = |log: &Log| {
            let newest = log.last_issued(System::Lev)?.access_token.clone();
            (log.issued_by(System::Lev) == issued + 1).then_some(newest)
        };
        let newest = self.server.wait_for("a token", SOON, refreshed);
        eventually("the token in its file", SOON, || {
            (self.host.token("user")? == newest).then_some(())
        });
        if !lost {
            let refused = |log: &Log| {
                let token_requests = log.requests.iter().filter(|r| r.asks_for_token());
                token_requests.skip(before).any(|r| r.status != Some(200))
            };
            assert!(!self.server.log(refused), "{kill:?}: refused");
        }
        daemon.assert_sound();
        daemon.kill();
    }

    fn served(&self) -> Option<String> {
        let token = self.ask("/v1/tokens/user")?;
        Some(token["access_token"].as_str()?.to_owned())
    }

    fn ask(&self, target: &str) -> Option<Value> {
        let mut socket = UnixStream::connect(self.host.socket()).ok()?;
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

const SOON: Duration = Duration::from_secs(20);
