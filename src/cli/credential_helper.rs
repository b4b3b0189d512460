//! `bearerd credential-helper`: the protocols in which other programs ask for a token.
//!
//! Each program asks, is answered and is told of failures by the rules of its own protocol.

mod aws;
mod aws_answer;
mod aws_sts;
mod docker;
mod error;
mod gcp;
mod git;
mod kubectl;
mod question;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use bearerd_core::credential::TokenName;
use clap::{Args, Subcommand};

pub(super) use error::HelperError;

#[derive(Args, Debug)]
pub(super) struct CredentialHelperArgs {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// For AWS's SDKs and command line: the `credential_process` of a profile
    Aws(aws::AwsArgs),
    /// For git, also as `git-credential-bearerd`: `git config credential.https://HOST.helper
    /// 'bearerd --token NAME'`
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

/// Answers the program that asks.
pub(super) fn run(args: &CredentialHelperArgs, socket: &Path) -> Result<u8, HelperError> {
    match &args.program {
        Program::Aws(args) => aws::run(args, socket),
        Program::Git(args) => git::run(args, socket),
        Program::Docker(args) => docker::run(args, socket),
        Program::Kubectl(args) => kubectl::run(&args.token, socket),
        Program::Gcp(args) => gcp::run(&args.token, socket),
    }
}

/// Returns the command line that the name of this program stands for: other programs find their
/// helpers by name.
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
