//! Kubernetes' exec credential plugins (client.authentication.k8s.io).

use std::path::Path;

use bearerd_core::credential::TokenName;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::error::HelperError;
use super::question::ask;
use crate::api::code::EXIT_FRESH;
use crate::cli::output;
use crate::config::Environment;

/// Answers a Kubernetes client.
pub(super) fn run(name: &TokenName, socket: &Path) -> Result<u8, HelperError> {
    let token = ask(socket, name)?;
    // The client accepts only the version that it asks for.
    let environment = Environment::of_process();
    let asked = environment.var("KUBERNETES_EXEC_INFO");
    let asked = asked.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let version = asked
        .as_ref()
        .and_then(|asked| asked["apiVersion"].as_str());
    let expires_at = i64::try_from(token.expires_at).ok();
    let expires_at = expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let answer = json!({
        "apiVersion": version.unwrap_or("client.authentication.k8s.io/v1"),
        "kind": "ExecCredential",
        "status": {
            "expirationTimestamp": expires_at.map(|at| at.to_string()),
            "token": token.access_token.expose_secret(),
        },
    });
    output::write(format!("{answer}\n").as_bytes())?;
    Ok(EXIT_FRESH)
}
