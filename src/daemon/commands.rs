//! Carries out what the core commands: each command is a verb of one owner, or of one after the
//! other.

use std::sync::Arc;

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{AttemptId, Command, Use};
use tracing::{debug, warn};

use crate::clock;
use crate::error_chain::explain;
use crate::failpoint;
use crate::store::Published;

use super::attempts::{Request, failed, not_sent};
use super::durability::Step;
use super::owners::Owners;

/// Does what is due, and all that the core commands.
pub(super) fn carry_out(owners: &mut Owners, now: Instant) {
    owners.durability.retry(now, &owners.tokens);
    owners.schedule.wake(now);
    while let Some(command) = owners.schedule.next_command() {
        carry_out_one(owners, now, command);
    }
    owners.schedule.show_changed(&mut owners.tokens);
}

fn carry_out_one(owners: &mut Owners, now: Instant, command: Command) {
    let name = match command {
        Command::Cancel { name, attempt } => {
            cancel(owners, now, &name, attempt);
            name
        }
        Command::Commit { name, attempt } => {
            commit(owners, &name, attempt);
            name
        }
        Command::Discard { name, attempt } => {
            owners.attempts.take(attempt);
            debug!(token = %name, "an older token arrived late and was discarded");
            name
        }
        Command::Obtain { name, attempt, by } => {
            obtain(owners, now, &name, attempt, by);
            name
        }
        Command::Quarantine { name } => {
            quarantine(owners, &name);
            name
        }
        // What else changes with these two, the core tells on its own.
        Command::AskForLogin { name, until } => return ask_for_login(owners, now, &name, until),
        Command::Withdraw { name } => return owners.tokens.withdraw(&name),
    };
    owners.schedule.show(&name, &mut owners.tokens);
}

fn cancel(owners: &mut Owners, now: Instant, name: &TokenName, attempt: AttemptId) {
    owners.durability.forget(attempt);
    owners.attempts.cancel(attempt);
    // Not when it was given up for another configuration.
    let status = owners.schedule.status(name);
    if status.is_some_and(|status| status.failures > 0) {
        let error = "no answer within the deadline";
        owners
            .schedule
            .show_failure(now, name, error, &mut owners.tokens);
    }
}

fn commit(owners: &mut Owners, name: &TokenName, attempt: AttemptId) {
    let (Some(token), Some(entry)) = (owners.attempts.take(attempt), owners.tokens.get_mut(name))
    else {
        return;
    };
    let end = owners.schedule.status(name).and_then(|s| s.login_due_at);
    let window_fixed = end.is_some() && token.refresh_token.is_some();
    let record = entry.commit(token, window_fixed).clone();
    let published = Published::from(&record);
    failpoint::pass("record");
    owners
        .durability
        .put(record, Some(Step::Publish(published)));
    failpoint::pass("record-queued");
}

fn quarantine(owners: &mut Owners, name: &TokenName) {
    warn!(token = %name, "refresh token set aside: it will not be used again");
    let entry = owners.tokens.get_mut(name);
    if let Some(record) =
        entry.and_then(|entry| entry.held_mut().quarantine_refresh_token().cloned())
    {
        owners.durability.put(record, None);
    }
}

fn ask_for_login(owners: &mut Owners, now: Instant, name: &TokenName, until: Option<Instant>) {
    match until.map(|until| clock::utc(now, until)) {
        Some(until) => warn!(token = %name, %until, "somebody has to log in soon"),
        None => warn!(token = %name, "somebody has to log in"),
    }
    let (Ok(target), Some(status)) = (owners.login_target(name), owners.schedule.status(name))
    else {
        return;
    };
    owners.logins.ask_everybody(now, target, status, until);
}

fn obtain(owners: &mut Owners, now: Instant, name: &TokenName, attempt: AttemptId, by: Use) {
    if owners.attempts.are_closed() {
        return;
    }
    let Some(token) = owners.tokens.get(name).map(|entry| entry.config()) else {
        return;
    };
    if owners.revocations.is_logging_out(name) {
        let failed = not_sent(name.clone(), attempt);
        return owners.fail(now, failed, "somebody is logging out");
    }
    let client = match owners.configuration.client(&token) {
        Some(Ok(client)) => Some(client.clone()),
        Some(Err(error)) => {
            let (text, failure) = (explain(error.as_ref(), error.hint()), error.failure());
            return owners.fail(now, failed(name.clone(), attempt, failure), &text);
        }
        None => None,
    };
    debug!(token = %name, ?by, "requesting");
    let input_tokens = owners.tokens.input_tokens_of(&token);
    let request = Request {
        name: name.clone(),
        attempt,
        by,
        token,
        client,
        environment: Arc::clone(owners.configuration.environment()),
        input_tokens,
    };
    match by {
        Use::Primary => owners.attempts.start(request),
        Use::RefreshToken => send_once_durable(owners, now, request),
    }
}

/// Sends a refresh once its intent is durable.
fn send_once_durable(owners: &mut Owners, now: Instant, mut request: Request) {
    let entry = owners.tokens.get_mut(&request.name);
    let Some(record) = entry.and_then(|entry| entry.held_mut().open_intent(now).cloned()) else {
        return;
    };
    let input_tokens = &mut request.input_tokens;
    input_tokens
        .refresh_token
        .clone_from(&record.token.refresh_token);
    input_tokens.id_token.clone_from(&record.token.id_token);
    input_tokens.granted_scope.clone_from(&record.token.scope);
    failpoint::pass("intent");
    owners
        .durability
        .put(record, Some(Step::Send(Box::new(request))));
    failpoint::pass("intent-queued");
}
