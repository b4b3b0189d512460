//! A token by an HTTP request that the configuration describes, such as GitHub's.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock;
use crate::config::{Authorization, Environment, HttpGrant, HttpMethod, TokenConfig, TokenRef};
use crate::oauth::credentials::assertion::{Party, Signer};
use crate::oauth::credentials::secret;
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::response::dates;
use crate::oauth::response::shown::shown;
use crate::oauth::response::token_response::granted;
use crate::oauth::response::{Granted, HttpRefusal, ReplyProblem, Request, ResponseError};
use crate::oauth::server_clock;
use crate::oauth::transport::EncodingError;
use crate::oauth::transport::address::server;
use crate::oauth::transport::exchange::{Answer, exchange};
use crate::oauth::transport::headers::{self, sensitive};
use crate::oauth::transport::http::Http;

/// A request but for what is made anew each time.
struct Prepared {
    http: Http,
    headers: HeaderMap,
    bearer: Option<Bearer>,
    /// What the server could echo.
    secrets: Vec<SecretString>,
}

enum Bearer {
    Given(SecretString),
    Signed(Arc<Signer>),
}

/// Sends the request; once more when the server refuses a signature and its reply shows that our
/// clock is wrong.
pub(in crate::oauth) async fn obtain(
    token: &TokenConfig,
    grant: &HttpGrant,
    environment: &Environment,
    input_tokens: InputTokens,
) -> Result<Granted, ObtainError> {
    let (described, environment) = (grant.clone(), environment.clone());
    // Files are read and keys are parsed.
    let prepared =
        tokio::task::spawn_blocking(move || prepare(&described, &environment, &input_tokens));
    let mut prepared = prepared.await.map_err(|_| EncodingError)??;
    let mut server_time = clock::unix_now();
    let mut sent_at = clock::now();
    let mut answer = send(grant, &mut prepared, server_time).await?;
    if let Some(date) = dates::date(&answer.headers) {
        let skew = server_clock::skew(date, server_time, clock::unix_now());
        if skew.abs() > server_clock::TOLERATED {
            server_time = date;
            let signed = matches!(prepared.bearer, Some(Bearer::Signed(_)));
            if signed && answer.status == StatusCode::UNAUTHORIZED {
                sent_at = clock::now();
                answer = send(grant, &mut prepared, server_time).await?;
            }
        }
    }
    let secrets: Vec<_> = prepared.secrets.iter().collect();
    let request = Request {
        sent_at,
        unix_now: server_time,
        assume_lifetime: token.assume_lifetime,
        refresh_token: None,
        secrets: &secrets,
    };
    Ok(understand(grant, &answer, &request)?)
}

fn prepare(
    grant: &HttpGrant,
    environment: &Environment,
    input_tokens: &InputTokens,
) -> Result<Prepared, ObtainError> {
    let (headers, secrets) =
        headers::configured("grant.http.headers", &grant.headers, environment)?;
    let bearer = match &grant.authorization {
        None => None,
        Some(Authorization::Bearer(TokenRef::Token { name, part })) => {
            Some(Bearer::Given(input_tokens.of_parent(name, *part)?))
        }
        Some(Authorization::Bearer(TokenRef::Secret(secret))) => {
            let secret = secret::read("grant.http.bearer", secret, environment)?;
            Some(Bearer::Given(secret))
        }
        Some(Authorization::Signed(signed)) => {
            let party = Party {
                issuer: signed.issuer.as_deref().unwrap_or_default(),
                subject: signed.subject.as_deref(),
                what: "grant.github_app.key",
            };
            let key = secret::read(party.what, &signed.key, environment)?;
            let signer = Signer::with_private_key(&key, signed.alg, &party, &signed.assertion)?;
            Some(Bearer::Signed(Arc::new(signer)))
        }
    };
    Ok(Prepared {
        http: Http::load(grant.transport.clone(), &grant.url.url, 0, environment)?,
        headers,
        bearer,
        secrets,
    })
}

async fn send(
    grant: &HttpGrant,
    prepared: &mut Prepared,
    server_time: Duration,
) -> Result<Answer, ObtainError> {
    let client = &prepared.http.pooled;
    let mut request = match grant.method {
        HttpMethod::Get => client.get(grant.url.url.clone()),
        HttpMethod::Post => client.post(grant.url.url.clone()),
    };
    request = request.headers(prepared.headers.clone());
    let bearer = match &prepared.bearer {
        None => None,
        Some(Bearer::Given(token)) => Some(token.clone()),
        Some(Bearer::Signed(signer)) => {
            let issued_at = server_time.saturating_sub(EARLIER);
            Some(signer.sign_aside(None, issued_at).await?)
        }
    };
    if let Some(token) = bearer {
        let value = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        request = request.header(header::AUTHORIZATION, sensitive(&value)?);
        prepared.secrets.push(token);
    }
    if let Some(body) = &grant.body {
        let json = HeaderValue::from_static("application/json");
        request = request.header(header::CONTENT_TYPE, json);
        request = request.body(body.to_string());
    }
    Ok(exchange(request, &grant.url.url).await?)
}

fn understand(
    grant: &HttpGrant,
    answer: &Answer,
    request: &Request<'_>,
) -> Result<Granted, ResponseError> {
    let status = answer.status;
    if status.is_redirection() {
        return Err(ResponseError::redirect(status, &answer.headers));
    }
    if !status.is_success() {
        return Err(ResponseError::Http(Box::new(refusal(
            grant, answer, request,
        ))));
    }
    let unusable = |problem| ResponseError::Unusable { status, problem };
    let value: Value =
        serde_json::from_slice(&answer.body).map_err(|_| unusable(ReplyProblem::NotAnObject))?;
    let at = |pointer: &String| value.pointer(pointer).cloned();
    let members = [
        ("access_token", Some(&grant.token)),
        ("expires_at", grant.expires_at.as_ref()),
        ("expires_in", grant.expires_in.as_ref()),
    ];
    let members = members.into_iter();
    let members: Map<_, _> = members
        .filter_map(|(name, pointer)| Some((name.to_owned(), at(pointer?)?)))
        .collect();
    granted(members, request).map_err(unusable)
}

/// GitHub has 403 for too many requests, too: then it names the time at which they count anew.
fn refusal(grant: &HttpGrant, answer: &Answer, request: &Request<'_>) -> HttpRefusal {
    let number = |name: &str| -> Option<u64> {
        let value = answer.headers.get(name)?.to_str().ok()?;
        value.trim().parse().ok()
    };
    let retry_after = dates::retry_after(&answer.headers, request.unix_now);
    let none_left = number("x-ratelimit-remaining") == Some(0);
    let now = dates::date(&answer.headers).unwrap_or(request.unix_now);
    let reset = number("x-ratelimit-reset").filter(|_| none_left);
    let reset = reset.map(|at| Duration::from_secs(at).saturating_sub(now));
    let limited = answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status == StatusCode::FORBIDDEN && (none_left || retry_after.is_some());
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = body.get("message").and_then(Value::as_str);
    HttpRefusal {
        server: server(&grant.url.url),
        status: answer.status,
        message: message.and_then(|text| shown(text, request.secrets, 600)),
        rate_limited: limited,
        retry_after: retry_after.or(reset),
    }
}

/// GitHub advises to date a signature a minute back, for clocks that are slow.
const EARLIER: Duration = Duration::from_secs(60);
