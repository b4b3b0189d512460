//! Has the units that got a token as a credential reloaded or restarted, so that they get the new
//! one.
//!
//! `systemctl` runs twice: first to show the units' states, which needs no rights, and then to
//! queue a job for each unit that needs one. Nobody waits for the jobs to end: how they end is in
//! the units' own logs.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use super::command;
use super::shared::Shared;
use crate::program::{self, ProgramError};

/// Why a unit may still have the old token.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Run(#[from] ProgramError),
    #[error("systemctl {verb}: {said}")]
    Refused { verb: &'static str, said: String },
    #[error(
        "{} has asked for the token before it was replaced, and is still starting",
        .0.join(", ")
    )]
    Starting(Vec<String>),
}

impl ReloadError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { verb: SHOW, .. } => {
                Some("consumers are reloaded through the D-Bus daemon")
            }
            Self::Refused { .. } => Some(
                "polkit has to be installed and to allow it: \
                 see \"reload_consumers\" in bearerd(8)",
            ),
            Self::Run(_) | Self::Starting(_) => None,
        }
    }
}

/// What a unit needs to get the new token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    /// It has ended, or is about to end: it asks for the token when it starts again.
    Nothing,
    /// It fetches its credentials again when it is reloaded.
    Reload,
    /// It gets credentials only when it starts.
    Restart,
    /// It is still starting, and can be neither reloaded nor restarted yet.
    Time,
}

/// Queues a job for every unit that has an older generation than this one and needs a job.
pub(super) async fn reload(
    shared: &Shared,
    timeout: Duration,
    generation: u64,
) -> Result<(), ReloadError> {
    let (consumers, token) = (&shared.consumers, &shared.config.name);
    let units = consumers.behind(token, generation);
    if units.is_empty() {
        return Ok(());
    }
    let needs = needs(&systemctl(shared, SHOW, &units, timeout).await?);
    let (mut to_reload, mut to_restart, mut starting) = (Vec::new(), Vec::new(), Vec::new());
    for unit in units {
        match needs.get(&unit) {
            Some(Need::Nothing) => consumers.forget(token, &unit),
            Some(Need::Reload) => to_reload.push(unit),
            Some(Need::Restart) => to_restart.push(unit),
            Some(Need::Time) => starting.push(unit),
            None => {}
        }
    }
    let mut refused = None;
    for (verb, units) in [(RELOAD, to_reload), (RESTART, to_restart)] {
        if units.is_empty() {
            continue;
        }
        match systemctl(shared, verb, &units, timeout).await {
            Ok(_) => tracing::info!(%token, generation, verb, ?units, "consumers told"),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error),
        None if starting.is_empty() => Ok(()),
        None => Err(ReloadError::Starting(starting)),
    }
}

/// Runs `systemctl`, and returns what it has written to standard output.
async fn systemctl(
    shared: &Shared,
    verb: &'static str,
    units: &[String],
    timeout: Duration,
) -> Result<String, ReloadError> {
    let mut argv = vec!["systemctl", "--no-ask-password", "--no-block", verb];
    if verb == SHOW {
        argv.push(PROPERTIES);
    }
    // Only a user's own service manager gives its services this variable.
    if shared.environment.var("XDG_RUNTIME_DIR").is_some() {
        argv.push("--user");
    }
    argv.push("--");
    argv.extend(units.iter().map(String::as_str));
    let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
    let mut command = command::command(&argv, &shared.environment);
    command.stdout(Stdio::piped());
    let ended = program::run(command, timeout, MAX_LISTED).await?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let first = said.lines().next().unwrap_or("no reason given");
    Err(ReloadError::Refused {
        verb,
        said: first.trim_end_matches('.').to_owned(),
    })
}

/// Reads the answer of `systemctl show`: lines of `KEY=value`, and an empty line between two units.
fn needs(shown: &str) -> BTreeMap<String, Need> {
    let units = shown.split("\n\n").filter_map(|unit| {
        let value = |key: &str| {
            let mut lines = unit.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(name, value)| (name == key).then_some(value))
        };
        // Only services have a type, and only services are reloaded or restarted.
        let kind = value("Type").filter(|kind| !kind.is_empty());
        let refreshes = value("RefreshOnReload").unwrap_or_default();
        let refreshes = refreshes.split(' ').any(|what| what == "credentials");
        let need = match (value("ActiveState")?, kind) {
            (_, None) => Need::Nothing,
            ("active" | "reloading" | "refreshing", _) if refreshes => Need::Reload,
            ("active" | "reloading" | "refreshing", _) => Need::Restart,
            // A oneshot at work is neither disturbed nor waited for: its next run asks for the
            // token again.
            ("activating", Some("oneshot")) => Need::Nothing,
            ("activating", _) => Need::Time,
            _ => Need::Nothing,
        };
        Some((value("Id")?.to_owned(), need))
    });
    units.collect()
}

const PROPERTIES: &str = "--property=Id,Type,ActiveState,RefreshOnReload";
const RELOAD: &str = "try-reload-or-restart";
const RESTART: &str = "try-restart";
const SHOW: &str = "show";

/// So many bytes are enough for what `systemctl show` writes of thousands of units.
const MAX_LISTED: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_units_need() {
        let unit = |id: &str, kind: &str, state: &str, more: &str| {
            format!("Type={kind}\nId={id}\nActiveState={state}\n{more}")
        };
        let shown = [
            unit("a.service", "notify", "active", ""),
            unit(
                "b.service",
                "notify",
                "active",
                "RefreshOnReload=extensions credentials\n",
            ),
            unit(
                "c.service",
                "notify",
                "active",
                "RefreshOnReload=extensions\n",
            ),
            unit("d.service", "notify", "activating", ""),
            unit("e.service", "oneshot", "activating", ""),
            unit("f.service", "oneshot", "active", ""),
            unit("g.service", "", "inactive", ""),
            "Id=i.socket\nActiveState=active\n".into(),
            unit("h.service", "notify", "failed", ""),
        ];
        let needs = needs(&shown.join("\n"));
        let of = |unit: &str| needs.get(unit).copied();
        assert_eq!(of("a.service"), Some(Need::Restart));
        assert_eq!(of("b.service"), Some(Need::Reload));
        assert_eq!(of("c.service"), Some(Need::Restart));
        assert_eq!(of("d.service"), Some(Need::Time));
        assert_eq!(of("e.service"), Some(Need::Nothing));
        assert_eq!(of("f.service"), Some(Need::Restart));
        assert_eq!(of("g.service"), Some(Need::Nothing));
        assert_eq!(of("h.service"), Some(Need::Nothing));
        assert_eq!(of("i.socket"), Some(Need::Nothing));
        assert_eq!(needs.len(), 9);
        assert_eq!(super::needs(""), BTreeMap::new());
    }
}
