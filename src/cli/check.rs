//! `bearerd check`: is the configuration right, are the secrets there, and do the servers agree.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::error::{CliError, report};
use super::output::{in_words, printable, write};
use super::{CheckArgs, config_path};
use crate::api::code::EXIT_FRESH;
use crate::clock;
use crate::config::{self, ClientConfig, Config, ConfigErrors, Environment};
use crate::error_chain::{error_chain, explain};
use crate::logging::{self, InvalidFilter};
use crate::source::Registration;
use crate::source::probe::{CertificateExpiry, Probe, probe};

/// Checks, prints what was found, and ends with 0 or 5.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let environment = Environment::of_process();
    let uid = rustix::process::geteuid().as_raw();
    let path = config_path(args.config.clone(), &environment, uid);
    let result = load(&path, &environment).and_then(|(config, registrations)| {
        let mut text = String::new();
        let trouble = if args.online {
            online(&config, registrations, &mut text)?
        } else {
            0
        };
        let (clients, tokens) = (config.clients.len(), config.tokens.len());
        if trouble == 0 {
            _ = writeln!(
                text,
                "{}: ok, {clients} clients, {tokens} tokens",
                path.display()
            );
        }
        write(printable(&text).as_bytes())?;
        if trouble == 0 {
            Ok(())
        } else {
            Err(CheckError::Online(trouble).into())
        }
    });
    ExitCode::from(match result {
        Ok(()) => EXIT_FRESH,
        Err(error) => report(&error),
    })
}

/// Why a check fails. Each asks for the configuration, or what it refers to, to be mended.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    #[error("{}", .0.join("\nbearerd: "))]
    Inputs(Vec<String>),
    #[error("{0} of the questions to the servers went wrong")]
    Online(usize),
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
}

type Registrations = Vec<(Arc<ClientConfig>, Arc<Registration>)>;

/// Loads all that the daemon would load, and reports all that it would stumble over.
fn load(
    path: &std::path::Path,
    environment: &Environment,
) -> Result<(Config, Registrations), CliError> {
    let config = config::load(path, environment).map_err(CheckError::from)?;
    logging::parse_filter(&config.daemon.log).map_err(CheckError::from)?;
    let mut wrong = Vec::new();
    let mut registrations = Vec::new();
    for (name, client) in &config.clients {
        match Registration::load(Arc::clone(client), environment.clone()) {
            Ok(registration) => registrations.push((Arc::clone(client), Arc::new(registration))),
            Err(error) => wrong.push(format!("client {name}: {}", explain(&error, error.hint()))),
        }
    }
    for (name, token) in &config.tokens {
        for (what, secret) in token.secrets() {
            if let Err(error) = secret.read(environment) {
                wrong.push(format!("token {name}: {what}: {}", error_chain(&error)));
            }
        }
    }
    if wrong.is_empty() {
        Ok((config, registrations))
    } else {
        Err(CheckError::Inputs(wrong).into())
    }
}

/// Asks every client's server, one after the other, and returns how much went wrong.
fn online(
    config: &Config,
    registrations: Registrations,
    text: &mut String,
) -> Result<usize, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(CheckError::Runtime)?;
    let mut trouble = 0;
    for (client, registration) in registrations {
        let token = config
            .tokens
            .values()
            .find(|token| token.client.name == client.name)
            .cloned();
        let found = runtime.block_on(probe(registration, token));
        trouble += describe(&client.name, &found, text);
    }
    Ok(trouble)
}

fn describe(client: &str, found: &Probe, text: &mut String) -> usize {
    let mut trouble = 0;
    let mut line = |ok: bool, words: String| {
        trouble += usize::from(!ok);
        _ = writeln!(
            text,
            "client {client}: {} {words}",
            if ok { "ok" } else { "FAILED" }
        );
    };
    match &found.token_endpoint {
        Ok(endpoint) => line(true, format!("token endpoint {endpoint}")),
        Err(error) => line(
            false,
            format!("token endpoint: {}", explain(error, error.hint())),
        ),
    }
    match &found.connection {
        Some(Ok(())) => line(true, "connection".into()),
        Some(Err(error)) => line(
            false,
            format!("connection: {}", explain(error, error.hint())),
        ),
        None => {}
    }
    if let Some(skew) = found.clock_skew {
        let words = format!("the server's clock is {skew} s ahead of this host's");
        line(skew.unsigned_abs() <= TOLERABLE_SKEW, words);
    }
    for certificate in &found.certificates {
        let (ok, words) = describe_certificate(certificate);
        line(ok, words);
    }
    match &found.trial {
        Some(Ok(token)) => {
            let validity = token.validity;
            let lifetime = (validity.expires_at - validity.obtained_at).as_secs();
            line(
                true,
                format!("trial token, valid for {}", in_words(lifetime)),
            );
        }
        Some(Err(error)) => line(
            false,
            format!("trial token: {}", explain(error, error.hint())),
        ),
        None => {}
    }
    trouble
}

fn describe_certificate(certificate: &CertificateExpiry) -> (bool, String) {
    let path = certificate.path.display();
    let Some(end) = certificate.not_after else {
        return (false, format!("certificate {path} cannot be read"));
    };
    let left = end.saturating_sub(clock::unix_now());
    if left.is_zero() {
        return (false, format!("certificate {path} has expired"));
    }
    let words = format!("certificate {path} expires in {}", in_words(left.as_secs()));
    (left >= SHORT, words)
}

/// Seconds; beyond that, servers refuse assertions.
const TOLERABLE_SKEW: u64 = 10;
/// A certificate that expires sooner should be replaced now.
const SHORT: Duration = Duration::from_secs(7 * 86400);
