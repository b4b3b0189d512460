//! Microsoft Entra ID's version 2 token endpoint, as Arden & GEM's clients use it.

use std::time::Duration;

use crate::clock;
use serde_json::json;

use super::fault::Reply;
use super::id_token;
use super::record::{Request, System};
use super::state::State;

/// Ends in a slash, and is nothing without it.
pub const TOKEN_PATH: &str = "/tenant/oauth2/v2.0/token/";

/// The scope that the API is registered with.
pub const SCOPE: &str = "api://e5g957k-75c6-4be7-af7b-f0b70440d0a2/.default";

/// What the tenant is set to.
#[derive(Clone, Debug)]
pub struct Entra {
    /// The registered application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Of access tokens.
    pub lifetime: Duration,
}

impl Default for Entra {
    fn default() -> Self {
        Self {
            client_id: "12345".into(),
            client_secret: "entra~secret.8Q~".into(),
            lifetime: Duration::from_secs(3599),
        }
    }
}

/// Answers a request below `/tenant`.
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if request.path != TOKEN_PATH {
        return Reply::new(404, "text/html", "<html>Page not found</html>");
    }
    if request.method != "POST" {
        let description = "AADSTS900561: The endpoint only accepts POST requests.";
        return error(405, "invalid_request", 900_561, description);
    }
    let entra = &state.settings.entra;
    let lifetime = entra.lifetime;
    if request.param("grant_type") != "client_credentials" {
        let description = "AADSTS70003: The app requested an unsupported grant type.";
        return error(400, "unsupported_grant_type", 70_003, description);
    }
    if request.param("client_id") != entra.client_id {
        let description = "AADSTS700016: Application was not found in the directory.";
        return error(400, "unauthorized_client", 700_016, description);
    }
    if !request.param("client_assertion").is_empty() {
        if let Err((code, description)) = federated(state, request) {
            return error(401, "invalid_client", code, description);
        }
    } else if request.param("client_secret") != entra.client_secret {
        let description = "AADSTS7000215: Invalid client secret provided.";
        return error(401, "invalid_client", 7_000_215, description);
    }
    let scope = request.param("scope");
    if scope.is_empty() {
        let description = "AADSTS90014: The required field 'scope' is missing.";
        return error(400, "invalid_request", 90_014, description);
    }
    if scope.contains(' ') || !scope.ends_with("/.default") {
        let description = "AADSTS1002012: The provided value for scope is not valid. Client \
                           credential flows must have a scope value with /.default suffixed to \
                           the resource identifier.";
        return error(400, "invalid_scope", 1_002_012, description);
    }
    let access_token = state.issue(System::Entra, lifetime, None);
    let body = json!({
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "ext_expires_in": lifetime.as_secs(),
        "access_token": access_token,
    });
    Reply::json(200, &body)
}

/// A federated credential: a token of another issuer, for whom the application is told to trust it.
fn federated(state: &State, request: &Request) -> Result<(), (u32, &'static str)> {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    if request.param("client_assertion_type") != kind {
        let description = "AADSTS50027: JWT token is invalid or malformed.";
        return Err((50_027, description));
    }
    if !request.param("client_secret").is_empty() {
        return Err((7_000_216, "AADSTS7000216: more than one credential."));
    }
    match id_token::accept(state, request.param("client_assertion")) {
        Ok(()) => Ok(()),
        Err((400, _)) => {
            let description = "AADSTS700024: Client assertion is not within its valid time range.";
            Err((700_024, description))
        }
        Err(_) => Err((
            700_211,
            "AADSTS700211: No matching federated identity record found for presented assertion \
             issuer.",
        )),
    }
}

fn error(status: u16, error: &str, code: u32, description: &str) -> Reply {
    let trace = "7c5fdd1b-0000-4000-8000-2fd0a1b0c100";
    let correlation = "be6d4a0e-0000-4000-8000-8b1d33d0f6a5";
    let body = json!({
        "error": error,
        "error_description": format!(
            "{description}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\n"
        ),
        "error_codes": [code],
        "timestamp": clock::unix_now().as_secs().to_string(),
        "trace_id": trace,
        "correlation_id": correlation,
    });
    Reply::json(status, &body)
}
