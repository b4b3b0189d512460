//! Serves one HTTP client's connection: applies the limits, finds out who asks, and answers each
//! request.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use http::{HeaderValue, Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::event_stream::{self, EventBody};
use super::metrics::Counts;
use super::route::Route;
use super::router;
use crate::api::access::Caller;
use crate::api::connection::{Activity, Busy, Server, WriteLimited};
use crate::api::problem::Problem;
use crate::store::TokenView;

/// Serves one connection until it ends, until it is idle for too long, or until the client stops
/// reading.
pub(in crate::api) async fn run(server: Server, stream: UnixStream, activity: Activity) {
    let limits = server.limits;
    let caller = Caller::of(&stream, server.own_uid);
    let io = TokioIo::new(WriteLimited::new(stream, limits.write));
    let service = service_fn(|request| {
        let (server, activity, caller) = (&server, &activity, &caller);
        async move {
            let busy = activity.begin(&server.finished);
            Ok::<_, Infallible>(respond(server, caller, request, busy).await)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle)
            .max_headers(limits.headers)
            .max_buf_size(limits.header_bytes)
            .serve_connection(io, service)
    );
    // How a connection ends is the client's affair; its requests were answered or it has gone.
    tokio::select! {
        _ = &mut connection => return,
        () = server.api.stopping() => {}
        () = sleep(limits.silence) => {
            if activity.is_silent() {
                return;
            }
            tokio::select! {
                _ = &mut connection => return,
                () = server.api.stopping() => {}
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn respond(
    server: &Server,
    caller: &Caller,
    request: Request<Incoming>,
    busy: Busy,
) -> Response<Either<Full<Bytes>, EventBody>> {
    let mut response = match Route::find(request.method(), request.uri()) {
        Err(problem) => problem.into_response().map(Either::Left),
        Ok(route) if !permits(server, caller, &route) => {
            server
                .audit
                .denied(caller, route.token().map(|(name, _)| name));
            denied().map(Either::Left)
        }
        Ok(Route::Events(Some(name))) if !server.api.tokens.borrow().contains_key(&name) => {
            let problem = Problem::no_such_token(&name);
            problem.into_response().map(Either::Left)
        }
        Ok(Route::Events(token)) => {
            let terms = (busy, server.limits.heartbeat);
            event_stream::open(server.api.clone(), caller.clone(), token, terms).map(Either::Right)
        }
        Ok(route) => {
            let counts = Counts {
                connections: server.open.load(Ordering::Relaxed),
                denials: server.audit.denials(),
            };
            let response = router::respond(&server.api, caller, counts, route, request).await;
            response.map(Either::Left)
        }
    };
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn permits(server: &Server, caller: &Caller, route: &Route) -> bool {
    match route.token() {
        Some((name, right)) => server.permits_token(caller, name, right),
        None => {
            let tokens = server.api.tokens.borrow();
            let sees = |view: &Receiver<TokenView>| caller.may_see(&view.borrow().config);
            caller.is_trusted() || tokens.values().any(sees)
        }
    }
}

fn denied() -> Response<Full<Bytes>> {
    let mut response = Problem::policy().into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}
