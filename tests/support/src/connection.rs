//! One connection to the authorization server.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use hyper::service::service_fn;
use hyper::{Response, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::fault::{Cut, Fault, Reply, ReplyBody};
use super::record::{Log, Request, System};
use super::state::{Shared, State};
use super::{entra, lev, mock_jwks, nhs};

/// Serves it to its end.
pub async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // A second descriptor of the socket: hyper owns the stream, and a reset is made at the socket.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
        return;
    };
    let socket = Arc::new(socket);
    let service = service_fn(move |request| {
        let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
        async move { exchange(request, &shared, &socket).await }
    });
    // Clients hang up, and some answers are cut on purpose: no error here is news.
    let _ = match acceptor {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => {
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            }
            Err(_) => return,
        },
        None => {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        }
    };
}

/// Presents a token as to an API. Counted.
pub fn check(log: &mut Log, access_token: &str) -> bool {
    let accepted = log.accepts(access_token);
    log.checks += 1;
    log.rejected += u64::from(!accepted);
    accepted
}

async fn exchange(
    request: hyper::Request<Incoming>,
    shared: &Arc<Shared>,
    socket: &OwnedFd,
) -> Result<Response<ReplyBody>, Cut> {
    let request = receive(request).await?;
    if request.path == "/check" {
        let reply = shared.with(|state| checked(&mut state.log, &request));
        return Ok(reply.response(ReplyBody::whole(reply.body.clone())));
    }
    let (turn, fault) = Turn::begin(shared, &request);
    let before = fault.as_ref().filter(|fault| !fault.processed());
    let reply = match before {
        Some(fault) => match fault.reply() {
            Some(reply) => reply,
            None if *fault == Fault::EndlessBody => {
                turn.answered(200);
                let reply = Reply::new(200, "application/json", "");
                return Ok(reply.response(ReplyBody::Endless));
            }
            None => std::future::pending().await,
        },
        None => shared.with(|state| answer(state, &request)),
    };
    let body = match fault {
        Some(Fault::CloseBeforeReply) => return Err(Cut),
        Some(Fault::LateReply) => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ReplyBody::whole(reply.body.clone())
        }
        Some(Fault::LostReply) => std::future::pending().await,
        Some(Fault::ResetMidBody) => {
            // Closing with unsent linger time zero sends RST instead of FIN.
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            ReplyBody::CutShort(Some(reply.body.clone().into()))
        }
        Some(Fault::SlowDrip) => {
            let interval = tokio::time::interval(Duration::from_millis(200));
            ReplyBody::Slow(reply.body.clone().into(), interval)
        }
        _ => ReplyBody::whole(reply.body.clone()),
    };
    turn.answered(reply.status);
    Ok(reply.response(body))
}

fn answer(state: &mut State, request: &Request) -> Reply {
    match request.system {
        Some(System::Entra) => entra::answer(state, request),
        Some(System::Lev) => lev::answer(state, request),
        Some(System::Nhs) => nhs::answer(state, request),
        None if request.path == mock_jwks::DOCUMENT_PATH => mock_jwks::document(state, request),
        None => Reply::new(404, "text/plain", "Not Found"),
    }
}

fn checked(log: &mut Log, request: &Request) -> Reply {
    let authorization = request.authorization.as_deref().unwrap_or_default();
    let token = match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
        _ => "",
    };
    let active = check(log, token);
    let status = if active { 200 } else { 401 };
    Reply::json(status, &serde_json::json!({"active": active}))
}

/// A request being answered. Dropped when the client goes away first.
struct Turn {
    shared: Arc<Shared>,
    index: usize,
}

impl Turn {
    fn begin(shared: &Arc<Shared>, request: &Request) -> (Self, Option<Fault>) {
        let shared = Arc::clone(shared);
        let (index, fault) = shared.with(|state| {
            let fault = request
                .system
                .and_then(|system| state.next_fault(system, request.asks_for_token()));
            let log = &mut state.log;
            log.requests.push(request.clone());
            log.faults += usize::from(fault.is_some());
            log.in_flight += 1;
            log.max_in_flight = log.max_in_flight.max(log.in_flight);
            (log.requests.len() - 1, fault)
        });
        (Self { shared, index }, fault)
    }

    fn answered(&self, status: u16) {
        self.shared
            .with(|state| state.log.requests[self.index].status = Some(status));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.with(|state| state.log.in_flight -= 1);
    }
}

async fn receive(request: hyper::Request<Incoming>) -> Result<Request, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 1024 * 1024).collect().await;
    let body = body.map_err(|_| Cut)?.to_bytes();
    let header = |name| {
        let value: Option<&hyper::header::HeaderValue> = head.headers.get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut form = BTreeMap::new();
    let mut repeated = false;
    for (name, value) in url::form_urlencoded::parse(&body) {
        repeated |= form.insert(name.into_owned(), value.into_owned()).is_some();
    }
    let path = head.uri.path().to_owned();
    Ok(Request {
        at: clock::now(),
        system: system_of(&path),
        method: head.method.to_string(),
        query: head.uri.query().map(str::to_owned),
        content_type: header(CONTENT_TYPE),
        authorization: header(AUTHORIZATION),
        apikey: header(HeaderName::from_static("apikey")),
        path,
        form,
        repeated,
        status: None,
    })
}

fn system_of(path: &str) -> Option<System> {
    // The realm's own paths, and where RFC 8414 section 3.1 would have its metadata: it has none there.
    if path.contains(lev::REALM) {
        Some(System::Lev)
    } else if path.starts_with("/tenant/") {
        Some(System::Entra)
    } else {
        (path == nhs::TOKEN_PATH).then_some(System::Nhs)
    }
}
