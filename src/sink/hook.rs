//! One hook: it runs when all of the token's files hold a new generation.

use std::process::ExitStatus;
use std::sync::Arc;

use bearerd_core::instant::Instant;
use tokio::sync::watch;

use super::command::{self, MAX_SAID};
use super::reload::{ReloadError, reload};
use super::report::Output;
use super::shared::{Delivery, Shared};
use crate::clock;
use crate::config::{HookAction, HookConfig};
use crate::error_chain::explain;
use crate::failpoint;
use crate::program::{self, ProgramError};

/// Why a hook has not done its work.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error(transparent)]
    Run(#[from] ProgramError),
    #[error("{program}: {status}")]
    Exit { program: String, status: ExitStatus },
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

impl HookError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Reload(error) => error.hint(),
            Self::Run(_) | Self::Exit { .. } => None,
        }
    }
}

/// The generation that a run is for.
#[derive(Clone, Copy, PartialEq)]
struct Due {
    generation: u64,
    expires_at: Instant,
}

/// Runs the hook at this index of the configuration for each new generation, until the token's
/// sinks stop.
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
            // The channel closes when the files' tasks have ended. The hook also runs for their
            // last delivery.
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

/// Returns the generation that all files hold, if it is not `done` yet, and whether it needs a run.
/// It needs none when all files were found in place, from before a restart. A token without files
/// always gets its run.
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
    failpoint::pass("hook");
    let ended = match &hook.action {
        HookAction::Command(argv) => run_command(shared, hook, argv, due).await,
        HookAction::ReloadConsumers => Ok(reload(shared, hook.timeout, due.generation).await?),
    };
    failpoint::pass("hook-ended");
    ended
}

async fn run_command(
    shared: &Shared,
    hook: &HookConfig,
    argv: &[String],
    due: Due,
) -> Result<(), HookError> {
    let token = &shared.config.name;
    let expires_at = clock::unix_now().saturating_add(due.expires_at - clock::now());
    let mut command = command::command(argv, &shared.environment);
    command
        .env("BEARERD_TOKEN_NAME", token.as_str())
        .env("BEARERD_GENERATION", due.generation.to_string())
        .env("BEARERD_EXPIRES_AT", expires_at.as_secs().to_string());
    let ended = program::run(command, hook.timeout, MAX_SAID).await?;
    let program = argv.first().cloned().unwrap_or_default();
    if !ended.stderr.is_empty() {
        let stderr = String::from_utf8_lossy(&ended.stderr);
        tracing::debug!(%token, program, %stderr, "hook said");
    }
    let status = ended.status;
    if status.success() {
        Ok(())
    } else {
        Err(HookError::Exit { program, status })
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
            let error = format!("hook {index}: {}", explain(e, e.hint()));
            tracing::warn!(%token, hook = index, generation, error, "hook failed");
            return Err(error.into());
        }
    }
    Ok(())
}
