//! Request to route to right to response.

use std::time::Duration;

use bearerd_core::credential::TokenName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::timeout;

use super::Api;
use super::code::Code;
use super::events;
use super::login;
use super::logout;
use super::metrics::{self, Counts};
use super::peer::{Caller, Right};
use super::problem::Problem;
use super::query::Query;
use super::status::{self, Moment};
use super::tokens::{self, RefreshBody, TokenBody};
use crate::store::Published;

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// `GET /v1/tokens/{name}/access_token`.
    AccessToken(TokenName),
    /// `GET /v1/events`, of one token or of all.
    Events(Option<TokenName>),
    /// `GET /healthz`.
    Health,
    /// `GET /v1/tokens`.
    List,
    /// `POST /v1/tokens/{name}/login`.
    Login(TokenName),
    /// `POST /v1/tokens/{name}/login/complete`.
    LoginComplete(TokenName),
    /// `GET /metrics`.
    Metrics,
    /// `POST /v1/tokens/{name}/logout`.
    Logout(TokenName),
    /// `GET /readyz`.
    Readiness,
    /// `POST /v1/tokens/{name}/refresh`.
    Refresh(TokenName),
    /// `GET /v1/status`.
    Status,
    /// `GET /v1/tokens/{name}`.
    Token(TokenName),
    /// `GET /v1/status/{name}`.
    TokenStatus(TokenName),
}

impl Route {
    /// Finds the route of a request line.
    ///
    /// # Errors
    /// A [`Problem`] for a path that is no page, for a token that cannot be one, and for a method that the page does not have.
    pub(super) fn find(method: &Method, uri: &Uri) -> Result<Self, Problem> {
        let not_found = || Problem::new(Code::NotFound, "no such page");
        let name = |name: &str| TokenName::parse(name).map_err(|_| not_found());
        let segments: Vec<&str> = uri.path().split('/').skip(1).take(6).collect();
        let route = match segments.as_slice() {
            ["healthz"] => Self::Health,
            ["metrics"] => Self::Metrics,
            ["readyz"] => Self::Readiness,
            ["v1", "events"] => Self::Events(events::filter(uri.query())?),
            ["v1", "status"] => Self::Status,
            ["v1", "status", of] => Self::TokenStatus(name(of)?),
            ["v1", "tokens"] => Self::List,
            ["v1", "tokens", of] => Self::Token(name(of)?),
            ["v1", "tokens", of, "access_token"] => Self::AccessToken(name(of)?),
            ["v1", "tokens", of, "login"] => Self::Login(name(of)?),
            ["v1", "tokens", of, "login", "complete"] => Self::LoginComplete(name(of)?),
            ["v1", "tokens", of, "logout"] => Self::Logout(name(of)?),
            ["v1", "tokens", of, "refresh"] => Self::Refresh(name(of)?),
            _ => return Err(not_found()),
        };
        match (&route, method) {
            (
                Self::Login(_) | Self::LoginComplete(_) | Self::Logout(_) | Self::Refresh(_),
                &Method::POST,
            ) => Ok(route),
            (Self::Login(_) | Self::LoginComplete(_) | Self::Logout(_) | Self::Refresh(_), _) => {
                Err(Problem::method(method, "POST"))
            }
            (_, &Method::GET | &Method::HEAD) => Ok(route),
            _ => Err(Problem::method(method, "GET, HEAD")),
        }
    }

    /// The token, and what one must be allowed of it: the only place that says so. `None`: it is enough to
    /// be allowed to read any, as the page shows nothing of others.
    #[must_use]
    pub(super) const fn token(&self) -> Option<(&TokenName, Right)> {
        match self {
            Self::Events(Some(name)) => Some((name, Right::Read)),
            Self::Events(None)
            | Self::Health
            | Self::List
            | Self::Metrics
            | Self::Readiness
            | Self::Status => None,
            // The answer to a refresh holds the new token; whoever may not read it gains nothing from one.
            Self::AccessToken(name)
            | Self::Refresh(name)
            | Self::Token(name)
            | Self::TokenStatus(name) => Some((name, Right::Read)),
            // What one has logged in for, others use.
            Self::Login(name) | Self::LoginComplete(name) | Self::Logout(name) => {
                Some((name, Right::LogIn))
            }
        }
    }
}

/// Answers a request that is authorized for `route`.
pub(super) async fn respond(
    api: &Api,
    caller: &Caller,
    counts: Counts,
    route: Route,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    answer(api, caller, counts, route, request)
        .await
        .unwrap_or_else(Problem::into_response)
}

async fn answer(
    api: &Api,
    caller: &Caller,
    counts: Counts,
    route: Route,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query(), parameters(&route))?;
    match route {
        Route::AccessToken(name) => {
            let published = tokens::read(api, &name, query).await?;
            Ok(unless_known(&published, &parts.headers, plain(&published)))
        }
        // Answered as they come: see [`events::open`].
        Route::Events(_) => Err(Problem::new(Code::Internal, "no stream")),
        Route::Health => Ok(text("ok\n")),
        Route::List => json(&status::list(api, caller)),
        Route::Login(name) => json(&login::begin(api, &name, &collect(body).await?).await?),
        Route::LoginComplete(name) => {
            let body = collect(body).await?;
            json(&login::complete(api, &name, &body, query).await?)
        }
        Route::Metrics => {
            let text = tokio::task::spawn_blocking(metrics::scrape(api, caller, counts)).await;
            let text = text.ok().and_then(Result::ok);
            let defect = || Problem::new(Code::Internal, "the metrics cannot be written");
            Ok(with_type(OPENMETRICS, text.ok_or_else(defect)?.into()))
        }
        Route::Logout(name) => json(&logout::logout(api, &name).await?),
        Route::Readiness => status::readiness(api, caller).map(|()| text("ready\n")),
        Route::Refresh(name) => {
            let rejected = RefreshBody::parse(&collect(body).await?)?;
            let published = tokens::refresh(api, &name, rejected, query).await?;
            token(&published, &parts.headers)
        }
        Route::Status => json(&status::page(api, caller)),
        Route::Token(name) => {
            let published = tokens::read(api, &name, query).await?;
            let full = token(&published, &parts.headers)?;
            Ok(unless_known(&published, &parts.headers, full))
        }
        Route::TokenStatus(name) => {
            let view = tokens::view(api, &name)?;
            json(&status::token(&name, &view, Moment::now()))
        }
    }
}

/// The query parameters a page knows.
const fn parameters(route: &Route) -> &'static [&'static str] {
    match route {
        Route::AccessToken(_) | Route::Token(_) => &["min_ttl", "wait"],
        Route::LoginComplete(_) | Route::Refresh(_) => &["wait"],
        Route::Events(_)
        | Route::Health
        | Route::List
        | Route::Login(_)
        | Route::Logout(_)
        | Route::Metrics
        | Route::Readiness
        | Route::Status
        | Route::TokenStatus(_) => &[],
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Problem> {
    let too_large = || Problem::body(StatusCode::PAYLOAD_TOO_LARGE, "the body is above 16 KiB");
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::usage("the body is malformed or cut short")),
        Err(_) => Err(Problem::body(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long",
        )),
    }
}

fn token(published: &Published, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Problem> {
    if prefers_text(headers) {
        return Ok(plain(published));
    }
    let token = &published.token;
    let scope = token.scope.as_deref().unwrap_or_default();
    let texts = token.access_token.expose_secret().len() + token.token_type.len() + scope.len();
    // JSON makes six bytes of one at worst. A buffer that grows is copied.
    let body = Vec::with_capacity(6 * texts + 256);
    json_in(body, &TokenBody::new(published, Moment::now()))
}

/// Adds the token's `ETag`, and leaves the token out for who has it already (RFC 9110 section 13.1.2). It is
/// weak, as `expires_in` differs from answer to answer.
fn unless_known(
    published: &Published,
    headers: &HeaderMap,
    full: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let generation = published.generation.to_string();
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || opaque(tag) == Some(&generation));
    let mut response = full;
    if known {
        response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{generation}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, vary);
    response
}

/// What stands between the quotes of an entity tag, weak or strong.
fn opaque(tag: &str) -> Option<&str> {
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    quoted.strip_prefix('"')?.strip_suffix('"')
}

/// The token's bytes and nothing else.
fn plain(published: &Published) -> Response<Full<Bytes>> {
    let token = published.token.access_token.expose_secret();
    with_type("text/plain; charset=utf-8", token.as_bytes().to_vec())
}

fn text(text: &'static str) -> Response<Full<Bytes>> {
    with_type("text/plain; charset=utf-8", text.into())
}

fn json(value: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    json_in(Vec::new(), value)
}

fn json_in(mut body: Vec<u8>, value: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    serde_json::to_writer(&mut body, value)
        .map_err(|_| Problem::new(Code::Internal, "the answer cannot be written as JSON"))?;
    body.push(b'\n');
    Ok(with_type("application/json", body))
}

fn with_type(content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let is_large = body.len() > LARGE;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if is_large {
        // hyper keeps a buffer of that size for as long as the connection lives.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Whether `Accept` names plain text before JSON or anything else that JSON satisfies.
fn prefers_text(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .find_map(|media_type| match media_type {
            "text/plain" | "text/*" => Some(true),
            "application/json" | "application/*" | "*/*" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MAX_BODY: usize = 16 * 1024;
/// An answer above this size is the last on its connection.
const LARGE: usize = 256 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> Result<Route, Problem> {
        Route::find(
            method,
            &path.parse().unwrap_or_else(|_| Uri::from_static("/")),
        )
    }

    fn status(method: &Method, path: &str) -> u16 {
        let problem = find(method, path).unwrap_err();
        problem.into_response().status().as_u16()
    }

    #[test]
    fn routes() {
        let lev = TokenName::parse("lev").unwrap();
        let get = |path| find(&Method::GET, path).unwrap();
        assert_eq!(get("/v1/tokens"), Route::List);
        assert_eq!(get("/v1/tokens/lev"), Route::Token(lev.clone()));
        assert_eq!(
            get("/v1/tokens/lev/access_token"),
            Route::AccessToken(lev.clone())
        );
        assert_eq!(get("/v1/status/lev"), Route::TokenStatus(lev.clone()));
        assert_eq!(
            find(&Method::POST, "/v1/tokens/lev/refresh").unwrap(),
            Route::Refresh(lev)
        );
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/tokens/",
            "/v1/tokens/..",
            "/v1/tokens/a%2Fb",
            "/v1/tokens/lev/",
            "/v1/tokens/lev/x",
            "/v1/tokens/lev/refresh/x",
            "/v2/tokens",
            "x/healthz/y",
        ] {
            assert_eq!(status(&Method::GET, path), 404, "{path}");
        }
        assert_eq!(status(&Method::GET, "/v1/tokens/lev/refresh"), 405);
        assert_eq!(status(&Method::GET, "/v1/tokens/lev/logout"), 405);
        assert_eq!(status(&Method::DELETE, "/v1/tokens/lev"), 405);
        assert_eq!(status(&Method::POST, "/healthz"), 405);
    }

    #[test]
    fn accept() {
        let prefers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(value));
            prefers_text(&headers)
        };
        assert!(prefers("text/plain"));
        assert!(prefers("text/html, text/plain;q=0.5"));
        assert!(!prefers("application/json, text/plain"));
        assert!(!prefers("*/*"));
        assert!(!prefers("text/html"));
        assert!(!prefers_text(&HeaderMap::new()));
    }
}
