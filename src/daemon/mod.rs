//! The shell around the core: owns the scheduler, the tokens and the only `select!` loop.
//!
//! The loop waits for one turn, acts on it, carries out what the core then commands, and sets the
//! alarm for what the core wants next. Nothing in it blocks: requests are tasks, state is written by a
//! thread, keys and configuration are loaded on the blocking pool.

mod announce;
mod attempts;
mod clients;
mod delivery;
mod durable;
mod entry;
mod error;
mod held;
mod inputs;
mod login;
mod logout;
mod outcome;
mod outputs;
mod reload;
mod shell;
mod startup;
mod tally;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::info;

use crate::api::requests::{LoginRequest, Logout, RefreshRequest};
use crate::api::{ApiError, Passed};
use crate::clock::{self, Alarm};
use crate::config::{ConfigErrors, Environment};
use crate::failpoint;
use crate::signals::Signal;
use crate::sink::Report;
use crate::store::Written;
use crate::watch::Watch;

pub use error::DaemonError;
pub use outcome::Outcome;

use attempts::Finished;
use clients::Clients;
use inputs::{Changed, Inputs};
use shell::Shell;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The main configuration file.
    pub config: PathBuf,
    /// Obtain and publish everything once, then stop.
    pub once: bool,
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`DaemonError`] when it cannot start, or when a part of it ends that must not.
pub fn run(
    options: Options,
    environment: Environment,
    start_logging: impl FnOnce(&str) -> Result<(), DaemonError>,
) -> Result<Outcome, DaemonError> {
    let environment = Arc::new(environment);
    let inputs = Inputs::load(&options.config, &environment)?;
    start_logging(&inputs.config.daemon.log)?;
    startup::harden();
    let passed = Passed::take(&environment)?;
    // One of those that block serves clients.
    let runtime = runtime(9).build().map_err(DaemonError::Runtime)?;
    let outcome = runtime.block_on(async {
        let (shell, turns) = startup::assemble(options, environment, inputs, passed)?;
        turn_until_stopped(shell, turns).await
    });
    // Whatever is worth waiting for has been waited for; a read that never ends must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// A thread for tasks, and so many for what blocks, while there is any.
fn runtime(blocking: usize) -> Builder {
    let mut runtime = Builder::new_current_thread();
    runtime
        .enable_all()
        .max_blocking_threads(blocking)
        .thread_keep_alive(Duration::from_secs(2));
    runtime
}

/// One thing that happened.
enum Turn {
    Alarm,
    Attempt(Finished),
    Changed(Changed),
    Died(JoinError),
    Logout(Logout),
    Loaded(Result<Inputs, ConfigErrors>),
    Login(login::Ended),
    LoginRequested(LoginRequest),
    PatienceOver,
    Reported(Report),
    RefreshRequested(RefreshRequest),
    Retired,
    Revoked(logout::Ended),
    ServerEnded(Result<Result<(), ApiError>, JoinError>),
    Signal(Signal),
    Watchdog,
    Written(Written),
    WriterEnded,
}

/// Where turns come from, apart from the attempts.
struct Turns {
    alarm: Alarm,
    clients: Clients,
    logouts: mpsc::Receiver<Logout>,
    loading: Option<JoinHandle<Result<Inputs, ConfigErrors>>>,
    refreshes: mpsc::Receiver<RefreshRequest>,
    patience: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    logins: mpsc::Receiver<LoginRequest>,
    reports: mpsc::Receiver<Report>,
    signals: mpsc::Receiver<Signal>,
    watch: Watch,
    watchdog: Option<Interval>,
    written: mpsc::UnboundedReceiver<Written>,
}

async fn turn_until_stopped(mut shell: Shell, mut turns: Turns) -> Result<Outcome, DaemonError> {
    loop {
        let now = clock::now();
        shell.carry_out(now);
        shell.announce(now);
        turns
            .alarm
            .set(shell.poll_timeout())
            .map_err(DaemonError::Alarm)?;
        if shell.announced.ready && !shell.options.once {
            turns.patience = None;
        }
        if let Some(outcome) = shell.once_outcome() {
            stop(shell, turns).await;
            return Ok(outcome);
        }
        let turn = turns.next(&mut shell).await;
        failpoint::hang("turn").await;
        match turn {
            Turn::Alarm => {}
            Turn::Attempt(finished) => shell.attempt_finished(clock::now(), finished),
            Turn::Changed(changed) => shell.note_change(changed),
            Turn::Loaded(loaded) => turns.watch_loaded(&mut shell, loaded),
            Turn::Login(ended) => shell.login_ended(clock::now(), ended),
            Turn::LoginRequested(request) => shell.login_requested(request),
            Turn::Logout(logout) => shell.log_out(logout),
            Turn::PatienceOver => shell.lose_patience(),
            Turn::Reported(report) => shell.tokens.report(report),
            Turn::RefreshRequested(request) => shell.refresh_requested(clock::now(), request),
            Turn::Retired => shell.tokens.start_outputs(),
            Turn::Revoked(ended) => shell.revoked(clock::now(), ended),
            Turn::ServerEnded(end) => end.map_err(DaemonError::Died)??,
            Turn::Died(death) => return Err(DaemonError::Died(death)),
            Turn::Signal(Signal::Reload) => shell.reload_requested(),
            Turn::Signal(Signal::RefreshAll) => shell.refresh_all(clock::now()),
            Turn::Signal(Signal::Stop) => {
                stop(shell, turns).await;
                return Ok(Outcome::Stopped);
            }
            Turn::Watchdog if turns.clients.are_served() => shell.service.watchdog(),
            Turn::Watchdog => {}
            Turn::Written(written) => shell.written(clock::now(), written),
            // Without it no token would ever be published again.
            Turn::WriterEnded => return Err(DaemonError::WriterDied),
        }
        if turns.loading.is_none() {
            turns.loading = shell.start_loading();
        }
    }
}

impl Turns {
    async fn next(&mut self, shell: &mut Shell) -> Turn {
        tokio::select! {
            () = self.alarm.rung() => Turn::Alarm,
            finished = shell.attempts.finished() => Turn::Attempt(finished),
            written = self.written.recv() => written.map_or(Turn::WriterEnded, Turn::Written),
            ended = shell.logins.ended() => Turn::Login(ended),
            Some(request) = self.logins.recv() => Turn::LoginRequested(request),
            Some(request) = self.refreshes.recv() => Turn::RefreshRequested(request),
            Some(logout) = self.logouts.recv() => Turn::Logout(logout),
            ended = shell.revocations.ended() => Turn::Revoked(ended),
            Some(report) = self.reports.recv() => Turn::Reported(report),
            () = shell.tokens.retired() => Turn::Retired,
            Some(signal) = self.signals.recv() => Turn::Signal(signal),
            files = self.watch.changed() => Turn::Changed(Changed::Files(files)),
            loaded = ended(&mut self.loading) => loaded.map_or_else(Turn::Died, Turn::Loaded),
            end = ended(&mut self.clients.thread) => Turn::ServerEnded(end),
            () = over(&mut self.patience) => Turn::PatienceOver,
            () = tick(&mut self.watchdog) => Turn::Watchdog,
        }
    }

    fn watch_loaded(&mut self, shell: &mut Shell, loaded: Result<Inputs, ConfigErrors>) {
        if let Some(followed) = shell.loaded(clock::now(), loaded) {
            self.watch.follow(followed);
        }
    }
}

/// Lets refreshes under way end, for a bounded time, and makes what they brought durable.
async fn stop(mut shell: Shell, mut turns: Turns) {
    info!("stopping");
    shell.begin_stop();
    // Nobody reads them any more: an output that waits to report would never end.
    drop(turns.reports);
    let grace = sleep(STOP_WITHIN);
    tokio::pin!(grace);
    while shell.has_unfinished_business() {
        tokio::select! {
            () = &mut grace => break,
            finished = shell.attempts.finished() => shell.attempt_finished(clock::now(), finished),
            ended = shell.logins.ended() => shell.login_ended(clock::now(), ended),
            Some(written) = turns.written.recv() => shell.written(clock::now(), written),
            ended = shell.revocations.ended() => shell.revoked(clock::now(), ended),
        }
        shell.carry_out(clock::now());
    }
    // It has been told with the view, and does not take long.
    if let Some(server) = turns.clients.thread {
        let _ = server.await;
    }
    shell.end().await;
}

/// Waits for a task that may not be there.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(handle) => {
            let result = handle.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}

async fn over(patience: &mut Option<std::pin::Pin<Box<tokio::time::Sleep>>>) {
    match patience {
        Some(sleep) => {
            sleep.as_mut().await;
            *patience = None;
        }
        None => std::future::pending().await,
    }
}

async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Twice as often as the watchdog demands, as `sd_watchdog_enabled(3)` advises.
fn watchdog_interval(demanded: Duration) -> Interval {
    let mut interval = interval(demanded / 2);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Readiness waits this long for the required tokens; then the daemon says that it is degraded, so that a
/// boot does not hang on somebody else's server.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a stop waits for refreshes under way.
const STOP_WITHIN: Duration = Duration::from_secs(4);
