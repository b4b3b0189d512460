//! A token that a program prints.
//!
//! Its output is taken for what it looks like: a token and nothing else, or a JSON object in one of the shapes
//! that such programs have.

use std::process::{ExitStatus, Stdio};

use bearerd_core::refresh::FailureKind;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::error::ReplyProblem;
use super::token_response::{self, Granted, Request};
use crate::clock;
use crate::config::{CommandGrant, Environment, TokenConfig};
use crate::program::{self, Ended, ProgramError};

/// Why a program brought no token. Nothing of what it wrote is in here.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It ended with another status than 0.
    #[error("{program}: {status}")]
    Exit {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// What it printed is of no use.
    #[error("{program}: its output is of no use: {problem}")]
    Output {
        /// Its name.
        program: String,
        /// Why.
        problem: ReplyProblem,
    },
    /// It printed that it has failed (`"success": false`).
    #[error("{program}: it reports a failure")]
    Reported {
        /// Its name.
        program: String,
    },
    /// It did not come to its end.
    #[error(transparent)]
    Run(#[from] ProgramError),
    /// It printed too much.
    #[error("{program}: its output is longer than 64 KiB")]
    TooLong {
        /// Its name.
        program: String,
    },
}

impl CommandError {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            // What it wants may be out of reach for now: only persistence tells.
            Self::Exit { .. } | Self::Reported { .. } => FailureKind::Unrecognized,
            Self::Run(ProgramError::NotRun { .. }) => FailureKind::Misconfigured,
            Self::Run(ProgramError::TimedOut { .. }) => FailureKind::Unavailable,
            Self::Output { .. } | Self::TooLong { .. } => FailureKind::Unrecognized,
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exit { .. } | Self::Reported { .. } => {
                Some("run it by hand as bearerd's user: what it writes to stderr is not kept")
            }
            Self::Output { .. } | Self::TooLong { .. } => {
                Some("let it print the token alone, or JSON with access_token and expires_in")
            }
            Self::Run(_) => None,
        }
    }
}

pub(super) async fn obtain(
    token: &TokenConfig,
    grant: &CommandGrant,
    environment: &Environment,
) -> Result<Granted, CommandError> {
    let sent_at = clock::now();
    let named = grant.environment.iter().map(String::as_str);
    let variables: Vec<_> = ["HOME", "LANG"].into_iter().chain(named).collect();
    let mut command = program::command(&grant.command, environment, &variables);
    // What it writes to stderr may hold secrets: nobody reads it.
    command.stdout(Stdio::piped());
    let Ended { status, stdout, .. } = program::run(command, grant.timeout, MAX_OUTPUT + 1).await?;
    let program = || grant.command.first().cloned().unwrap_or_default();
    if !status.success() {
        let program = program();
        return Err(CommandError::Exit { program, status });
    }
    if stdout.len() > MAX_OUTPUT {
        return Err(CommandError::TooLong { program: program() });
    }
    let unusable = |problem| CommandError::Output {
        program: program(),
        problem,
    };
    let mut members = match members(&stdout).map_err(unusable)? {
        Some(members) => members,
        None => return Err(CommandError::Reported { program: program() }),
    };
    // Nobody here could use it.
    members.remove("refresh_token");
    let request = Request {
        sent_at,
        unix_now: clock::unix_now(),
        assume_lifetime: token.assume_lifetime,
        refresh_token: None::<&SecretString>,
        secrets: &[],
    };
    token_response::granted(members, &request).map_err(unusable)
}

/// The output as the members of a token response (RFC 6749 section 5.1); `None` when it says that there is none.
fn members(output: &[u8]) -> Result<Option<Map<String, Value>>, ReplyProblem> {
    let text = std::str::from_utf8(output).map_err(|_| ReplyProblem::NoKnownFormat)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(ReplyProblem::Empty);
    }
    if !text.starts_with('{') {
        return Ok(Some(Map::from_iter([("access_token".into(), text.into())])));
    }
    let mut found: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| ReplyProblem::NotAnObject)?;
    if found.get("success") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    let mut status = match found.get_mut("status").map(Value::take) {
        // Kubernetes' ExecCredential.
        Some(Value::Object(status)) => status,
        _ => Map::new(),
    };
    if found.contains_key("SecretAccessKey") {
        // AWS: no bearer token. Whole, it is what `credential_process` wants.
        let expires_at = found.get("Expiration").cloned().unwrap_or_default();
        let whole = Value::Object(found).to_string();
        return Ok(Some(Map::from_iter([
            ("access_token".into(), whole.into()),
            ("expires_at".into(), expires_at),
        ])));
    }
    for (name, theirs) in [
        ("access_token", "token"),
        ("expires_at", "expirationTimestamp"),
    ] {
        if let Some(value) = status.remove(theirs) {
            found.insert(name.into(), value);
        }
    }
    // Azure's command line; Google's executable-sourced credentials.
    for (name, theirs) in [
        ("access_token", "accessToken"),
        ("access_token", "id_token"),
        ("access_token", "saml_response"),
        ("expires_at", "expiration_time"),
    ] {
        if !found.contains_key(name)
            && let Some(value) = found.get(theirs).cloned()
        {
            found.insert(name.into(), value);
        }
    }
    if found.contains_key("expiration_time") {
        // There, `token_type` is a URN that says which of them it is.
        found.remove("token_type");
    }
    Ok(Some(found))
}

const MAX_OUTPUT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
