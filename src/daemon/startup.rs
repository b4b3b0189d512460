//! Start-up: the process, its directories, and the parts put together.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use crate::api::{self, Api, ApiError, Protocol};
use crate::clock::{self, Alarm};
use crate::config::{DaemonConfig, Environment};
use crate::error_chain::error_chain;
use crate::refresh::Scheduler;
use crate::signals;
use crate::sink;
use crate::store::{
    BootId, Consumers, DaemonView, Moment, Record, Sealer, StateDir, StateWriter, Written,
};
use crate::systemd::ServiceManager;
use crate::watch::Watch;

use super::durable::Durable;
use super::inputs::{Changed, Inputs};
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

/// Makes the directory of the sockets.
fn runtime_directory(path: &Path) -> Result<(), DaemonError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.map_err(|cause| DaemonError::Directory {
        path: path.into(),
        cause,
    })
}

/// The durable state as start-up finds it.
struct State {
    writer: StateWriter,
    written: mpsc::UnboundedReceiver<Written>,
    records: Vec<Record>,
    warnings: Vec<Arc<str>>,
}

fn open_state(directory: &Path, environment: &Environment) -> Result<State, DaemonError> {
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
    let (writer, written) =
        StateWriter::spawn(state, sealer, moment.boot).map_err(DaemonError::Thread)?;
    Ok(State {
        writer,
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
) -> Result<(Shell, Turns), DaemonError> {
    let daemon = inputs.config.daemon.clone();
    let state = open_state(&daemon.state_dir, &environment)?;
    let (report_sender, reports) = mpsc::channel(64);
    let (event_sender, requests) = mpsc::channel(64);
    let (logout_sender, logouts) = mpsc::channel(16);
    let (view, daemon_view) = watch::channel(DaemonView::default());
    let consumers = Consumers::restore(&daemon.state_dir);
    let (outputs_environment, served) = (Arc::clone(&environment), consumers.clone());
    let tokens = Tokens::new(state.records, outputs_environment, report_sender, served);
    let registry = tokens.registry();
    let followed = inputs.followed.clone();
    sink::sweep(inputs.config.tokens.values().map(AsRef::as_ref));
    let credentials_environment = Arc::clone(&environment);
    let service = ServiceManager::of_process();
    let watchdog = service.watchdog_interval().map(watchdog_interval);
    let mut shell = Shell {
        options,
        environment,
        inputs: inputs.clone(),
        scheduler: Scheduler::new(host_seed()),
        tokens,
        attempts: Default::default(),
        received: Default::default(),
        durable: Durable::new(state.writer),
        revocations: Default::default(),
        view,
        service,
        announced: Default::default(),
        start_warnings: state.warnings,
        reload: Reload::default(),
        once_waits_for: None,
        stopping: false,
    };
    shell.apply(clock::now(), inputs, Changed::Anything);
    // A single pass serves nobody: a daemon may be running beside it.
    let server = if shell.options.once {
        None
    } else {
        let api = Api {
            tokens: registry,
            daemon: daemon_view,
            events: event_sender,
            consumers,
            logouts: logout_sender,
        };
        Some(serve(&daemon, api, credentials_environment)?)
    };
    let turns = Turns {
        alarm: Alarm::new().map_err(DaemonError::Alarm)?,
        logouts,
        loading: None,
        patience: Some(Box::pin(sleep(PATIENCE))),
        reports,
        requests,
        server,
        signals: signals::listen().map_err(DaemonError::Signals)?,
        watch: Watch::start(followed),
        watchdog,
        written: state.written,
    };
    Ok((shell, turns))
}

fn serve(
    config: &DaemonConfig,
    api: Api,
    environment: Arc<Environment>,
) -> Result<JoinHandle<ApiError>, DaemonError> {
    let runtime_dir = &config.runtime_dir;
    runtime_directory(runtime_dir)?;
    let listen = |name| {
        let listener = api::bind(&runtime_dir.join(name))?;
        UnixListener::from_std(listener).map_err(DaemonError::Runtime)
    };
    let listener = listen("bearerd.sock")?;
    let credentials = listen("credentials.sock")?;
    let oidc_agent = config.oidc_agent.then(|| listen("oidc-agent.sock"));
    let oidc_agent = oidc_agent.transpose()?;
    let agent_api = api.clone();
    let oidc_agent = async move {
        match oidc_agent {
            Some(listener) => api::serve(listener, agent_api, Protocol::OidcAgent).await,
            None => std::future::pending().await,
        }
    };
    Ok(tokio::spawn(async move {
        tokio::select! {
            end = api::serve(listener, api.clone(), Protocol::Http) => end,
            end = oidc_agent => end,
            end = api::credentials::serve(credentials, api, environment) => end,
        }
    }))
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
