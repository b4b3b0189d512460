//! One token file: it is written at each generation, and removed at expiry where that is
//! configured.

use std::sync::Arc;

use tokio::sync::watch;

use super::report::Output;
use super::shared::{Delivery, Shared};
use crate::atomic_file::{self, Attributes, WriteError};
use crate::clock;
use crate::config::{Environment, FileConfig, OnExpiry, TokenConfig};
use crate::error_chain::explain;
use crate::format::{self, Content, FormatError, InputError, Inputs};
use crate::store::Published;

/// Why a file is not delivered.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("the write was interrupted")]
    Interrupted,
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What has to be done to the file.
#[derive(Clone)]
enum Wanted {
    Nothing,
    Removed,
    Written(Published),
}

/// What was done to the file.
#[derive(Clone, Copy, PartialEq)]
enum Done {
    Removed,
    Unchanged,
    Written,
}

/// Keeps the file at this index of the configuration up to date, until the token's sinks stop.
pub(super) async fn run(
    mut shared: Shared,
    deliveries: watch::Sender<Vec<Delivery>>,
    index: usize,
) {
    let Some(path) = shared.config.files.get(index).map(|file| file.path.clone()) else {
        return;
    };
    let output = Output::File(path);
    let mut failures = 0;
    // The generation the file holds, 0 when it was removed.
    let mut delivered = None;
    while shared.news().await {
        loop {
            let wanted = wanted(&mut shared, index, delivered);
            let generation = match &wanted {
                Wanted::Nothing => break,
                Wanted::Removed => 0,
                Wanted::Written(published) => published.generation,
            };
            let result = carry_out(&shared, index, wanted.clone(), delivered.is_none()).await;
            let reported = log(&shared, &output, generation, &result);
            if let Ok(done) = result {
                (failures, delivered) = (0, Some(generation));
                if let Wanted::Written(published) = wanted {
                    note(&deliveries, index, &published, done);
                }
            }
            shared.report(output.clone(), generation, reported).await;
            if delivered == Some(generation) {
                break;
            }
            failures += 1;
            if !shared.pause(failures).await {
                return;
            }
        }
    }
}

/// Says what is to be done by the newest state alone, whatever was tried before.
fn wanted(shared: &mut Shared, index: usize, delivered: Option<u64>) -> Wanted {
    let current = shared.view.borrow_and_update().current.clone();
    let valid = current.filter(|published| published.token.validity.expires_at > clock::now());
    let on_expiry = shared.config.files.get(index).map(|file| file.on_expiry);
    match valid {
        Some(published) if delivered == Some(published.generation) => Wanted::Nothing,
        Some(published) => Wanted::Written(published),
        None if on_expiry == Some(OnExpiry::Remove) && delivered != Some(0) => Wanted::Removed,
        None => Wanted::Nothing,
    }
}

/// Does what is wanted, in a thread of its own: writing files blocks, and must not hold up the
/// reactor.
async fn carry_out(
    shared: &Shared,
    index: usize,
    wanted: Wanted,
    first: bool,
) -> Result<Done, FileError> {
    let config = Arc::clone(&shared.config);
    let environment = Arc::clone(&shared.environment);
    let work = move || {
        let Some(file) = config.files.get(index) else {
            return Ok(Done::Unchanged);
        };
        match wanted {
            Wanted::Nothing => Ok(Done::Unchanged),
            Wanted::Removed => {
                atomic_file::remove(&file.path)?;
                Ok(Done::Removed)
            }
            Wanted::Written(published) => deliver(&config, file, &published, &environment, first),
        }
    };
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or(Err(FileError::Interrupted))
}

fn deliver(
    config: &TokenConfig,
    file: &FileConfig,
    published: &Published,
    environment: &Environment,
    first: bool,
) -> Result<Done, FileError> {
    let inputs = Inputs::read(file, environment)?;
    let content = Content {
        name: &config.name,
        token: &published.token,
        generation: published.generation,
        now: clock::now(),
        unix_now: clock::unix_now(),
    };
    let attributes = Attributes {
        owner: file.owner,
        group: file.group,
        mode: file.mode,
    };
    if first && in_place(file, &content, &inputs, &attributes)? {
        return Ok(Done::Unchanged);
    }
    let bytes = format::render(file, &content, &inputs)?;
    atomic_file::write(&file.path, &bytes, &attributes)?;
    Ok(Done::Written)
}

/// Whether the file already holds this token, from before a restart. Some formats say how long the
/// token is still valid, so the token is rendered as of the time when the file was written.
fn in_place(
    file: &FileConfig,
    content: &Content<'_>,
    inputs: &Inputs,
    attributes: &Attributes,
) -> Result<bool, FileError> {
    let Some(existing) = atomic_file::read_matching(&file.path, attributes) else {
        return Ok(false);
    };
    let age = content.unix_now.saturating_sub(existing.modified_unix);
    let then = Content {
        now: content.now.saturating_sub(age),
        unix_now: content.unix_now.saturating_sub(age),
        ..*content
    };
    Ok(*format::render(file, &then, inputs)? == *existing.content)
}

/// Tells the hooks what the file holds now.
fn note(
    deliveries: &watch::Sender<Vec<Delivery>>,
    index: usize,
    published: &Published,
    done: Done,
) {
    deliveries.send_modify(|deliveries| {
        if let Some(delivery) = deliveries.get_mut(index) {
            let written = match done {
                Done::Written => published.generation,
                Done::Removed | Done::Unchanged => delivery.written,
            };
            *delivery = Delivery {
                generation: published.generation,
                written,
                expires_at: published.token.validity.expires_at,
            };
        }
    });
}

fn log(
    shared: &Shared,
    output: &Output,
    generation: u64,
    result: &Result<Done, FileError>,
) -> Result<(), Arc<str>> {
    let Output::File(path) = output else {
        return Ok(());
    };
    let (token, path) = (&shared.config.name, path.display());
    match result {
        Ok(Done::Removed) => tracing::info!(%token, %path, "removed: there is no valid token"),
        Ok(Done::Unchanged) => tracing::info!(%token, %path, generation, "in place"),
        Ok(Done::Written) => tracing::info!(%token, %path, generation, "written"),
        Err(e) => {
            let hint = match e {
                FileError::Write(e) => e.hint(),
                FileError::Format(_) | FileError::Input(_) | FileError::Interrupted => None,
            };
            let error = explain(e, hint);
            tracing::warn!(%token, %path, generation, error, "not written");
            return Err(error.into());
        }
    }
    Ok(())
}
