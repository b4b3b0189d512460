//! `bearerd get`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bearerd_core::credential::{TokenName, Validity};
use clap::{Args, ValueEnum};

use super::error::CliError;
use super::{output, token};
use crate::api::client::{self, Call};
use crate::api::code::EXIT_FRESH;
use crate::api::query::parse_duration;
use crate::clock;
use crate::config::{Environment, FileConfig, FileFormat, NETRC_LOGIN};
use crate::format::{Content, Inputs, render};
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
    #[arg(long, value_name = "HOST", required_if_eq("format", "netrc"))]
    machine: Option<String>,
    /// For netrc: the user's name there
    #[arg(long, value_name = "NAME", default_value = NETRC_LOGIN)]
    login: String,
    /// For template: the file of the minijinja template
    #[arg(long, value_name = "PATH", required_if_eq("format", "template"))]
    template: Option<PathBuf>,
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
    /// An entry with --machine, for `curl --netrc-file`
    Netrc,
    /// What --template makes of it
    Template,
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
        Format::Netrc => {
            let machine = args.machine.clone().unwrap_or_default();
            let login = args.login.clone();
            return formatted(args, socket, FileFormat::Netrc { machine, login });
        }
        Format::Template => {
            let template = args.template.clone().unwrap_or_default();
            return formatted(args, socket, FileFormat::Template { template });
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
