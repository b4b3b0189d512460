//! Answers an authorized request with the page that it asks for.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use tokio::time::timeout;

use super::metrics::{self, Counts};
use super::response::{json, text, with_type};
use super::route::Route;
use super::token::{self, RefreshBody};
use super::{login, logout, status};
use crate::api::access::Caller;
use crate::api::code::Code;
use crate::api::daemon::Api;
use crate::api::moment::Moment;
use crate::api::problem::Problem;
use crate::api::tokens::{self, Query};

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
    let query = Query::parse(parts.uri.query(), route.parameters())?;
    match route {
        Route::AccessToken(name) => {
            let published = tokens::read(api, &name, query).await?;
            Ok(token::bytes(&published, &parts.headers))
        }
        // `event_stream` has answered already.
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
            token::body(&published, &parts.headers)
        }
        Route::Status => json(&status::page(api, caller)),
        Route::Token(name) => {
            let published = tokens::read(api, &name, query).await?;
            token::page(&published, &parts.headers)
        }
        Route::TokenStatus(name) => {
            let view = tokens::view(api, &name)?;
            json(&status::token(&name, &view, Moment::now()))
        }
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

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const MAX_BODY: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
