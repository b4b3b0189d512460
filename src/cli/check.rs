//! `bearerd check`: says whether the configuration is right, the secrets exist, and the servers
//! agree.

mod explain;
mod online;
mod service_user;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bearerd_core::refresh::ErrorState;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::config_path::config_path;
use super::output::{OutputError, printable, write};
use crate::api::code::{Code, EXIT_FRESH};
use crate::config::{self, ClientConfig, Config, ConfigErrors, Environment, SecretRef, Stray};
use crate::error_chain::{error_chain, explain};
use crate::logging::{self, InvalidFilter};
use crate::oauth::Client;
use explain::{ExplainError, explain as explain_access};
use online::{Findings, ask_servers};
use service_user::ServiceUserError;

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// The configuration [default: as for `run`]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Also ask the authorization servers: discovery, TLS, clock, a trial token per client
    #[arg(long)]
    online: bool,
    /// Say whether a user (by name or id) or a unit may read a token through the socket (and log in
    /// for it), and by which rule
    #[arg(long, num_args = 2, value_names = ["UID|UNIT", "TOKEN"], conflicts_with = "online")]
    explain: Option<Vec<String>>,
}

/// Why a check fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    #[error("{}", .0.join("\nbearerd: "))]
    Inputs(Vec<String>),
    #[error("{count} of the questions to the servers went wrong")]
    Online {
        count: usize,
        /// The code with the greatest exit code.
        code: Code,
    },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    ServiceUser(#[from] ServiceUserError),
}

impl CheckError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Filter(_) | Self::Inputs(_) | Self::ServiceUser(_) => {
                Code::State(ErrorState::FixConfig).exit_code()
            }
            Self::Explain(error) => error.exit_code(),
            Self::Online { code, .. } => code.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Runtime(_) => Code::Internal.exit_code(),
        }
    }
}

/// Checks, and prints what was found. Returns 0, or an error with the worst exit code.
pub(super) fn run(args: &CheckArgs) -> Result<u8, CheckError> {
    let environment = Environment::of_process();
    let uid = rustix::process::geteuid().as_raw();
    let path = config_path(args.config.clone(), &environment, uid);
    if let Some([who, token]) = args.explain.as_deref() {
        explain_access(&config::load(&path, &environment)?, who, token)?;
        return Ok(EXIT_FRESH);
    }
    let (config, clients) = load(&path, &environment)?;
    let Findings { mut text, wrong } = match args.online {
        true => ask_servers(&config, clients, &environment).map_err(CheckError::Runtime)?,
        false => Findings::default(),
    };
    if wrong.is_empty() {
        let (clients, tokens) = (config.clients.len(), config.tokens.len());
        _ = writeln!(
            text,
            "{}: ok, {clients} clients, {tokens} tokens",
            path.display()
        );
    }
    write(printable(&text).as_bytes())?;
    let count = wrong.len();
    match wrong.into_iter().max_by_key(|code| code.exit_code()) {
        Some(code) => Err(CheckError::Online { count, code }),
        None => Ok(EXIT_FRESH),
    }
}

/// All clients with their configuration.
type Clients = Vec<(Arc<ClientConfig>, Client)>;

/// Loads everything that the daemon would load, and reports everything that the daemon would fail
/// at.
fn load(path: &Path, environment: &Environment) -> Result<(Config, Clients), CheckError> {
    let config = config::load(path, environment)?;
    let users = service_user::become_it(&config.daemon.state_dir, environment);
    let (config, environment) = match &users? {
        None => (config, environment.clone()),
        // The configuration is read again: root may read files that the service may not.
        Some(users) => {
            let config = config::load(path, users)?;
            (config, users.clone())
        }
    };
    let environment = &environment;
    logging::parse_filter(&config.daemon.log)?;
    let mut wrong = Vec::new();
    let mut clients = Vec::new();
    for (name, client) in &config.clients {
        match Client::load(Arc::clone(client), environment.clone()) {
            Ok(loaded) => clients.push((Arc::clone(client), loaded)),
            Err(error) => wrong.push(format!("client {name}: {}", explain(&error, error.hint()))),
        }
    }
    for (name, client) in &config.clients {
        for secret in client.secrets() {
            // That it cannot be read, loading the client has said.
            let text = secret.read(environment).ok();
            let stray = text.and_then(|text| stray(secret, &text, environment));
            wrong.extend(stray.map(|words| format!("client {name}: client_secret: {words}")));
        }
        for secret in client.assertions() {
            if let Err(error) = secret.read(environment) {
                let error = error_chain(&error);
                wrong.push(format!("client {name}: client_assertion: {error}"));
            }
        }
    }
    for (name, token) in &config.tokens {
        for (what, secret) in token.secrets() {
            let words = match secret.read(environment) {
                Ok(text) => stray(secret, &text, environment),
                Err(error) => Some(error_chain(&error)),
            };
            wrong.extend(words.map(|words| format!("token {name}: {what}: {words}")));
        }
    }
    if wrong.is_empty() {
        Ok((config, clients))
    } else {
        Err(CheckError::Inputs(wrong))
    }
}

/// What stands in a secret's file that was hardly meant, and the command that mends it.
fn stray(secret: &SecretRef, text: &SecretString, environment: &Environment) -> Option<String> {
    let file = secret.path(environment)?;
    let stray = Stray::of(text.expose_secret())?;
    let remedy = stray.remedy(&file);
    Some(format!("{} {stray}; hint: {remedy}", file.display()))
}
