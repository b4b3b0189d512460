//! `[daemon]`: what the daemon is told about itself.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::keys::Field;
use super::units::{COMMAND_HINT, boolean, command, path, text, timeout};

/// `[daemon]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DaemonConfig {
    /// The directory of the durable state. Its mode is 0700.
    pub state_dir: PathBuf,
    /// The directory of the sockets.
    pub runtime_dir: PathBuf,
    /// What is run when somebody has to log in.
    pub notify: Option<NotifyConfig>,
    /// Whether oidc-agent's clients are served, at `oidc-agent.sock` in `runtime_dir`.
    pub oidc_agent: bool,
    /// The log filter, such as `info` or `bearerd::oauth=debug,info`.
    pub log: String,
}

/// `[daemon.notify]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotifyConfig {
    /// The program and its arguments. No shell is used.
    pub command: Vec<String>,
    /// How long the program may run before it is killed.
    pub timeout: Duration,
}

/// Reads `[daemon]`.
pub(super) fn daemon(field: Field<'_>, defaults: &DaemonConfig) -> Option<DaemonConfig> {
    let mut keys = field.keys()?;
    let state_dir = keys.optional("state_dir", path);
    let runtime_dir = keys.optional("runtime_dir", path);
    let oidc_agent = keys.optional("oidc_agent", boolean);
    let log = keys.optional("log", log_filter);
    let notify = keys.optional("notify", notify);
    keys.finish();
    Some(DaemonConfig {
        state_dir: state_dir.unwrap_or_else(|| defaults.state_dir.clone()),
        runtime_dir: runtime_dir.unwrap_or_else(|| defaults.runtime_dir.clone()),
        oidc_agent: oidc_agent.unwrap_or(defaults.oidc_agent),
        log: log.unwrap_or_else(|| defaults.log.clone()),
        notify: notify.or_else(|| defaults.notify.clone()),
    })
}

fn notify(field: Field<'_>) -> Option<NotifyConfig> {
    let mut keys = field.keys()?;
    let command = keys.required("command", COMMAND_HINT, command);
    let timeout = keys.optional("timeout", timeout);
    keys.finish();
    Some(NotifyConfig {
        command: command?,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

/// The settings without `[daemon]`. The directories are those that systemd names; else those of the
/// user, for a user's own daemon (XDG Base Directory Specification); else those of the system.
pub(super) fn daemon_defaults(environment: &Environment, root: bool) -> DaemonConfig {
    let own = |dir: Option<PathBuf>| dir.filter(|_| !root).map(|dir| dir.join("bearerd"));
    let user_state = environment.directory("XDG_STATE_HOME").or_else(|| {
        let home = environment.directory("HOME")?;
        Some(home.join(".local/state"))
    });
    let user_runtime = environment.directory("XDG_RUNTIME_DIR");
    DaemonConfig {
        state_dir: environment
            .directory("STATE_DIRECTORY")
            .or_else(|| own(user_state))
            .unwrap_or_else(|| "/var/lib/bearerd".into()),
        runtime_dir: environment
            .directory("RUNTIME_DIRECTORY")
            .or_else(|| own(user_runtime))
            .unwrap_or_else(|| "/run/bearerd".into()),
        oidc_agent: false,
        log: "info".into(),
        notify: None,
    }
}

/// Reads `LEVEL` or `TARGET=LEVEL`, or several of them, separated by commas.
fn log_filter(field: Field<'_>) -> Option<String> {
    let filter = text(field)?;
    let level = |word: &str| LEVELS.contains(&word.trim());
    let known = |part: &str| match part.split_once('=') {
        Some((target, word)) => !target.trim().is_empty() && level(word),
        None => level(part),
    };
    if !filter.split(',').all(known) {
        let what = "a log filter such as \"info\" or \"bearerd::oauth=debug,info\"";
        return field.must_be(what, &format!("the levels are {}", LEVELS.join(", ")));
    }
    Some(filter)
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(vars: &[(&str, &str)], root: bool) -> (String, String) {
        let environment: Environment = vars.iter().copied().collect();
        let daemon = daemon_defaults(&environment, root);
        let text = |path: PathBuf| path.display().to_string();
        (text(daemon.state_dir), text(daemon.runtime_dir))
    }

    #[test]
    fn directories() {
        let system = ("/var/lib/bearerd".to_owned(), "/run/bearerd".to_owned());
        let user = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(dirs(&[], true), system);
        assert_eq!(dirs(&[], false), system);
        assert_eq!(dirs(&user, true), system);
        assert_eq!(
            dirs(&user, false),
            (
                "/home/u/.local/state/bearerd".into(),
                "/run/user/7/bearerd".into()
            )
        );
        let state_home = [("HOME", "/home/u"), ("XDG_STATE_HOME", "/s")];
        assert_eq!(dirs(&state_home, false).0, "/s/bearerd");
        let unit = [
            ("HOME", "/home/u"),
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("RUNTIME_DIRECTORY", "/run/a"),
        ];
        assert_eq!(dirs(&unit, false), ("/var/lib/a".into(), "/run/a".into()));
    }
}
