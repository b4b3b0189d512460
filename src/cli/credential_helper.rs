//! `bearerd credential-helper`: the protocols in which other programs ask for a token.
//!
//! Each asks by the program's own rules, and is answered and told of failures by them.

mod aws;
mod aws_answer;
mod aws_sts;
mod docker;
mod gcp;
mod git;
mod kubectl;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::{Args, Subcommand};

pub(super) use aws_sts::StsError;

use super::error::CliError;
use super::token::{self, Token};

#[derive(Args, Debug)]
pub(super) struct CredentialHelperArgs {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// For AWS's SDKs and command line: the `credential_process` of a profile
    Aws(aws::AwsArgs),
    /// For git, also as `git-credential-bearerd`: `git config credential.https://HOST.helper 'bearerd
    /// --token NAME'`
    Git(git::GitArgs),
    /// For docker, also as `docker-credential-bearerd`: name it in `credHelpers`, and the token in
    /// `"plugins": {"bearerd": {"REGISTRY": "NAME"}}` of docker's config.json
    Docker(docker::DockerArgs),
    /// For kubectl and other Kubernetes clients: the `exec` of a kubeconfig's user
    Kubectl(TokenArgs),
    /// For Google's client libraries: `credential_source.executable` of an `external_account`
    Gcp(TokenArgs),
}

#[derive(Args, Debug)]
struct TokenArgs {
    /// The token's name
    #[arg(long, value_name = "NAME", value_parser = TokenName::parse)]
    token: TokenName,
}

pub(super) fn run(args: &CredentialHelperArgs, socket: &Path) -> Result<u8, CliError> {
    match &args.program {
        Program::Aws(args) => aws::run(args, socket),
        Program::Git(args) => git::run(args, socket),
        Program::Docker(args) => docker::run(args, socket),
        Program::Kubectl(args) => kubectl::run(&args.token, socket),
        Program::Gcp(args) => gcp::run(&args.token, socket),
    }
}

/// The command line that a program's name stands for: other programs find their helpers by name.
pub(super) fn expand(mut args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let called = args.next().unwrap_or_default();
    let program = match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some("git-credential-bearerd") => "git",
        Some("docker-credential-bearerd") => "docker",
        _ => return std::iter::once(called).chain(args).collect(),
    };
    let command = ["bearerd", "credential-helper", program];
    command
        .into_iter()
        .map(OsString::from)
        .chain(args)
        .collect()
}

fn ask(socket: &Path, name: &TokenName) -> Result<Token, CliError> {
    token::ask(socket, name, Duration::ZERO, WAIT)
}

/// The question, as the program writes it to standard input.
fn question() -> Result<String, CliError> {
    let mut text = String::new();
    let read = io::stdin()
        .lock()
        .take(MAX_QUESTION)
        .read_to_string(&mut text);
    read.map_err(CliError::Question)?;
    Ok(text)
}

/// A token that is about to come is waited for; a program that waits for us has its own patience.
const WAIT: Duration = Duration::from_secs(10);
const MAX_QUESTION: u64 = 64 * 1024;
