//! Takes the sockets that somebody else has bound, usually systemd (`sd_listen_fds(3)`).
//!
//! Such sockets outlive the daemon: clients that connect while it restarts wait in the sockets'
//! queues. The files and modes of the sockets belong to the socket unit.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::sockopt;

use super::error::ApiError;
use crate::config::Environment;

/// The sockets that were passed, each listening and closed on `exec`.
#[derive(Debug, Default)]
pub struct Passed {
    /// The socket for the HTTP API.
    pub http: Option<UnixListener>,
    /// The socket for systemd's credential protocol.
    pub credentials: Option<UnixListener>,
}

impl Passed {
    /// Takes the sockets that `$LISTEN_FDS` counts, if `$LISTEN_PID` says that they are for this
    /// process. It is to be called once, before there are threads.
    ///
    /// # Errors
    /// [`ApiError::Passed`] for a descriptor that is no listening Unix stream socket, one with
    /// another name than ours, and one too many.
    pub fn take(environment: &Environment) -> Result<Self, ApiError> {
        let number = |name| environment.var(name).and_then(|value| value.parse().ok());
        let count: u32 = number("LISTEN_FDS").unwrap_or_default();
        let mut passed = Self::default();
        if number("LISTEN_PID") != Some(std::process::id()) || count == 0 {
            return Ok(passed);
        }
        if count > MOST {
            return Err(ApiError::TooManyPassed(count));
        }
        let mut descriptors = ListenFd::from_env();
        let names = environment.var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        for index in 0..descriptors.len() {
            let name = names.next().map(str::to_owned);
            let failed = |cause| ApiError::Passed {
                name: name.clone().unwrap_or_else(|| format!("number {index}")),
                cause,
            };
            let listener = descriptors.take_unix_listener(index).map_err(failed)?;
            let listener = listener.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
            let listens = sockopt::socket_acceptconn(&listener).map_err(|e| failed(e.into()))?;
            if !listens {
                return Err(failed(io::ErrorKind::NotConnected.into()));
            }
            listener.set_nonblocking(true).map_err(failed)?;
            let own = name.clone().or_else(|| file_name(&listener));
            let slot = match own.as_deref() {
                Some("bearerd.sock" | "bearerd.socket") => &mut passed.http,
                Some("credentials.sock" | "bearerd-credentials.socket") => &mut passed.credentials,
                _ => return Err(ApiError::PassedName(own.unwrap_or_default())),
            };
            if slot.replace(listener).is_some() {
                return Err(ApiError::TooManyPassed(count));
            }
        }
        Ok(passed)
    }
}

/// The path that a socket is bound to, if it has one.
#[must_use]
pub fn path(listener: &UnixListener) -> Option<PathBuf> {
    let address = listener.local_addr().ok()?;
    Some(address.as_pathname()?.to_owned())
}

fn file_name(listener: &UnixListener) -> Option<String> {
    let name = path(listener)?.file_name()?.to_owned();
    name.into_string().ok()
}

/// How many sockets may be passed.
const MOST: u32 = 2;
