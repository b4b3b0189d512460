//! docker's credential protocol (docker-credential-helpers).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bearerd_core::credential::TokenName;
use clap::Args;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::error::HelperError;
use super::question::{ask, question};
use crate::api::code::EXIT_FRESH;
use crate::cli::output;
use crate::config::Environment;
use crate::error_chain::error_chain;

#[derive(Args, Debug)]
pub(super) struct DockerArgs {
    /// The token's name [default: as docker's config.json says for the registry]
    #[arg(long, value_name = "NAME", value_parser = TokenName::parse)]
    token: Option<TokenName>,
    /// The user's name that the registry expects with a token
    #[arg(long, value_name = "USER", default_value = "oauth2accesstoken")]
    username: String,
    /// What docker wants: get, list, store, erase
    operation: String,
}

/// Answers docker, which reads errors from standard output, and knows no exit code but 1.
pub(super) fn run(args: &DockerArgs, socket: &Path) -> Result<u8, HelperError> {
    match answer(args, socket) {
        Ok(answer) => {
            output::write(answer.as_bytes())?;
            Ok(EXIT_FRESH)
        }
        Err(error) => {
            output::write(format!("{}\n", error_chain(&error)).as_bytes())?;
            Ok(1)
        }
    }
}

fn answer(args: &DockerArgs, socket: &Path) -> Result<String, HelperError> {
    match args.operation.as_str() {
        "get" => {
            let text = question()?;
            let registry = text.trim();
            let (username, name) = match &args.token {
                Some(name) => (args.username.clone(), name.clone()),
                None => configured(registry, &args.username)?.ok_or(HelperError::NoCredentials)?,
            };
            let token = ask(socket, &name)?;
            let secret = token.access_token.expose_secret();
            let answer = json!({"ServerURL": registry, "Username": username, "Secret": secret});
            Ok(format!("{answer}\n"))
        }
        "list" => {
            let mut users = BTreeMap::new();
            for (registry, setting) in settings() {
                users.insert(registry, parse(&setting, &args.username)?.0);
            }
            Ok(format!("{}\n", json!(users)))
        }
        "erase" => Ok(String::new()),
        _ => Err(HelperError::NotStored),
    }
}

/// Reads `NAME` or `USER:NAME`; without a user's name it is `username`.
fn parse(setting: &str, username: &str) -> Result<(String, TokenName), HelperError> {
    let (username, name) = setting.rsplit_once(':').unwrap_or((username, setting));
    Ok((username.into(), TokenName::parse(name)?))
}

/// Returns the user's name and the token that docker's configuration has for a registry.
fn configured(registry: &str, username: &str) -> Result<Option<(String, TokenName)>, HelperError> {
    let settings = settings();
    let host = registry.trim_start_matches("https://");
    let host = host.split('/').next().unwrap_or_default();
    let setting = settings.get(registry).or_else(|| settings.get(host));
    setting.map(|setting| parse(setting, username)).transpose()
}

/// Reads `plugins.bearerd` of docker's configuration. Only there may others add settings, and
/// docker keeps them when it writes the file.
fn settings() -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Configuration {
        #[serde(default)]
        plugins: BTreeMap<String, BTreeMap<String, String>>,
    }
    let environment = Environment::of_process();
    let home = || Some(environment.directory("HOME")?.join(".docker"));
    let directory = environment
        .var("DOCKER_CONFIG")
        .map(Into::into)
        .or_else(home);
    directory
        .and_then(|directory: std::path::PathBuf| fs::read(directory.join("config.json")).ok())
        .and_then(|text| serde_json::from_slice::<Configuration>(&text).ok())
        .and_then(|mut configuration| configuration.plugins.remove("bearerd"))
        .unwrap_or_default()
}
