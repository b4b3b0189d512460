//! `bearerd get`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::{output, token};
use crate::api::client::{self, Call};
use crate::api::code::EXIT_FRESH;
use crate::api::query::parse_duration;
use crate::clock;
use crate::config::{FileConfig, FileFormat};
use crate::credential::{Token, TokenName, Validity};
use crate::format::{Content, Inputs, render};

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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The token; a newline follows only on a terminal
    Raw,
    /// Token, type, expiry and scope as JSON
    Json,
    /// A header, for `curl -H @-`
    Headers,
    /// Options, for `curl -K -`
    Curl,
    /// `ACCESS_TOKEN="TOKEN"`, for a shell or an EnvironmentFile
    Env,
}

pub(super) fn run(args: &GetArgs, socket: &Path) -> Result<u8, CliError> {
    let page = match args.format {
        Format::Raw => "/access_token",
        Format::Json => "",
        Format::Headers => return formatted(args, socket, FileFormat::Headers),
        Format::Curl => return formatted(args, socket, FileFormat::Curl),
        Format::Env => {
            let variable = "ACCESS_TOKEN".into();
            return formatted(args, socket, FileFormat::Env { variable });
        }
    };
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
    )?;
    if matches!(args.format, Format::Raw) && io::stdout().is_terminal() {
        answer.push(b'\n');
    }
    output::write(&answer)?;
    Ok(EXIT_FRESH)
}

/// As a token file of that format.
fn formatted(args: &GetArgs, socket: &Path, format: FileFormat) -> Result<u8, CliError> {
    let token = token::ask(socket, &args.name, args.min_ttl, args.wait)?;
    let now = clock::now();
    let token = Token {
        access_token: token.access_token,
        token_type: "Bearer".into(),
        scope: None,
        id_token: None,
        refresh_token: None,
        // None of these formats tells it.
        validity: Validity {
            obtained_at: now,
            expires_at: now,
            refresh: None,
            id_token_expires_at: None,
        },
    };
    let content = Content {
        name: &args.name,
        token: &token,
        generation: 0,
        now,
        unix_now: clock::unix_now(),
    };
    let file = FileConfig::new(PathBuf::new(), format);
    output::write(&render(&file, &content, &Inputs::default())?)?;
    Ok(EXIT_FRESH)
}
