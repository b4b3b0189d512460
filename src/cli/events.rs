//! `bearerd events`: follows what happens and prints a line for each event, for people and scripts.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use bearerd_core::credential::TokenName;
use clap::Args;

use super::ask::{self, AskError};
use super::output::{self, OutputError, printable};
use crate::api::client::{ClientError, End, follow};
use crate::api::code::EXIT_FRESH;
use crate::api::pages::events::EventData;

#[derive(Args, Debug)]
pub(super) struct EventsArgs {
    /// Only this token's events
    #[arg(value_parser = TokenName::parse)]
    name: Option<TokenName>,
    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Why following ended with an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventsError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl EventsError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Output(error) => error.exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::Output(_) => None,
        }
    }
}

/// Prints events until the daemon ends, or nobody reads the output any more.
pub(super) fn run(args: &EventsArgs, socket: &Path) -> Result<u8, EventsError> {
    let target = match &args.name {
        Some(name) => format!("/v1/events?token={name}"),
        None => "/v1/events".into(),
    };
    let stdout = io::stdout();
    let end = follow(socket, &target, stdout.as_fd(), |data| {
        let line = if args.json {
            String::from_utf8_lossy(data).into_owned()
        } else {
            let event = ask::parse(data)?;
            printable(&in_words(&event)).replace('\n', " | ")
        };
        output::write(format!("{line}\n").as_bytes())?;
        Ok(())
    });
    match end {
        End::Daemon(cause) => {
            let cause = cause.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
            let path = socket.into();
            Err(AskError::Client(ClientError::Ended { path, cause }).into())
        }
        End::Reader => Ok(EXIT_FRESH),
        End::Refused(error) => Err(AskError::Client(error).into()),
        End::Taken(error) => Err(error),
    }
}

fn in_words(event: &EventData) -> String {
    let mut words = format!("{} {}", utc(event.time), event.event.as_str());
    if let Some(token) = &event.token {
        words += &format!(" {} {}", token.name, token.state.as_str());
        if let Some(reason) = &token.reason {
            words += &format!(" ({reason})");
        }
        if let Some(generation) = token.generation {
            words += &format!(", generation {generation}");
        }
        if let Some(expires_at) = token.expires_at {
            words += &format!(", expires {}", utc(expires_at));
        }
    }
    if let Some(missed) = event.missed {
        words += &format!(", {missed} missed");
    }
    if let Some(error) = &event.error {
        words += &format!(": {}", error.trim_end());
    }
    words
}

fn utc(epoch_seconds: u64) -> jiff::Timestamp {
    let seconds = i64::try_from(epoch_seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}
