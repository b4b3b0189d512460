//! Start-up: the process, its directories, and the parts put together.

use std::sync::Arc;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tokio::sync::{mpsc, watch};
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
use crate::watch::Watch;

use super::announcements::Announcements;
use super::attempts::Attempts;
use super::clients::Clients;
use super::configuration::Configuration;
use super::durability::Durability;
use super::error::DaemonError;
use super::in_force;
use super::inputs::{Changed, Inputs};
use super::login::Logins;
use super::options::Options;
use super::outputs::Outputs;
use super::owners::Owners;
use super::passed_socket::PassedSocket;
use super::reload::Reload;
use super::revocations::Revocations;
use super::schedule::Schedule;
use super::timers::{Patience, Watchdog};
use super::tokens::Tokens;
use super::turns::{Requests, Timers, Turns};

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
) -> Result<(Owners, Turns), DaemonError> {
    let state = open_state(&inputs.config.daemon, &environment)?;
    let (report_sender, reports) = mpsc::channel(64);
    let consumers = Consumers::restore(&inputs.config.daemon.state_dir);
    let outputs = Outputs::new(&environment, report_sender, &consumers);
    let tokens = Tokens::new(state.records, outputs);
    sink::sweep(inputs.config.tokens.values().map(AsRef::as_ref));
    let passed_socket = PassedSocket::new(passed.http.as_ref().and_then(api::listen::passed::path));
    let mut owners = Owners {
        schedule: Schedule::new(host_seed()),
        tokens,
        attempts: Attempts::default(),
        durability: Durability::new(state.writer),
        logins: state.logins,
        revocations: Revocations::default(),
        configuration: Configuration::new(options.config, environment, inputs.clone()),
        reload: Reload::default(),
        announcements: Announcements::new(options.once, state.warnings, passed_socket),
    };
    let view = owners.announcements.subscribe();
    in_force::apply(&mut owners, clock::now(), inputs, &Changed::Anything);
    let (api, requests) = interface(&owners.tokens, view, consumers);
    // A single pass serves nobody: a daemon may be running beside it.
    let clients = if options.once {
        Clients::none()
    } else {
        owners.resume_logins();
        let configuration = &owners.configuration;
        let environment = configuration.environment();
        Clients::serve(configuration.started_with(), passed, api, environment)?
    };
    let turns = Turns {
        clients,
        requests,
        reports,
        signals: signals::listen().map_err(DaemonError::Signals)?,
        timers: Timers {
            alarm: Alarm::new().map_err(DaemonError::Alarm)?,
            patience: Patience::begin(),
            watchdog: Watchdog::new(owners.announcements.service().watchdog_interval()),
        },
        watch: Watch::start(owners.configuration.inputs().followed.clone()),
        written: state.written,
    };
    Ok((owners, turns))
}

/// What clients read, and where what they ask for arrives.
fn interface(
    tokens: &Tokens,
    daemon: watch::Receiver<DaemonView>,
    consumers: Consumers,
) -> (Api, Requests) {
    let (refresh_sender, refreshes) = mpsc::channel(64);
    let (login_sender, logins) = mpsc::channel(16);
    let (logout_sender, logouts) = mpsc::channel(16);
    let api = Api {
        tokens: tokens.registry(),
        daemon,
        refreshes: refresh_sender,
        events: tokens.events().clone(),
        consumers,
        logins: login_sender,
        logouts: logout_sender,
    };
    let requests = Requests {
        logins,
        logouts,
        refreshes,
    };
    (api, requests)
}

/// A number that differs between hosts and is the same at each start, so that a fleet booted
/// together spreads its requests.
fn host_seed() -> u64 {
    let id =
        std::fs::read("/etc/machine-id").or_else(|_| std::fs::read("/proc/sys/kernel/hostname"));
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    id.unwrap_or_default()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, hash)
}
