//! What the daemon says of itself: to the service manager, and to whoever reads status.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;
use crate::store::DaemonView;
use crate::systemd::ServiceManager;

use super::configuration::Configuration;
use super::durability::Durability;
use super::passed_socket::PassedSocket;
use super::tokens::Tokens;

/// What the daemon has said of itself, and to whom.
pub(super) struct Announcements {
    view: watch::Sender<DaemonView>,
    service: ServiceManager,
    /// Whether the daemon obtains everything once and then stops.
    single_pass: bool,
    /// Whether the service manager has been told that the daemon is ready.
    ready: bool,
    patience_over: bool,
    /// When the status may be sent that is still to be sent.
    status_at: Option<Instant>,
    /// What start-up found and what stays true until the next one.
    start_warnings: Vec<Arc<str>>,
    passed_socket: PassedSocket,
}

impl Announcements {
    pub(super) fn new(
        single_pass: bool,
        start_warnings: Vec<Arc<str>>,
        passed_socket: PassedSocket,
    ) -> Self {
        Self {
            single_pass,
            view: watch::Sender::default(),
            service: ServiceManager::of_process(),
            ready: false,
            patience_over: false,
            status_at: None,
            start_warnings,
            passed_socket,
        }
    }

    /// Where the daemon's view is read.
    pub(super) fn subscribe(&self) -> watch::Receiver<DaemonView> {
        self.view.subscribe()
    }

    pub(super) fn service(&self) -> &ServiceManager {
        &self.service
    }

    /// Says what has changed since the last turn.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        tokens: &Tokens,
        configuration: &Configuration,
        durability: &Durability,
    ) {
        self.update_view(tokens, configuration, durability);
        let ready = tokens.ready();
        if !self.ready && (ready || self.patience_over) {
            self.ready = true;
            info!(ready, "started");
            self.service.ready();
        }
        let status = self.status_line(tokens);
        self.status_at = self.service.status(now, &status);
    }

    fn status_line(&self, tokens: &Tokens) -> String {
        let tally = tokens.tally();
        let mut status = format!("{} of {} tokens fresh", tally.fresh, tally.total());
        if tally.failing > 0 {
            status.push_str(&format!(", {} failing", tally.failing));
        }
        if self.view.borrow().configuration_error.is_some() {
            status.push_str("; the newest configuration is refused");
        }
        status
    }

    /// Lets readers see the daemon as it stands.
    pub(super) fn update_view(
        &self,
        tokens: &Tokens,
        configuration: &Configuration,
        durability: &Durability,
    ) {
        let ready = tokens.ready();
        let warnings = self.warnings(configuration, durability);
        self.view.send_if_modified(|view| {
            let differs = view.ready != ready || view.warnings != warnings;
            view.ready = ready;
            view.warnings = warnings;
            differs
        });
    }

    fn warnings(&self, configuration: &Configuration, durability: &Durability) -> Vec<Arc<str>> {
        let mut warnings = self.start_warnings.clone();
        warnings.extend(configuration.warnings());
        warnings.extend(self.passed_socket.warning().cloned());
        if durability.has_unsaved() {
            warnings
                .push("the state directory cannot be written: a restart would lose tokens".into());
        }
        warnings
    }

    /// When the service manager is to be sent the status that it has not been sent yet.
    pub(super) fn status_at(&self) -> Option<Instant> {
        self.status_at
    }

    /// Whether the service manager has been told that the daemon is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn patience_is_over(&self) -> bool {
        self.patience_over
    }

    /// The bounded wait for the required tokens is over. A single pass says how it went when it
    /// ends.
    pub(super) fn lose_patience(&mut self) {
        if !self.ready && !self.single_pass {
            warn!("required tokens are missing: starting without them");
        }
        self.patience_over = true;
    }

    /// Tells the service manager that a reload begins. Its end is announced as READY=1, which
    /// before the first tokens would not be true: then nothing is told. Returns whether it was.
    pub(super) fn reloading(&self) -> bool {
        if self.ready {
            self.service.reloading();
        }
        self.ready
    }

    /// Lets readers see why the newest configuration is not in force.
    pub(super) fn configuration_refused(&self, errors: Arc<str>) {
        self.view
            .send_modify(|view| view.configuration_error = Some(errors));
    }

    /// Looks at a configuration that has been put in force.
    pub(super) fn configuration_in_force(&mut self, config: &Config) {
        self.passed_socket.check(config);
        self.view
            .send_modify(|view| view.configuration_error = None);
    }

    /// Says that the daemon is about to end.
    pub(super) fn stopping(&self) {
        self.service.stopping();
        self.view.send_modify(|view| view.stopping = true);
    }
}
