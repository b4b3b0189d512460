//! Has the units that got a token as a credential reloaded or restarted, so that they get the new one.
//!
//! `systemctl` is asked twice: how the units stand, which needs no rights, and then for what each of them needs.
//! Only jobs are queued. What becomes of a job is the unit's own affair, and in its own log.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use super::Shared;
use super::command::{self, CommandError};

/// Why a unit may still have the old token.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("systemctl {verb}: {said}")]
    Refused { verb: &'static str, said: String },
    #[error("{} has asked for the token before it was replaced, and is still starting", .0.join(", "))]
    Starting(Vec<String>),
}

impl ReloadError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { verb: SHOW, .. } => {
                Some("consumers are reloaded through the D-Bus daemon")
            }
            Self::Refused { .. } => Some(
                "polkit has to be installed and to allow it: see \"reload_consumers\" in bearerd(8)",
            ),
            Self::Command(_) | Self::Starting(_) => None,
        }
    }
}

/// What a unit needs to get the new token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Need {
    /// It has ended, or will without more ado: it asks when it starts again.
    Nothing,
    /// It fetches its credentials again when it is reloaded.
    Reload,
    /// It gets credentials only when it starts.
    Restart,
    /// It can be neither yet.
    Time,
}

/// Queues what every unit needs that has an older generation than this one.
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

/// What it writes to standard output.
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
    let ended = command::run(command, timeout).await?;
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

/// Reads what `systemctl show` says of the units: lines of `KEY=value`, an empty one between two units.
fn needs(shown: &str) -> BTreeMap<String, Need> {
    let units = shown.split("\n\n").filter_map(|unit| {
        let value = |key: &str| {
            let mut lines = unit.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(name, value)| (name == key).then_some(value))
        };
        // Only services have a type, and only they are worth it.
        let kind = value("Type").filter(|kind| !kind.is_empty());
        let refreshes = value("RefreshOnReload").unwrap_or_default();
        let refreshes = refreshes.split(' ').any(|what| what == "credentials");
        let need = match (value("ActiveState")?, kind) {
            (_, None) => Need::Nothing,
            ("active" | "reloading" | "refreshing", _) if refreshes => Need::Reload,
            ("active" | "reloading" | "refreshing", _) => Need::Restart,
            // A job at work is not disturbed, and not waited for: its next run asks again.
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
