//! Accepts clients until the daemon ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::time::{sleep, timeout};

use super::accept::{ACCEPT_BACKOFF, AfterAcceptError, after};
use super::connections::{Connections, Protocol};
use super::error::ApiError;
use crate::api::connection::{Limits, Server};
use crate::api::daemon::Api;
use crate::store::Registry;

/// A socket to serve.
#[derive(Debug)]
pub enum Listener {
    /// [`bind`](super::bind()) has bound the socket. Its mode follows the tokens' allow lists.
    Bound(tokio::net::UnixListener),
    /// Somebody has passed the socket to the daemon. Its mode is theirs to set.
    Passed(tokio::net::UnixListener),
}

/// Serves until the daemon is about to end. Requests under way have one second more.
///
/// # Errors
/// An [`ApiError`] when the socket accepts no more connections.
pub async fn serve(
    listener: Listener,
    api: Api,
    protocol: Protocol,
    limits: Limits,
) -> Result<(), ApiError> {
    let mut tokens = api.tokens.clone();
    let server = Server::new(api, limits);
    let mut connections = Connections::new(protocol);
    let (listener, mut open) = match listener {
        // Nobody else may connect yet.
        Listener::Bound(listener) => (listener, Some(false)),
        Listener::Passed(listener) => (listener, None),
    };
    open_to_all(&listener, &tokens, &mut open);
    loop {
        tokio::select! {
            Ok(()) = tokens.changed() => open_to_all(&listener, &tokens, &mut open),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.admit(&server, stream).await,
                Err(e) => match after(&e) {
                    AfterAcceptError::Retry => {}
                    AfterAcceptError::BackOff => {
                        tracing::warn!(error = %e, "cannot accept a connection");
                        connections.make_room();
                        sleep(ACCEPT_BACKOFF).await;
                    }
                    AfterAcceptError::GiveUp => return Err(ApiError::Accept(e)),
                },
            },
            () = connections.ended() => {}
            // Who is still in the queue is left to the next daemon, where the socket outlives this
            // one.
            () = server.api.stopping() => {
                let _ = timeout(LAST_ANSWERS, connections.all_ended()).await;
                return Ok(());
            }
        }
        server.open.store(connections.count(), Ordering::Relaxed);
    }
}

/// Lets everybody connect while any token has an allow list: the socket's mode knows no rules for
/// single tokens. What the kernel says of the peer decides then. `open` is `None` where the mode is
/// not ours to set.
fn open_to_all(listener: &tokio::net::UnixListener, tokens: &Registry, open: &mut Option<bool>) {
    let shared = tokens.borrow().values().any(|view| {
        let config = &view.borrow().config;
        !config.allow.is_empty() || !config.login.is_empty()
    });
    if open.is_none_or(|open| open == shared) {
        return;
    }
    let mode = if shared { 0o666 } else { 0o600 };
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let Some(path) = address.as_pathname() else {
        return;
    };
    match rustix::fs::chmod(path, Mode::from_raw_mode(mode)) {
        Ok(()) => *open = Some(shared),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "the socket's mode cannot be changed to {mode:o}");
        }
    }
}

/// How long requests under way may take when the daemon ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
