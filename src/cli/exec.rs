//! `bearerd exec`: becomes another program that has tokens in its environment or on descriptors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::Args;
use rustix::fs::{MemfdFlags, SealFlags};
use secrecy::ExposeSecret;

use super::ask::AskError;
use super::token;
use crate::api::code::Code;
use crate::api::tokens::parse_duration;

#[derive(Args, Debug)]
pub(super) struct ExecArgs {
    /// The tokens' names
    #[arg(required = true, value_name = "NAME", value_parser = TokenName::parse)]
    names: Vec<TokenName>,
    /// The variable for a token [default: ACCESS_TOKEN; NAME_ACCESS_TOKEN where there are several]
    #[arg(long, value_name = "[NAME=]VAR", value_parser = Variable::parse)]
    env: Vec<Variable>,
    /// Keep tokens out of the environment: the variable, by default with _FILE at its end, holds
    /// the path of an inherited descriptor to read
    #[arg(long)]
    fd: bool,
    /// Only tokens that are valid for at least this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    min_ttl: Duration,
    /// How long to wait for each token, at most 5m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    wait: Duration,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// A variable, and the token that it is for: `VAR` or `NAME=VAR`.
#[derive(Clone, Debug)]
struct Variable {
    token: Option<String>,
    name: String,
}

impl Variable {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (token, name) = match text.split_once('=') {
            Some((token, name)) => (Some(token.to_owned()), name),
            None => (None, text),
        };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(word)
        {
            return Err("a variable is letters, digits and _, and does not begin with a digit");
        }
        Ok(Self {
            token,
            name: name.into(),
        })
    }
}

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{name} would hold two tokens")]
    Ambiguous { name: String },
    #[error("cannot hand over a token on a descriptor")]
    Descriptor(#[from] rustix::io::Errno),
    #[error("cannot run {}", .program.display())]
    Program {
        program: OsString,
        #[source]
        cause: io::Error,
    },
    #[error("--env names no token of this command: {0}")]
    Stranger(String),
    #[error("--env does not say of which token")]
    WhichToken,
}

impl ExecError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Ambiguous { .. } | Self::Stranger(_) | Self::WhichToken => {
                Code::Usage.exit_code()
            }
            Self::Descriptor(_) => Code::Internal.exit_code(),
            // Shells and env(1) use the same codes.
            Self::Program { cause, .. } if cause.kind() == io::ErrorKind::NotFound => 127,
            Self::Program { .. } => 126,
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::Ambiguous { .. } | Self::WhichToken => {
                Some("give each token its own: `--env NAME=VAR`")
            }
            Self::Descriptor(_) | Self::Program { .. } | Self::Stranger(_) => None,
        }
    }
}

/// Returns only when the program could not be started. Otherwise the program takes over this
/// process, gets every signal, and ends it with its own exit status.
pub(super) fn run(args: &ExecArgs, socket: &Path) -> Result<u8, ExecError> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(ExecError::WhichToken);
    };
    let variables = variables(args)?;
    let mut command = Command::new(program);
    command.args(arguments);
    let mut inherited = Vec::new();
    for (variable, name) in &variables {
        let token = token::ask(socket, name, args.min_ttl, args.wait)?;
        let token = token.access_token.expose_secret();
        if args.fd {
            let descriptor = sealed(token)?;
            let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
            command.env(variable, path);
            inherited.push(descriptor);
        } else {
            command.env(variable, token);
        }
    }
    let cause = command.exec();
    let program = program.clone();
    Err(ExecError::Program { program, cause })
}

/// Returns each variable with the name of its token.
fn variables(args: &ExecArgs) -> Result<BTreeMap<String, &TokenName>, ExecError> {
    for variable in &args.env {
        let known = |name: &String| args.names.iter().any(|n| n.as_str() == name.as_str());
        match &variable.token {
            Some(name) if !known(name) => return Err(ExecError::Stranger(name.clone())),
            None if args.names.len() > 1 => return Err(ExecError::WhichToken),
            _ => {}
        }
    }
    let mut variables = BTreeMap::new();
    for name in &args.names {
        let of =
            |variable: &&Variable| variable.token.as_deref().is_none_or(|n| n == name.as_str());
        let mut chosen: Vec<String> = args.env.iter().filter(of).map(|v| v.name.clone()).collect();
        if chosen.is_empty() {
            chosen.push(default_name(name, args));
        }
        for variable in chosen {
            if variables.get(&variable).is_some_and(|other| *other != name) {
                return Err(ExecError::Ambiguous { name: variable });
            }
            variables.insert(variable, name);
        }
    }
    Ok(variables)
}

fn default_name(name: &TokenName, args: &ExecArgs) -> String {
    let mut variable = String::new();
    if args.names.len() > 1 {
        let word = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        };
        variable.extend(name.as_str().chars().map(word));
        if variable.starts_with(|c: char| c.is_ascii_digit()) {
            variable.insert(0, '_');
        }
        variable.push('_');
    }
    variable
        + if args.fd {
            "ACCESS_TOKEN_FILE"
        } else {
            "ACCESS_TOKEN"
        }
}

/// Makes a file in memory that nobody can change and that the program inherits. The program opens
/// it by its path, so that each reader begins at its start.
fn sealed(token: &str) -> rustix::io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create("access_token", MemfdFlags::ALLOW_SEALING)?;
    let mut rest = token.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}
