//! Turns a request into its answer.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::access::{Caller, Right};
use crate::api::code::Code;
use crate::api::connection::Server;
use crate::api::moment::Moment;
use crate::api::problem::Problem;
use crate::api::tokens::{self, Query};
use crate::config::{Endpoint, TokenConfig};
use crate::store::Published;

/// What a client asks for. Keys that are not known here, such as `application_hint`, are left out.
#[derive(Deserialize)]
struct Request {
    request: String,
    account: Option<String>,
    issuer: Option<String>,
    /// How many seconds the token must still be valid. A negative number asks for a new token.
    #[serde(default)]
    min_valid_period: i64,
    scope: Option<String>,
    audience: Option<String>,
}

#[derive(Serialize)]
struct Granted<'a> {
    status: &'static str,
    access_token: &'a str,
    /// The issuer. It is empty where the configuration names none, as some clients need the key.
    issuer: &'a str,
    expires_at: u64,
}

#[derive(Serialize)]
struct Accounts {
    status: &'static str,
    info: Vec<String>,
}

/// A refusal that people read.
#[derive(Serialize)]
pub(super) struct Failure {
    status: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<String>,
}

impl Failure {
    pub(super) fn new(error: String, info: Option<String>) -> Self {
        let status = "failure";
        Self {
            status,
            error,
            info,
        }
    }

    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        json(self)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let hint = problem.hint.map(|hint| format!("hint: {hint}\n"));
        Self::new(problem.detail.into(), hint)
    }
}

/// Answers a request, which may take as long as [`WAIT`].
pub(super) async fn answer(server: &Server, caller: &Caller, request: &[u8]) -> Zeroizing<Vec<u8>> {
    let Ok(request) = serde_json::from_slice::<Request>(request) else {
        let error = "the request is to be a JSON object with `request` and an account or an issuer";
        return Failure::new(error.into(), None).to_json();
    };
    let answer = match request.request.as_str() {
        "access_token" => access_token(server, caller, &request).await,
        "loaded_accounts" => Ok(accounts(server, caller)),
        _ => Err(Problem::usage(
            "bearerd answers `access_token` and `loaded_accounts` only",
        )),
    };
    answer.unwrap_or_else(|problem| Failure::from(problem).to_json())
}

fn accounts(server: &Server, caller: &Caller) -> Zeroizing<Vec<u8>> {
    let info = visible(server, caller, |_| true);
    json(&Accounts {
        status: "success",
        info: info.into_iter().map(|name| name.to_string()).collect(),
    })
}

async fn access_token(
    server: &Server,
    caller: &Caller,
    request: &Request,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let name = wanted(server, caller, request)?;
    let api = &server.api;
    let config = tokens::view(api, &name)?.config;
    configured_only(&config, request)?;
    let published = match u64::try_from(request.min_valid_period) {
        Ok(seconds) => {
            let query = Query {
                min_ttl: Some(Duration::from_secs(seconds)),
                wait: Some(WAIT),
            };
            tokens::read(api, &name, query).await?
        }
        Err(_) => tokens::refresh(api, &name, None, Query::default()).await?,
    };
    Ok(granted(&config, &published))
}

/// Finds the token that is meant and that the caller may read.
fn wanted(server: &Server, caller: &Caller, request: &Request) -> Result<TokenName, Problem> {
    let name = match (&request.account, &request.issuer) {
        (Some(account), _) => TokenName::parse(account).ok(),
        (None, Some(issuer)) => Some(only_of(server, caller, issuer)?),
        (None, None) => {
            return Err(Problem::usage("neither an account nor an issuer is named"));
        }
    };
    match name {
        Some(name) if server.permits_token(caller, &name, Right::Read) => Ok(name),
        // Trusted callers may know.
        None if caller.is_trusted() => {
            let detail = "the account is neither a token's name nor an https URL of an issuer";
            Err(Problem::usage(detail))
        }
        name => {
            server.audit.denied(caller, name.as_ref());
            Err(Problem::policy())
        }
    }
}

/// Finds the one token of this issuer that the caller may read.
fn only_of(server: &Server, caller: &Caller, issuer: &str) -> Result<TokenName, Problem> {
    let issuer = issuer.trim_end_matches('/');
    let of_issuer = |token: &TokenConfig| {
        let own = issuer_of(token);
        !own.is_empty() && own.trim_end_matches('/') == issuer
    };
    let mut names = visible(server, caller, of_issuer);
    match (names.pop(), names.as_slice()) {
        (Some(name), []) => Ok(name),
        (Some(last), others) => {
            let others: Vec<&str> = others.iter().map(TokenName::as_str).collect();
            let names = format!("{} and {last}", others.join(", "));
            let mut problem = Problem::usage(format!("several tokens are of this issuer: {names}"));
            problem.hint = Some("ask for one of them by its name".into());
            Err(problem)
        }
        (None, _) => Err(Problem::new(
            Code::NotFound,
            "no token that you may read is of this issuer",
        )),
    }
}

fn visible(
    server: &Server,
    caller: &Caller,
    wanted: impl Fn(&TokenConfig) -> bool,
) -> Vec<TokenName> {
    let tokens = server.api.tokens.borrow();
    let seen = tokens.iter().filter(|(_, view)| {
        let view = view.borrow();
        caller.may_see(&view.config) && wanted(&view.config)
    });
    seen.map(|(name, _)| name.clone()).collect()
}

/// Refuses a request for another scope or audience than the token is configured with. The
/// configured token may be good for more, so it is not given instead.
fn configured_only(config: &TokenConfig, request: &Request) -> Result<(), Problem> {
    let set = |words: &[String]| -> std::collections::BTreeSet<String> {
        let words = words.iter().flat_map(|words| words.split_whitespace());
        words.map(str::to_owned).collect()
    };
    let parameters = [
        ("scope", &request.scope, &config.scope),
        ("audience", &request.audience, &config.audience),
    ];
    for (what, requested, configured) in parameters {
        let Some(requested) = requested.as_ref().filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        if set(std::slice::from_ref(requested)) != set(configured) {
            let detail = format!("token {} is configured with another {what}", config.name);
            let mut problem = Problem::usage(detail);
            let own = match configured.join(" ") {
                own if own.is_empty() => format!("it has no {what}"),
                own => format!("its {what} is {own}"),
            };
            problem.hint = Some(format!("leave the {what} out: {own}").into());
            return Err(problem);
        }
    }
    Ok(())
}

fn granted(config: &TokenConfig, published: &Published) -> Zeroizing<Vec<u8>> {
    let token = &published.token;
    json(&Granted {
        status: "success",
        access_token: token.access_token.expose_secret(),
        issuer: issuer_of(config),
        expires_at: Moment::now().epoch_seconds(token.validity.expires_at),
    })
}

/// The issuer that the token's client names. It is empty where the client names none.
fn issuer_of(config: &TokenConfig) -> &str {
    match config.client.as_ref().map(|client| &client.endpoint) {
        Some(Endpoint::Issuer(url)) => &url.text,
        Some(Endpoint::TokenEndpoint(_)) | None => "",
    }
}

/// Writes an answer as JSON. A struct of strings and numbers always serializes.
fn json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(value).unwrap_or_default())
}

/// How long a token that is about to come is waited for.
const WAIT: Duration = Duration::from_secs(10);
