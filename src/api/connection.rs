//! One HTTP client's connection: its limits, who it is, what it asks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::Api;
use super::audit::Audit;
use super::peer::Caller;
use super::problem::Problem;
use super::router::{self, Route};
use super::stream::WriteLimited;
use crate::credential::TokenName;
use crate::store::TokenView;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Server {
    api: Api,
    own_uid: u32,
    finished: Arc<Finished>,
    audit: Audit,
}

impl Server {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            own_uid: rustix::process::geteuid().as_raw(),
            finished: Arc::default(),
            audit: Audit::default(),
        }
    }

    pub(super) const fn api(&self) -> &Api {
        &self.api
    }

    pub(super) const fn own_uid(&self) -> u32 {
        self.own_uid
    }

    /// Marks a connection as one with a request under way.
    pub(super) fn begin<'a>(&'a self, activity: &'a Activity) -> Busy<'a> {
        activity.begin(&self.finished)
    }

    /// Whether the caller may read this token. Who may not does not learn either whether there is one.
    pub(super) fn permits_token(&self, caller: &Caller, name: &TokenName) -> bool {
        let tokens = self.api.tokens.borrow();
        let Some(view) = tokens.get(name) else {
            return caller.is_trusted();
        };
        let view = view.borrow();
        let grounds = caller.grounds(&view.config.allow);
        if let Some(grounds) = grounds {
            self.audit.granted(caller, name, grounds);
        }
        grounds.is_some()
    }

    /// Logs that the caller was refused.
    pub(super) fn denied(&self, caller: &Caller, token: Option<&TokenName>) {
        self.audit.denied(caller, token);
    }

    /// Waits until some request has ended; one that ended since the last call counts.
    pub(super) async fn request_ended(&self) {
        self.finished.news.notified().await;
    }
}

/// Finished requests: their number orders connections by their last use.
#[derive(Default)]
struct Finished {
    count: AtomicU64,
    news: Notify,
}

/// How much a connection is in use: readable by the acceptor, which closes the least used when it must.
#[derive(Clone)]
pub(super) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// A connection that has not sent a request: the first to go, in the order of arrival.
    pub(super) fn new(arrival: u64) -> Self {
        Self(Arc::new(AtomicU64::new(arrival)))
    }

    /// `None` while a request is under way; else the lower goes first.
    pub(super) fn idle_rank(&self) -> Option<u64> {
        let rank = self.0.load(Ordering::Relaxed);
        (rank != BUSY).then_some(rank)
    }

    fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) < HAS_SERVED
    }

    fn begin<'a>(&'a self, finished: &'a Finished) -> Busy<'a> {
        self.0.store(BUSY, Ordering::Relaxed);
        Busy {
            activity: self,
            finished,
        }
    }
}

/// A request under way; at its end the connection counts as used just now.
pub(super) struct Busy<'a> {
    activity: &'a Activity,
    finished: &'a Finished,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let order = self.finished.count.fetch_add(1, Ordering::Relaxed);
        self.activity.0.store(HAS_SERVED + order, Ordering::Relaxed);
        self.finished.news.notify_one();
    }
}

/// Serves one connection until it ends, is idle for too long, or the client stops reading.
pub(super) async fn run(server: Server, stream: UnixStream, activity: Activity) {
    let caller = Caller::of(&stream, server.own_uid);
    let io = TokioIo::new(WriteLimited::new(stream, WRITE_TIMEOUT));
    let service = service_fn(|request| {
        let (server, activity, caller) = (&server, &activity, &caller);
        async move {
            let _busy = server.begin(activity);
            Ok::<_, Infallible>(respond(server, caller, request).await)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(io, service)
    );
    // How a connection ends is the client's affair; its requests were answered or it has gone.
    tokio::select! {
        _ = &mut connection => return,
        () = sleep(SILENCE_TIMEOUT) => {}
    }
    if !activity.is_silent() {
        let _ = connection.await;
    }
}

async fn respond(
    server: &Server,
    caller: &Caller,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let mut response = match Route::find(request.method(), request.uri().path()) {
        Err(problem) => problem.into_response(),
        Ok(route) if permits(server, caller, &route) => {
            router::respond(&server.api, caller, route, request).await
        }
        Ok(route) => {
            server.denied(caller, route.token());
            denied()
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
        Some(name) => server.permits_token(caller, name),
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

/// A rank no idle connection has.
const BUSY: u64 = u64::MAX;
/// Ranks below are those of connections that have not sent a request.
const HAS_SERVED: u64 = 1 << 62;
/// From one request to the end of the next one's headers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for the first request.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
