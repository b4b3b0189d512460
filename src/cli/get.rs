//! `bearerd get`: prints a token.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bearerd_core::credential::{TokenName, Validity};
use clap::Args;

use super::ask::AskError;
use super::output::{self, OutputError};
use super::token;
use crate::api::client::{self, Call};
use crate::api::code::{Code, EXIT_FRESH};
use crate::api::tokens::parse_duration;
use crate::clock;
use crate::config::{Environment, FileConfig, FileFormat, Format, FormatSettings, NETRC_LOGIN};
use crate::format::{Content, FormatError, InputError, Inputs, render};
use crate::token::Token;

#[derive(Args, Debug)]
pub(super) struct GetArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
    /// Only a token that is valid for at least this long; a new one is asked for if needed
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    min_ttl: Duration,
    /// How long to wait for such a token, at most 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    wait: Duration,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// For netrc: the host that it is for
    #[arg(long, value_name = "HOST", required_if_eq("format", Format::Netrc.name()))]
    machine: Option<String>,
    /// For netrc: the user's name there
    #[arg(long, value_name = "NAME", default_value = NETRC_LOGIN)]
    login: String,
    /// For template: the file of the minijinja template
    #[arg(long, value_name = "PATH", required_if_eq("format", Format::Template.name()))]
    template: Option<PathBuf>,
}

/// Why no token was printed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Template(#[from] InputError),
}

impl GetError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Format(_) => Code::Internal.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Template(_) => Code::Usage.exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::Format(_) | Self::Output(_) | Self::Template(_) => None,
        }
    }
}

/// Prints the token in the format that was asked for.
pub(super) fn run(args: &GetArgs, socket: &Path) -> Result<u8, GetError> {
    match args.format {
        Format::Raw => page(args, socket, "/access_token"),
        Format::Json => page(args, socket, ""),
        // The daemon has no page for these: they are made here.
        format => formatted(args, socket, format),
    }
}

/// Prints a page of the API, as the daemon sends it.
fn page(args: &GetArgs, socket: &Path, page: &str) -> Result<u8, GetError> {
    let target = format!(
        "/v1/tokens/{}{page}?min_ttl={}ms&wait={}ms",
        args.name,
        args.min_ttl.as_millis(),
        args.wait.as_millis()
    );
    let mut answer = client::call(
        socket,
        Call {
            method: "GET",
            target: &target,
            body: "",
            wait: args.wait,
        },
    )
    .map_err(AskError::from)?;
    if args.format == Format::Raw && io::stdout().is_terminal() {
        answer.push(b'\n');
    }
    output::write(&answer)?;
    Ok(EXIT_FRESH)
}

/// Prints what a token file of that format would hold.
fn formatted(args: &GetArgs, socket: &Path, format: Format) -> Result<u8, GetError> {
    let settings = FormatSettings {
        variable: None,
        machine: args.machine.clone(),
        login: Some(args.login.clone()),
        template: args.template.clone(),
    };
    let Some(format) = FileFormat::new(format, settings) else {
        // The arguments were refused before: each setting that a format needs is required.
        return Ok(Code::Usage.exit_code());
    };
    let file = FileConfig::new(PathBuf::new(), format);
    let inputs = Inputs::read(&file, &Environment::of_process())?;
    let given = token::ask(socket, &args.name, args.min_ttl, args.wait)?;
    let (now, unix_now) = (clock::now(), clock::unix_now());
    let lives = Duration::from_secs(given.expires_at).saturating_sub(unix_now);
    let token = Token {
        access_token: given.access_token,
        token_type: given.token_type,
        scope: given.scope,
        id_token: None,
        refresh_token: None,
        validity: Validity {
            obtained_at: now,
            expires_at: now + lives,
            refresh: None,
            id_token_expires_at: None,
        },
    };
    let content = Content {
        name: &args.name,
        token: &token,
        generation: given.generation,
        now,
        unix_now,
    };
    output::write(&render(&file, &content, &inputs)?)?;
    Ok(EXIT_FRESH)
}
