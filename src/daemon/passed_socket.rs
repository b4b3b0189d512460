//! Looks whether a socket that was passed to the daemon can be reached by whom it serves.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use tracing::warn;

use crate::config::Config;

/// The HTTP socket, if somebody else has bound it.
pub(super) struct PassedSocket {
    /// Where it is bound.
    path: Option<PathBuf>,
    /// How it contradicts the configuration.
    warning: Option<Arc<str>>,
}

impl PassedSocket {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            warning: None,
        }
    }

    pub(super) fn warning(&self) -> Option<&Arc<str>> {
        self.warning.as_ref()
    }

    /// Tells of a passed socket that nobody can reach, or not all whom allow lists name.
    pub(super) fn check(&mut self, config: &Config) {
        let mut tokens = config.tokens.values();
        let shared = tokens.any(|token| !token.allow.is_empty() || !token.login.is_empty());
        let found = self.path.as_ref().and_then(|path| {
            let shown = path.display();
            match rustix::fs::stat(path) {
                // With the runtime directory of a bearerd that was stopped.
                Err(Errno::NOENT) => Some(format!(
                    "{shown} was passed, but its file is gone; hint: restart bearerd.socket, and \
                     set RuntimeDirectoryPreserve=yes for bearerd.service"
                )),
                Ok(stat) if shared && stat.st_mode & 0o002 == 0 => Some(format!(
                    "tokens have an `allow` or `login` list, but {shown} was passed with mode \
                     {:04o}; hint: SocketMode=0666 in bearerd.socket",
                    stat.st_mode & 0o777
                )),
                Ok(_) | Err(_) => None,
            }
        });
        self.warning = found.map(Arc::from);
        if let Some(text) = &self.warning {
            warn!("{text}");
        }
    }
}
