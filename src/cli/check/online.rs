//! `bearerd check --online`: asks the authorization servers whether they agree with the
//! configuration.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::refresh::{ErrorState, FailureKind};

use crate::api::code::Code;
use crate::cli::output::in_words;
use crate::clock;
use crate::config::{ClientConfig, Config, Environment, TokenConfig};
use crate::error_chain::explain;
use crate::oauth::probe::{CertificateExpiry, Probe, probe};
use crate::oauth::{Client, InputTokens, ObtainError, obtain_alone};
use crate::token::Token;

/// What the servers' answers show.
#[derive(Default)]
pub(super) struct Findings {
    /// A line for each finding.
    pub(super) text: String,
    /// The code of each finding that is wrong.
    pub(super) wrong: Vec<Code>,
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

/// Asks every client's server, one after the other. Fails when the event loop cannot be started.
pub(super) fn ask_servers(
    config: &Config,
    clients: Vec<(Arc<ClientConfig>, Client)>,
    environment: &Environment,
) -> io::Result<Findings> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut findings = Findings::default();
    for (client, loaded) in clients {
        // A grant that works only once is not used for a trial, so another token is preferred.
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
                    &mut findings,
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
        describe_trial(&whom, &found, &mut findings);
    }
    for (name, token) in &config.tokens {
        for path in token.files.iter().filter_map(|file| file.cert.clone()) {
            let certificate = CertificateExpiry::of(path);
            describe_certificate(&format!("token {name}"), &certificate, &mut findings);
        }
    }
    Ok(findings)
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

/// In seconds. Servers refuse assertions where the clocks differ by more.
const TOLERABLE_SKEW: u64 = 10;
/// A certificate that expires in less time should be replaced now.
const SHORT: Duration = Duration::from_secs(7 * 86400);
