//! The shell around the core: the owners of all that changes, and the only `select!` loop.
//!
//! The loop waits for one turn, hands it to its owner, carries out what the core then commands, and
//! sets the alarm for what is due next. Nothing in it blocks: requests are tasks, state is written
//! by a thread, keys and configuration are loaded on the blocking pool.
//!
//! | module | duty |
//! |---|---|
//! | `turns`, `timers` | what can happen, and where it comes from |
//! | `owners` | all owners, and what follows from each thing that has happened |
//! | `commands` | carries out what the core commands |
//! | `in_force` | puts a configuration in force |
//! | `schedule` | owns the core |
//! | `tokens` | owns the configured tokens: an `entry` for each |
//! | `held`, `delivery` | what is held of one token; its outputs |
//! | `outputs` | starts the outputs of all tokens, and sees them off |
//! | `attempts` | owns the requests under way, and what they have brought |
//! | `durability` | owns the state writer, and what waits for it |
//! | `login` | owns the logins that have begun |
//! | `revocations` | owns the revocations under way |
//! | `configuration`, `inputs` | owns the configuration in force, and what was loaded for it |
//! | `reload` | owns the changes that have not been loaded |
//! | `announcements`, `passed_socket`, `tally` | what the daemon says of itself |
//! | `single_pass`, `outcome` | how a run ends |
//! | `startup`, `clients`, `runtime` | puts all together; the thread that serves clients |

mod announcements;
mod attempts;
mod clients;
mod commands;
mod configuration;
mod delivery;
mod durability;
mod entry;
mod error;
mod held;
mod in_force;
mod inputs;
mod login;
mod options;
mod outcome;
mod outputs;
mod owners;
mod passed_socket;
mod reload;
mod revocations;
mod runtime;
mod schedule;
mod single_pass;
mod startup;
mod tally;
mod timers;
mod tokens;
mod turns;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use crate::api::Passed;
use crate::clock;
use crate::config::Environment;
use crate::failpoint;
use crate::signals::Signal;

pub use error::DaemonError;
pub use options::Options;
pub use outcome::Outcome;

use commands::carry_out;
use inputs::{Changed, Inputs};
use owners::Owners;
use runtime::runtime;
use single_pass::SinglePass;
use turns::{Turn, Turns};

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
    // One of the threads for what blocks serves clients.
    let runtime = runtime(9).build().map_err(DaemonError::Runtime)?;
    let outcome = runtime.block_on(async {
        let single_pass = options.once.then(SinglePass::default);
        let (owners, turns) = startup::assemble(options, environment, inputs, passed)?;
        turn_until_stopped(owners, turns, single_pass).await
    });
    // Whatever is worth waiting for has been waited for; a read that never ends must not keep the
    // process.
    runtime.shutdown_background();
    outcome
}

async fn turn_until_stopped(
    mut owners: Owners,
    mut turns: Turns,
    mut single_pass: Option<SinglePass>,
) -> Result<Outcome, DaemonError> {
    loop {
        let now = clock::now();
        carry_out(&mut owners, now);
        owners.announce(now);
        turns
            .timers
            .alarm
            .set(owners.due_at())
            .map_err(DaemonError::Alarm)?;
        match &mut single_pass {
            Some(pass) => {
                let patience_over = owners.announcements.patience_is_over();
                if let Some(outcome) = pass.outcome(&owners.tokens, patience_over) {
                    stop(owners, turns).await;
                    return Ok(outcome);
                }
            }
            None if owners.announcements.is_ready() => turns.timers.patience.end(),
            None => {}
        }
        let turn = turns.next(&mut owners).await;
        failpoint::hang("turn").await;
        if act(&mut owners, &mut turns, turn)?.is_break() {
            stop(owners, turns).await;
            return Ok(Outcome::Stopped);
        }
        owners.reload.start(&owners.configuration);
    }
}

/// Hands what has happened to its owner. Breaks when the daemon is to stop.
fn act(owners: &mut Owners, turns: &mut Turns, turn: Turn) -> Result<ControlFlow<()>, DaemonError> {
    match turn {
        Turn::Alarm => {}
        Turn::Attempt(finished) => owners.attempt_finished(clock::now(), finished),
        Turn::FilesChanged(files) => owners.reload.note(Changed::Files(files)),
        Turn::Loaded(ended) => {
            let ended = ended.map_err(DaemonError::Died)?;
            if let Some(followed) = in_force::loaded(owners, clock::now(), ended) {
                turns.watch.follow(followed);
            }
        }
        Turn::Login(ended) => owners.login_ended(clock::now(), ended),
        Turn::LoginRequested(request) => owners.login_requested(request),
        Turn::Logout(logout) => owners.log_out(logout),
        Turn::PatienceOver => owners.announcements.lose_patience(),
        Turn::RefreshRequested(request) => owners.refresh_requested(clock::now(), request),
        Turn::Reported(report) => owners.tokens.report(report),
        Turn::Retired => owners.tokens.start_outputs(),
        Turn::Revoked(ended) => owners.revoked(clock::now(), ended),
        Turn::ServerEnded(end) => end.map_err(DaemonError::Died)??,
        Turn::Signal(Signal::Reload) => owners.reload_requested(),
        Turn::Signal(Signal::RefreshAll) => owners.refresh_all(clock::now()),
        Turn::Signal(Signal::Stop) => return Ok(ControlFlow::Break(())),
        Turn::Watchdog if turns.clients.are_served() => owners.announcements.service().watchdog(),
        Turn::Watchdog => {}
        Turn::Written(written) => owners.written(clock::now(), written),
        // Without the writer no token would ever be published again.
        Turn::WriterEnded => return Err(DaemonError::WriterDied),
    }
    Ok(ControlFlow::Continue(()))
}

/// Lets refreshes under way end, for a bounded time, and makes what they brought durable.
async fn stop(mut owners: Owners, turns: Turns) {
    info!("stopping");
    owners.begin_stop();
    let Turns {
        clients,
        reports,
        mut written,
        ..
    } = turns;
    // Nobody reads the reports any more: an output that waits to report would never end.
    drop(reports);
    let grace = sleep(STOP_WITHIN);
    tokio::pin!(grace);
    while owners.are_busy() {
        tokio::select! {
            () = &mut grace => break,
            finished = owners.attempts.finished() => {
                owners.attempt_finished(clock::now(), finished);
            }
            ended = owners.logins.ended() => owners.login_ended(clock::now(), ended),
            Some(written) = written.recv() => owners.written(clock::now(), written),
            ended = owners.revocations.ended() => owners.revoked(clock::now(), ended),
        }
        carry_out(&mut owners, clock::now());
    }
    clients.end().await;
    owners.end().await;
}

/// How long a stop waits for refreshes under way.
const STOP_WITHIN: Duration = Duration::from_secs(4);
