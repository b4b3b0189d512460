//! Start-up: the process, its directories, and the parts put together.

use std::sync::Arc;

use bearerd_core::refresh::Scheduler;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::warn;

use crate::api::{self, Api, Passed};
use crate::clock::{self, Alarm};
use crate::config::{DaemonConfig, Environment};
use crate::error_chain::error_chain;
use crate::signals;
use crate::sink;
use crate::store::{
    BootId, Consumers, DaemonView, LoginFiles, Moment, Record, Sealer, StateDir, StateWriter,
    Written,
};
use crate::systemd::ServiceManager;
use crate::watch::Watch;

use super::clients::Clients;
use super::durable::Durable;
use super::inputs::{Changed, Inputs};
use super::login::Logins;
use super::outputs::Outputs;
use super::reload::Reload;
use super::shell::Shell;
use super::tokens::Tokens;
use super::{DaemonError, Options, PATIENCE, Turns, watchdog_interval};

/// Keeps the process's memory to itself: no core dumps, and no reading of it by the same user.
pub(super) fn harden() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let no_core = rustix::process::setrlimit(Resource::Core, none);
    let no_dump = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for refused in [no_core, no_dump].into_iter().filter_map(Result::err) {
        warn!(error = %refused, "memory dumps cannot be switched off");
    }
}

/// The durable state as start-up finds it.
struct State {
    writer: StateWriter,
    logins: Logins,
    written: mpsc::UnboundedReceiver<Written>,
    records: Vec<Record>,
    warnings: Vec<Arc<str>>,
}

fn open_state(daemon: &DaemonConfig, environment: &Arc<Environment>) -> Result<State, DaemonError> {
    let directory = &daemon.state_dir;
    let sealer = Sealer::from_environment(environment)?;
    let (now, unix_now) = (clock::now(), clock::unix_now());
    let moment = Moment {
        boot: BootId::of_system(),
        now,
        unix_now,
    };
    let mut state = StateDir::open(directory)?;
    let loaded = state.load_all(&sealer, &moment)?;
    let mut warnings: Vec<Arc<str>> = Vec::new();
    if matches!(sealer, Sealer::None) {
        warnings.push("the state is not sealed: there is no credential bearerd-state-key".into());
    }
    warnings.extend(
        loaded
            .warnings
            .iter()
            .map(|warning| Arc::from(error_chain(warning))),
    );
    for text in &warnings {
        warn!("{text}");
    }
    let logins = LoginFiles::new(directory, sealer.clone());
    let notify = |command| sink::notifier(command, Arc::clone(environment));
    let logins = Logins::new(logins, daemon.notify.clone().map(notify));
    let (writer, written) =
        StateWriter::spawn(state, sealer, moment.boot).map_err(DaemonError::Thread)?;
    Ok(State {
        writer,
        logins,
        written,
        records: loaded.records,
        warnings,
    })
}

/// Puts the parts together: restored tokens are published before the first request is sent.
pub(super) fn assemble(
    options: Options,
    environment: Arc<Environment>,
    inputs: Inputs,
    passed: Passed,
) -> Result<(Shell, Turns), DaemonError> {
    let state = open_state(&inputs.config.daemon, &environment)?;
    let (report_sender, reports) = mpsc::channel(64);
    let (refresh_sender, refreshes) = mpsc::channel(64);
    let (login_sender, login_wishes) = mpsc::channel(16);
    let (logout_sender, logouts) = mpsc::channel(16);
    let (view, daemon_view) = watch::channel(DaemonView::default());
    let consumers = Consumers::restore(&inputs.config.daemon.state_dir);
    let outputs = Outputs::new(&environment, report_sender, &consumers);
    let tokens = Tokens::new(state.records, outputs);
    sink::sweep(inputs.config.tokens.values().map(AsRef::as_ref));
    let mut shell = Shell {
        options,
        environment,
        inputs: inputs.clone(),
        scheduler: Scheduler::new(host_seed()),
        tokens,
        attempts: Default::default(),
        received: Default::default(),
        logins: state.logins,
        durable: Durable::new(state.writer),
        revocations: Default::default(),
        view,
        service: ServiceManager::of_process(),
        announced: Default::default(),
        started_with: inputs.config.daemon.clone(),
        start_warnings: state.warnings,
        passed_socket: passed.http.as_ref().and_then(api::listen::passed::path),
        socket_warning: None,
        reload: Reload::default(),
        once_waits_for: None,
        stopping: false,
    };
    shell.apply(clock::now(), inputs, Changed::Anything);
    let api = Api {
        tokens: shell.tokens.registry(),
        daemon: daemon_view,
        refreshes: refresh_sender,
        events: shell.tokens.events().clone(),
        consumers,
        logins: login_sender,
        logouts: logout_sender,
    };
    // A single pass serves nobody: a daemon may be running beside it.
    let clients = (!shell.options.once).then(|| {
        shell.resume_logins();
        Clients::serve(&shell.started_with, passed, api, &shell.environment)
    });
    let turns = Turns {
        alarm: Alarm::new().map_err(DaemonError::Alarm)?,
        clients: clients.transpose()?.unwrap_or_else(Clients::none),
        logouts,
        loading: None,
        logins: login_wishes,
        patience: Some(Box::pin(sleep(PATIENCE))),
        reports,
        refreshes,
        signals: signals::listen().map_err(DaemonError::Signals)?,
        watch: Watch::start(shell.inputs.followed.clone()),
        watchdog: shell.service.watchdog_interval().map(watchdog_interval),
        written: state.written,
    };
    Ok((shell, turns))
}

/// Different on each host and the same at each start: a fleet booted together spreads its requests.
fn host_seed() -> u64 {
    let id =
        std::fs::read("/etc/machine-id").or_else(|_| std::fs::read("/proc/sys/kernel/hostname"));
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    id.unwrap_or_default()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, hash)
}
