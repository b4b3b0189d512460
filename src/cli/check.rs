//! `bearerd check`: is the configuration right, are the secrets there, and do the servers agree.

mod explain;
mod service_user;

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::refresh::{ErrorState, FailureKind};

use super::error::{CliError, report};
use super::output::{in_words, printable, write};
use super::{CheckArgs, config_path};
use crate::api::code::{Code, EXIT_FRESH};
use crate::clock;
use crate::config::{self, ClientConfig, Config, ConfigErrors, Environment, TokenConfig};
use crate::error_chain::{error_chain, explain};
use crate::logging::{self, InvalidFilter};
use crate::oauth::probe::{CertificateExpiry, Probe, probe};
use crate::oauth::{Client, InputTokens, ObtainError, obtain_alone};
use crate::token::Token;
use explain::explain as explain_access;
use service_user::ServiceUserError;

pub(super) use explain::ExplainError;

/// Checks, prints what was found, and ends with 0 or the exit code of the worst of it.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    let environment = Environment::of_process();
    let uid = rustix::process::geteuid().as_raw();
    let path = config_path(args.config.clone(), &environment, uid);
    if let Some([who, token]) = args.explain.as_deref() {
        let config = config::load(&path, &environment).map_err(CheckError::from);
        let explained = config.map_err(CliError::from);
        let explained = explained.and_then(|config| explain_access(&config, who, token));
        return ExitCode::from(explained.map_or_else(|error| report(&error), |()| EXIT_FRESH));
    }
    let result = load(&path, &environment).and_then(|(config, clients)| {
        let mut findings = Findings::default();
        if args.online {
            online(&config, clients, &environment, &mut findings)?;
        }
        let Findings { mut text, wrong } = findings;
        if wrong.is_empty() {
            let (clients, tokens) = (config.clients.len(), config.tokens.len());
            _ = writeln!(
                text,
                "{}: ok, {clients} clients, {tokens} tokens",
                path.display()
            );
        }
        write(printable(&text).as_bytes())?;
        let worst = wrong.iter().copied().max_by_key(|code| code.exit_code());
        worst.map_or(Ok(()), |code| {
            let count = wrong.len();
            Err(CheckError::Online { count, code }.into())
        })
    });
    ExitCode::from(match result {
        Ok(()) => EXIT_FRESH,
        Err(error) => report(&error),
    })
}

/// Why a check fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    #[error("{}", .0.join("\nbearerd: "))]
    Inputs(Vec<String>),
    #[error("{count} of the questions to the servers went wrong")]
    Online {
        count: usize,
        /// What the worst of it asks for.
        code: Code,
    },
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    ServiceUser(#[from] ServiceUserError),
}

type Clients = Vec<(Arc<ClientConfig>, Client)>;

/// Loads all that the daemon would load, and reports all that it would stumble over.
fn load(path: &std::path::Path, environment: &Environment) -> Result<(Config, Clients), CliError> {
    let config = config::load(path, environment).map_err(CheckError::from)?;
    let users = service_user::become_it(&config.daemon.state_dir, environment);
    let (config, environment) = match &users.map_err(CheckError::from)? {
        None => (config, environment.clone()),
        // Again: what root may read, the service may not.
        Some(users) => {
            let config = config::load(path, users).map_err(CheckError::from)?;
            (config, users.clone())
        }
    };
    let environment = &environment;
    logging::parse_filter(&config.daemon.log).map_err(CheckError::from)?;
    let mut wrong = Vec::new();
    let mut clients = Vec::new();
    for (name, client) in &config.clients {
        match Client::load(Arc::clone(client), environment.clone()) {
            Ok(loaded) => clients.push((Arc::clone(client), loaded)),
            Err(error) => wrong.push(format!("client {name}: {}", explain(&error, error.hint()))),
        }
    }
    for (name, client) in &config.clients {
        for secret in client.assertions() {
            if let Err(error) = secret.read(environment) {
                let error = error_chain(&error);
                wrong.push(format!("client {name}: client_assertion: {error}"));
            }
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
        Ok((config, clients))
    } else {
        Err(CheckError::Inputs(wrong).into())
    }
}

/// What came of asking the servers.
#[derive(Default)]
struct Findings {
    text: String,
    wrong: Vec<Code>,
}

impl Findings {
    fn ok(&mut self, whom: &str, words: &str) {
        _ = writeln!(self.text, "{whom}: ok {words}");
    }

    fn failed(&mut self, whom: &str, words: &str, code: Code) {
        _ = writeln!(self.text, "{whom}: FAILED {words}");
        self.wrong.push(code);
    }

    fn error(&mut self, whom: &str, what: &str, error: &ObtainError) {
        let code = match error.failure().kind {
            FailureKind::Denied => Code::State(ErrorState::Denied),
            FailureKind::RateLimited | FailureKind::Unavailable => {
                Code::State(ErrorState::Transient)
            }
            FailureKind::GrantRefused | FailureKind::Misconfigured | FailureKind::Unrecognized => {
                Code::State(ErrorState::FixConfig)
            }
        };
        let words = format!("{what}: {}", explain(error, error.hint()));
        self.failed(whom, &words, code);
    }
}

/// Asks every client's server, one after the other.
fn online(
    config: &Config,
    clients: Clients,
    environment: &Environment,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(CheckError::Runtime)?;
    for (client, loaded) in clients {
        // A seed is not for trials: only where the client has nothing else is there none.
        let tokens = config.tokens.values();
        let token = tokens
            .filter(|token| token.client.as_ref() == Some(&client))
            .min_by_key(|token| token.policy().grant.needs_person())
            .cloned();
        let whom = format!("client {}", client.name);
        match runtime.block_on(loaded.registration()) {
            Ok(registration) => {
                describe(
                    &whom,
                    &runtime.block_on(probe(registration, token)),
                    findings,
                );
            }
            Err(error) => findings.error(&whom, "its documents", &error),
        }
    }
    let environment = Arc::new(environment.clone());
    let alone = |token: &&Arc<TokenConfig>| token.client.is_none() && token.parents().is_empty();
    for token in config.tokens.values().filter(alone) {
        let (token, environment) = (Arc::clone(token), Arc::clone(&environment));
        let whom = format!("token {}", token.name);
        let found = runtime.block_on(obtain_alone(token, environment, InputTokens::default()));
        describe_trial(&whom, &found, findings);
    }
    for (name, token) in &config.tokens {
        for path in token.files.iter().filter_map(|file| file.cert.clone()) {
            let certificate = CertificateExpiry::of(path);
            describe_certificate(&format!("token {name}"), &certificate, findings);
        }
    }
    Ok(())
}

fn describe(client: &str, found: &Probe, findings: &mut Findings) {
    match &found.token_endpoint {
        Ok(endpoint) => findings.ok(client, &format!("token endpoint {endpoint}")),
        Err(error) => findings.error(client, "token endpoint", error),
    }
    match &found.connection {
        Some(Ok(())) => findings.ok(client, "connection"),
        Some(Err(error)) => findings.error(client, "connection", error),
        None => {}
    }
    if let Some(skew) = found.clock_skew {
        let by = skew.unsigned_abs();
        let words = match skew {
            0 => "the server's clock agrees with this host's".into(),
            1.. => format!("the server's clock is {by} s ahead of this host's"),
            _ => format!("the server's clock is {by} s behind this host's"),
        };
        if by <= TOLERABLE_SKEW {
            findings.ok(client, &words);
        } else {
            findings.failed(client, &words, Code::State(ErrorState::FixConfig));
        }
    }
    for certificate in &found.certificates {
        describe_certificate(client, certificate, findings);
    }
    if let Some(trial) = &found.trial {
        describe_trial(client, trial, findings);
    }
}

fn describe_trial(whom: &str, trial: &Result<Token, ObtainError>, findings: &mut Findings) {
    match trial {
        Ok(token) => {
            let validity = token.validity;
            let lifetime = (validity.expires_at - validity.obtained_at).as_secs();
            findings.ok(
                whom,
                &format!("trial token, valid for {}", in_words(lifetime)),
            );
        }
        Err(error) => findings.error(whom, "trial token", error),
    }
}

fn describe_certificate(whom: &str, certificate: &CertificateExpiry, findings: &mut Findings) {
    let path = certificate.path.display();
    let left = certificate
        .not_after
        .map(|end| end.saturating_sub(clock::unix_now()));
    let words = match left {
        None => format!("certificate {path} cannot be read"),
        Some(Duration::ZERO) => format!("certificate {path} has expired"),
        Some(left) => format!("certificate {path} expires in {}", in_words(left.as_secs())),
    };
    if left.is_some_and(|left| left >= SHORT) {
        findings.ok(whom, &words);
    } else {
        findings.failed(whom, &words, Code::State(ErrorState::FixConfig));
    }
}

/// Seconds; beyond that, servers refuse assertions.
const TOLERABLE_SKEW: u64 = 10;
/// A certificate that expires sooner should be replaced now.
const SHORT: Duration = Duration::from_secs(7 * 86400);
