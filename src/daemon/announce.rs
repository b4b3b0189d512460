//! What the daemon says of itself: to systemd, and to whoever reads status.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use rustix::io::Errno;
use tracing::{info, warn};

use super::shell::Shell;

/// What has been announced.
#[derive(Default)]
pub(super) struct Announced {
    pub(super) ready: bool,
    pub(super) patience_over: bool,
    /// When the status may be sent that is still to be sent.
    pub(super) status_at: Option<Instant>,
}

impl Shell {
    /// Says what has changed since the last turn.
    pub(super) fn announce(&mut self, now: Instant) {
        self.update_view();
        let ready = self.tokens.ready();
        if !self.announced.ready && (ready || self.announced.patience_over) {
            self.announced.ready = true;
            info!(ready, "started");
            self.service.ready();
        }
        let refused = self.view.borrow().configuration_error.is_some();
        let tally = self.tokens.tally();
        let mut status = format!("{} of {} tokens fresh", tally.fresh, tally.total());
        if tally.failing > 0 {
            status.push_str(&format!(", {} failing", tally.failing));
        }
        if refused {
            status.push_str("; the newest configuration is refused");
        }
        self.announced.status_at = self.service.status(now, &status);
    }

    /// Lets readers see the daemon as it stands.
    pub(super) fn update_view(&self) {
        let (ready, warnings) = (self.tokens.ready(), self.warnings());
        self.view.send_if_modified(|view| {
            let differs = view.ready != ready || view.warnings != warnings;
            view.ready = ready;
            view.warnings = warnings;
            differs
        });
    }

    /// The bounded wait for the required tokens is over.
    pub(super) fn lose_patience(&mut self) {
        if !self.announced.ready && !self.options.once {
            warn!("required tokens are missing: starting without them");
        }
        self.announced.patience_over = true;
    }

    /// Tells of a passed socket that nobody can reach, or not all whom allow lists name.
    pub(super) fn check_passed_socket(&mut self) {
        let mut tokens = self.inputs.config.tokens.values();
        let shared = tokens.any(|token| !token.allow.is_empty() || !token.login.is_empty());
        let found = self.passed_socket.as_ref().and_then(|path| {
            let shown = path.display();
            match rustix::fs::stat(path) {
                // With the runtime directory of a bearerd that was stopped.
                Err(Errno::NOENT) => Some(format!(
                    "{shown} was passed, but its file is gone; hint: restart bearerd.socket, and set \
                     RuntimeDirectoryPreserve=yes for bearerd.service"
                )),
                Ok(stat) if shared && stat.st_mode & 0o002 == 0 => Some(format!(
                    "tokens have an `allow` or `login` list, but {shown} was passed with mode {:04o}; \
                     hint: SocketMode=0666 in bearerd.socket",
                    stat.st_mode & 0o777
                )),
                _ => None,
            }
        });
        self.socket_warning = found.map(Arc::from);
        if let Some(text) = &self.socket_warning {
            warn!("{text}");
        }
    }

    /// Whether a part of the configuration waits for the next start.
    pub(super) fn is_outdated(&self) -> bool {
        self.inputs.config.daemon != self.started_with
    }

    fn warnings(&self) -> Vec<Arc<str>> {
        let mut warnings = self.start_warnings.clone();
        if self.is_outdated() {
            warnings.push(OUTDATED.into());
        }
        warnings.extend(self.inputs.warnings.values().cloned());
        warnings.extend(self.socket_warning.clone());
        if self.durable.has_unsaved() {
            warnings
                .push("the state directory cannot be written: a restart would lose tokens".into());
        }
        warnings
    }
}

pub(super) const OUTDATED: &str = "[daemon] has changed: that takes effect at the next start";
