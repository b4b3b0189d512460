//! One HTTP client's connection: its limits, who it is, what it asks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bearerd_core::credential::TokenName;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{Either, Full};
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
use super::events::{self, EventBody};
use super::limits::Limits;
use super::metrics::Counts;
use super::peer::{Caller, Right};
use super::problem::Problem;
use super::router::{self, Route};
use super::stream::WriteLimited;
use crate::store::TokenView;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Server {
    api: Api,
    own_uid: u32,
    finished: Arc<Finished>,
    audit: Audit,
    pub(super) limits: Limits,
    /// Open connections, as the acceptor counts them.
    pub(super) open: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn new(api: Api, limits: Limits) -> Self {
        Self {
            api,
            own_uid: rustix::process::geteuid().as_raw(),
            finished: Arc::default(),
            audit: Audit::default(),
            limits,
            open: Arc::default(),
        }
    }

    pub(super) const fn api(&self) -> &Api {
        &self.api
    }

    pub(super) const fn own_uid(&self) -> u32 {
        self.own_uid
    }

    /// Marks a connection as one with a request under way.
    pub(super) fn begin(&self, activity: &Activity) -> Busy {
        activity.begin(&self.finished)
    }

    /// Whether the caller has this right to a token. Who has not does not learn either whether there is one.
    pub(super) fn permits_token(&self, caller: &Caller, name: &TokenName, right: Right) -> bool {
        let tokens = self.api.tokens.borrow();
        let Some(view) = tokens.get(name) else {
            return caller.is_trusted();
        };
        let view = view.borrow();
        let grounds = caller.grounds(right.rules(&view.config));
        if let Some(grounds) = grounds {
            self.audit.granted(caller, name, right, grounds);
        }
        grounds.is_some()
    }

    /// Logs that the caller was refused.
    pub(super) fn denied(&self, caller: &Caller, token: Option<&TokenName>) {
        self.audit.denied(caller, token);
    }

    /// Whether a user is root or the daemon's own.
    pub(super) fn trusts(&self, uid: Option<u32>) -> bool {
        uid.is_some_and(|uid| uid == 0 || uid == self.own_uid)
    }

    /// Waits until the daemon is about to end.
    pub(super) async fn stopping(&self) {
        self.api.stopping().await;
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

    fn begin(&self, finished: &Arc<Finished>) -> Busy {
        self.0.store(BUSY, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            finished: Arc::clone(finished),
        }
    }
}

/// A request under way, its event stream included; at its end the connection counts as used just now.
pub(super) struct Busy {
    activity: Activity,
    finished: Arc<Finished>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let order = self.finished.count.fetch_add(1, Ordering::Relaxed);
        self.activity.0.store(HAS_SERVED + order, Ordering::Relaxed);
        self.finished.news.notify_one();
    }
}

/// Serves one connection until it ends, is idle for too long, or the client stops reading.
pub(super) async fn run(server: Server, stream: UnixStream, activity: Activity) {
    let limits = server.limits;
    let caller = Caller::of(&stream, server.own_uid);
    let io = TokioIo::new(WriteLimited::new(stream, limits.write));
    let service = service_fn(|request| {
        let (server, activity, caller) = (&server, &activity, &caller);
        async move {
            let busy = server.begin(activity);
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
        () = server.stopping() => {}
        () = sleep(limits.silence) => {
            if activity.is_silent() {
                return;
            }
            tokio::select! {
                _ = &mut connection => return,
                () = server.stopping() => {}
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
            server.denied(caller, route.token().map(|(name, _)| name));
            denied().map(Either::Left)
        }
        Ok(Route::Events(Some(name))) if !server.api.tokens.borrow().contains_key(&name) => {
            let problem = Problem::no_such_token(&name);
            problem.into_response().map(Either::Left)
        }
        Ok(Route::Events(token)) => {
            let terms = (busy, server.limits.heartbeat);
            events::open(server.api.clone(), caller.clone(), token, terms).map(Either::Right)
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

/// A rank no idle connection has.
const BUSY: u64 = u64::MAX;
/// Ranks below are those of connections that have not sent a request.
const HAS_SERVED: u64 = 1 << 62;
