//! bearerd at work: a loopback authorization server with short-lived tokens, the real daemon, three
//! applications that read, and an outage whenever you like. `--script` plays one minute by itself.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for the terminal"
)]

mod terminal;

use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bearerd::clock;
use bearerd_core::instant::Instant;
use rustix::process::Signal;
use serde_json::Value;
use support::{Daemon, Host, Reader, Server, Settings, SigningKey, System};
use terminal::{Action, Keys, Screen};

fn main() -> ExitCode {
    if std::env::var_os(AS_DAEMON).is_some() {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
    // By that name this very program is the daemon and its commands: nothing else needs to be built.
    let name = std::env::args_os().next();
    if name.is_some_and(|name| Path::new(&name).ends_with(BEARERD)) {
        return bearerd::cli::main();
    }
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--script") => return play(script()),
        Some(_) => {
            eprintln!("usage: cargo run --example demo [-- --script]");
            return ExitCode::from(2);
        }
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        play(Vec::new())
    } else {
        eprintln!("no terminal: playing the script");
        play(script())
    }
}

/// The name by which this program is bearerd.
const BEARERD: &str = "bearerd";
/// Set in the environment of the child that is to be the daemon.
const AS_DAEMON: &str = "BEARERD_DEMO_DAEMON";
const BAR: usize = 30;
const LEEWAY: Duration = Duration::from_secs(1);
/// Names, systems and published files.
const TOKENS: [(&str, System, &str); 3] = [
    ("lev", System::Lev, "lev"),
    ("ardengem", System::Entra, "ardengem.headers"),
    ("nhs", System::Nhs, "nhs"),
];

/// One minute: calm, a short outage, a long one with a crash of the daemon in it, calm.
fn script() -> Vec<(u64, Action)> {
    vec![
        (12, Action::Outage(true)),
        (15, Action::Outage(false)),
        (24, Action::Outage(true)),
        (26, Action::Restart),
        (39, Action::Outage(false)),
        (60, Action::Quit),
    ]
}

fn play(script: Vec<(u64, Action)>) -> ExitCode {
    let scripted = !script.is_empty();
    let mut demo = Demo::start();
    demo.introduce(scripted);
    let keys = Keys::listen(!scripted);
    let mut script = script.into_iter().peekable();
    loop {
        let elapsed = (clock::now() - demo.started_at).as_secs();
        let due = script.next_if(|(at, _)| *at <= elapsed);
        match due.map(|(_, action)| action).or_else(|| keys.next()) {
            Some(Action::Quit) => break,
            Some(action) => demo.act(action),
            None => demo.draw(),
        }
    }
    drop(keys);
    demo.finish()
}

/// What is shown of one token.
struct Row {
    name: &'static str,
    system: System,
    file: &'static str,
    reader: Reader,
}

struct Demo {
    server: Server,
    host: Host,
    /// `None` for the moment between crash and restart.
    daemon: Option<Daemon>,
    rows: Vec<Row>,
    started_at: Instant,
    outage: bool,
    screen: Screen,
}

impl Demo {
    fn start() -> Self {
        let key = SigningKey::rsa();
        let mut settings = Settings::with_key(&key).lifetime(Duration::from_secs(10));
        settings.entra.lifetime = Duration::from_secs(12);
        settings.nhs.lifetime = Duration::from_secs(9);
        // NHS England's tokens live 600 seconds and say 599; APIs elsewhere allow for clocks.
        settings.leeway = LEEWAY;
        let server = Server::start(settings);

        let mut host = Host::running(Vec::new());
        let program = host.path(BEARERD);
        let this = std::env::current_exe().unwrap_or_else(|_| "demo".into());
        symlink(this, &program).expect("a directory of its own");
        host.program = vec![program.into()];
        host.variable(AS_DAEMON, "1");
        let tables =
            host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", &key);
        let mut tables = tables.replace(
            "path = \"@/tokens",
            // An application had rather find no token than an expired one.
            "on_expiry = \"remove\"\npath = \"@/tokens",
        );
        for (name, ..) in TOKENS {
            let grant = format!("[token.{name}.grant");
            let early = format!("[token.{name}.refresh]\nat = 0.5\n{grant}");
            tables = tables.replace(&grant, &early);
        }
        host.configure(&tables.replace("timeout = \"2s\"", "timeout = \"1s\""));
        let daemon = host.start();
        daemon.wait_ready(Duration::from_secs(30));

        let row = |(name, system, file)| Row {
            name,
            system,
            file,
            reader: Reader::start(host.path("tokens").join(file), &server),
        };
        let rows = TOKENS.map(row).into();
        Self {
            server,
            daemon: Some(daemon),
            rows,
            host,
            started_at: clock::now(),
            outage: false,
            screen: Screen::new(),
        }
    }

    fn introduce(&self, scripted: bool) {
        let dir = self.host.path("");
        let dir = dir.display().to_string();
        let (dir, socket) = (dir.trim_end_matches('/'), self.host.socket());
        let socket = socket.display();
        println!(
            "bearerd keeps three tokens fresh, from a loopback authorization server whose tokens live"
        );
        println!("about ten seconds. The daemon is the real one, and so is its configuration:\n");
        println!("  {dir}/bearerd.toml\n");
        println!("In a second terminal:\n");
        println!("  {dir}/bearerd status --socket {socket}");
        println!("  curl -s --unix-socket {socket} http://localhost/v1/tokens/lev");
        println!("  cat {dir}/tokens/ardengem.headers        # for curl -H @file");
        println!("  tail -f {dir}/log\n");
        if scripted {
            println!(
                "One minute: calm, an outage of 3 s, one of 15 s with a crash of the daemon in it, calm.\n"
            );
        } else {
            println!("Keys:  o  outage on/off    r  kill -9 and restart the daemon    q  quit\n");
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Outage(on) => {
                self.server.outage(on);
                self.outage = on;
                let state = if on { "down" } else { "up again" };
                self.note(&format!("the authorization server is {state}"));
            }
            Action::OutageToggled => self.act(Action::Outage(!self.outage)),
            Action::Quit => {}
            Action::Restart => {
                if let Some(daemon) = self.daemon.take() {
                    daemon.kill();
                }
                self.note("kill -9 of the daemon, and restart");
                self.daemon = Some(self.host.start());
            }
        }
    }

    fn note(&mut self, what: &str) {
        let at = (clock::now() - self.started_at).as_secs_f32();
        self.screen.note(&format!("{at:5.1} s  {what}"));
    }

    fn draw(&mut self) {
        let status = status(&self.host).unwrap_or(Value::Null);
        let server = if self.outage { "DOWN" } else { "up" };
        let elapsed = (clock::now() - self.started_at).as_secs();
        let mut lines = vec![
            format!("authorization server {server:<6} {elapsed:>3} s"),
            format!(
                "{:<10}{:<12}{:<width$}{:>9}{:>8}{:>10}",
                "token",
                "state",
                "",
                "refreshes",
                "reads",
                "rejected",
                width = BAR + 11
            ),
        ];
        lines.extend(self.rows.iter().map(|row| self.line(row, &status)));
        self.screen.draw(&lines);
    }

    fn line(&self, row: &Row, status: &Value) -> String {
        let tokens = status["tokens"].as_array();
        let token = tokens.and_then(|all| all.iter().find(|token| token["name"] == row.name));
        let state = token.and_then(|token| token["state"].as_str());
        let readings = row.reader.readings();
        let text = self.host.token(row.file).unwrap_or_default();
        let published = support::reader::bearer(&text);
        let left = self.server.log(|log| {
            let issued = log.find(published)?;
            let expires_at = issued.expires_at.saturating_sub(LEEWAY);
            Some((expires_at - clock::now(), expires_at - issued.at))
        });
        let state = format!("{:<12}", state.unwrap_or("restarting"));
        format!(
            "{:<10}{}{}{:>9}{:>8}{:>10}",
            row.name,
            self.screen.coloured(&state, state.starts_with("fresh")),
            left.map_or_else(|| absent(token), |(left, life)| bar(left, life)),
            refreshes(&self.server, row.system),
            readings.reads,
            readings.rejected + readings.garbled,
        )
    }

    fn finish(mut self) -> ExitCode {
        let ended_well = self
            .daemon
            .take()
            .is_some_and(|daemon| daemon.stop().success());
        println!(
            "\n{:<10}{:>10}{:>10}{:>10}{:>10}",
            "token", "refreshes", "reads", "rejected", "no file"
        );
        let mut good = ended_well && !self.rows.is_empty();
        for row in self.rows {
            let refreshes = refreshes(&self.server, row.system);
            let readings = row.reader.stop();
            let rejected = readings.rejected + readings.garbled;
            let Row { name, .. } = row;
            println!(
                "{name:<10}{refreshes:>10}{:>10}{rejected:>10}{:>10}",
                readings.reads, readings.missing
            );
            good &= rejected == 0 && readings.reads > 0;
        }
        println!("\nno file: an outage outlasted the token; bearerd never serves an expired one.");
        if good {
            println!("Every token read was accepted.");
            ExitCode::SUCCESS
        } else {
            eprintln!("a token was rejected, or the daemon did not end well");
            ExitCode::FAILURE
        }
    }
}

fn refreshes(server: &Server, system: System) -> usize {
    server.log(|log| log.issued_by(system)).saturating_sub(1)
}

fn absent(token: Option<&Value>) -> String {
    let next = token.and_then(|token| token["next_refresh_in"].as_u64());
    let next = next.map_or("no token".into(), |next| {
        format!("no token, next try in {next} s")
    });
    format!("{next:<width$}", width = BAR + 11)
}

fn bar(left: Duration, life: Duration) -> String {
    let full = BAR * left.as_millis() as usize / life.as_millis().max(1) as usize;
    let full = full.min(BAR);
    let seconds = left.as_secs_f32();
    format!(
        "{}{} {seconds:>6.1} s  ",
        "█".repeat(full),
        "░".repeat(BAR - full)
    )
}

/// `GET /v1/status` over the daemon's socket, as any program can ask it.
fn status(host: &Host) -> Option<Value> {
    let mut stream = UnixStream::connect(host.socket()).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let request = b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    serde_json::from_str(response.split_once("\r\n\r\n")?.1).ok()
}
