//! One hook: a command that runs when all of the token's files hold a new generation.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use super::{Delivery, Output, Shared, explain};
use crate::clock;
use crate::config::HookConfig;
use crate::failpoint;
use crate::instant::Instant;

/// Why a hook has not done its work.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("{program}: {status}")]
    Exit { program: String, status: ExitStatus },
    #[error("cannot run {program}")]
    NotRun {
        program: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{program}: killed, it had not ended after {timeout:?}")]
    TimedOut { program: String, timeout: Duration },
}

/// What a run is about.
#[derive(Clone, Copy, PartialEq)]
struct Due {
    generation: u64,
    expires_at: Instant,
}

pub(super) async fn run(
    mut shared: Shared,
    mut deliveries: watch::Receiver<Vec<Delivery>>,
    index: usize,
) {
    let config = Arc::clone(&shared.config);
    let Some(hook) = config.hooks.get(index) else {
        return;
    };
    let (mut done, mut failures) = (0, 0);
    loop {
        let next = due(&mut shared, &deliveries.borrow_and_update(), done);
        let Some((due, needed)) = next else {
            // The channel closes when the files' tasks have ended: what they deliver last is followed too.
            let more = if config.files.is_empty() {
                shared.news().await
            } else {
                deliveries.changed().await.is_ok()
            };
            if more {
                continue;
            }
            return;
        };
        let result = if needed {
            execute(&shared, hook, due).await
        } else {
            Ok(())
        };
        let reported = log(&shared, index, due.generation, needed, &result);
        let ok = reported.is_ok();
        shared
            .report(Output::Hook(index), due.generation, reported)
            .await;
        if ok {
            (failures, done) = (0, due.generation);
        } else {
            failures += 1;
            if !shared.pause(failures).await {
                return;
            }
        }
    }
}

/// The generation all files hold, if it is not `done` yet, and whether it needs a run: not when all files
/// were found in place, from before a restart. A token without files gives no such sign, and gets its run.
fn due(shared: &mut Shared, deliveries: &[Delivery], done: u64) -> Option<(Due, bool)> {
    let oldest = deliveries.iter().min_by_key(|delivery| delivery.generation);
    let (due, written) = match oldest {
        Some(oldest) => {
            let written = deliveries.iter().map(|delivery| delivery.written).max();
            let due = Due {
                generation: oldest.generation,
                expires_at: oldest.expires_at,
            };
            (due, written.unwrap_or_default())
        }
        None => {
            let current = shared.view.borrow_and_update().current.clone()?;
            let due = Due {
                generation: current.generation,
                expires_at: current.token.validity.expires_at,
            };
            (due, current.generation)
        }
    };
    (due.generation > done).then_some((due, written > done))
}

async fn execute(shared: &Shared, hook: &HookConfig, due: Due) -> Result<(), HookError> {
    let program = hook.command.first().cloned().unwrap_or_default();
    failpoint::pass("hook");
    let mut child = match command(shared, hook, due).spawn() {
        Ok(child) => child,
        Err(cause) => return Err(HookError::NotRun { program, cause }),
    };
    let group = Group::of(&child);
    let mut listening = tokio::spawn(listen(child.stderr.take()));
    let ended = tokio::time::timeout(hook.timeout, child.wait()).await;
    if ended.is_ok() {
        group.leave();
    } else {
        group.end(&mut child).await;
    }
    // The pipe ends with the command, unless it has left something running that holds it.
    match tokio::time::timeout(LAST_WORDS, &mut listening).await {
        Ok(Ok(said)) if !said.is_empty() => {
            let (token, stderr) = (&shared.config.name, String::from_utf8_lossy(&said));
            tracing::debug!(%token, program, %stderr, "hook said");
        }
        _ => listening.abort(),
    }
    failpoint::pass("hook-ended");
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(HookError::Exit { program, status }),
        Ok(Err(cause)) => Err(HookError::NotRun { program, cause }),
        Err(_) => {
            let timeout = hook.timeout;
            Err(HookError::TimedOut { program, timeout })
        }
    }
}

fn command(shared: &Shared, hook: &HookConfig, due: Due) -> Command {
    let (program, arguments) = match hook.command.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => ("", [].as_slice()),
    };
    let expires_at = clock::unix_now().saturating_add(due.expires_at - clock::now());
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, shared.environment.var(name)?))),
        )
        .env("BEARERD_TOKEN_NAME", shared.config.name.as_str())
        .env("BEARERD_GENERATION", due.generation.to_string())
        .env("BEARERD_EXPIRES_AT", expires_at.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// The beginning of what a command says; the rest is read and dropped, so that it never waits for us.
async fn listen(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut said = Vec::new();
    let Some(mut stderr) = stderr else {
        return said;
    };
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut part).await {
        let room = MAX_SAID.saturating_sub(said.len()).min(length);
        said.extend_from_slice(part.get(..room).unwrap_or_default());
    }
    said
}

/// The command's process group: it and all that it has started. Killed on drop, so that nothing is left
/// behind when the task is aborted either.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets what the command has left running live on.
    fn leave(mut self) {
        self.0 = None;
    }

    async fn end(self, child: &mut Child) {
        if let Some(leader) = self.0 {
            // It may have ended in this very moment, and that is as good.
            let _ = kill_process_group(leader, Signal::TERM);
        }
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

fn log(
    shared: &Shared,
    index: usize,
    generation: u64,
    needed: bool,
    result: &Result<(), HookError>,
) -> Result<(), Arc<str>> {
    let token = &shared.config.name;
    match result {
        Ok(()) if needed => tracing::info!(%token, hook = index, generation, "hook done"),
        Ok(()) => tracing::debug!(%token, hook = index, generation, "hook not needed"),
        Err(e) => {
            let error = format!("hook {index}: {}", explain(e, None));
            tracing::warn!(%token, hook = index, generation, error, "hook failed");
            return Err(error.into());
        }
    }
    Ok(())
}

/// What `systemctl`, `systemctl --user` and ordinary programs need, and no secret.
const PASSED_ON: [&str; 6] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "PATH",
    "USER",
    "XDG_RUNTIME_DIR",
];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

const LAST_WORDS: Duration = Duration::from_millis(100);

const MAX_SAID: usize = 4096;
