//! Speaks systemd's credential protocol: `LoadCredential=ID:/run/bearerd/credentials.sock`
//! (`systemd.exec(5)`).
//!
//! The service manager connects from the abstract address `\0<random>/unit/<unit>/<credential>`,
//! reads until the end, and gives the unit what it has read. The protocol knows no errors: when
//! something fails, nothing is sent, and the log says why.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::access::Peer;
use super::daemon::Api;
use super::listen::{ACCEPT_BACKOFF, AfterAcceptError, ApiError, after};
use super::problem::Problem;
use super::tokens::{self, Query};
use crate::clock;
use crate::config::{Environment, FileConfig, FileFormat, Format, FormatSettings, TokenConfig};
use crate::error_chain::error_chain;
use crate::format::{self, Content, FormatError, InputError, Inputs};
use crate::store::{Published, Registry};

/// Serves until it is dropped. It returns only when the socket accepts no more connections.
pub async fn serve(listener: UnixListener, api: Api, environment: Arc<Environment>) -> ApiError {
    let own_uid = rustix::process::geteuid().as_raw();
    let mut open = JoinSet::new();
    let mut stopping = false;
    loop {
        let has_room = open.len() < MAX_CONNECTIONS;
        tokio::select! {
            // Each connection ends by itself in bounded time; until then, the next ones wait in the
            // queue.
            accepted = listener.accept(), if !stopping && has_room => match accepted {
                Ok((stream, _)) => {
                    let (api, environment) = (api.clone(), Arc::clone(&environment));
                    open.spawn(async move { answer(stream, &api, environment, own_uid).await });
                }
                Err(e) => match after(&e) {
                    AfterAcceptError::Retry => {}
                    AfterAcceptError::BackOff => {
                        tracing::warn!(error = %e, "cannot accept a connection for a credential");
                        sleep(ACCEPT_BACKOFF).await;
                    }
                    AfterAcceptError::GiveUp => return ApiError::Accept(e),
                },
            },
            Some(_) = open.join_next() => {}
            () = api.stopping(), if !stopping => stopping = true,
            else => std::future::pending().await,
        }
    }
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the peer is neither root nor the daemon's own user")]
    Peer,
    #[error("the peer's address is not a service manager's: \\0<random>/unit/<unit>/<credential>")]
    Address,
    #[error(
        "no token is named so, alone or before one of \
         .raw, .headers, .json, .env, .curl, .netrc, .template"
    )]
    Credential,
    #[error("{0}")]
    Unavailable(String),
    /// The format needs more than the token, such as a template.
    #[error("token {0} has no file of that format to go by")]
    NoFile(TokenName),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("rendering the token was interrupted")]
    Interrupted(#[source] JoinError),
    #[error("cannot write to the service manager")]
    Write(#[source] io::Error),
}

/// Which unit asks for which credential, as the address says that the service manager connects
/// from.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Request {
    unit: String,
    credential: String,
}

impl Request {
    /// Reads an abstract address without its leading zero byte. Neither unit names nor credential
    /// names hold slashes.
    fn parse(address: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(address).ok()?;
        let mut parts = text.split('/');
        let (random, kind) = (parts.next()?, parts.next()?);
        let (unit, credential) = (parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && kind == "unit";
        let all = whole
            && [random, unit, credential]
                .iter()
                .all(|part| !part.is_empty());
        all.then(|| Self {
            unit: unit.to_owned(),
            credential: credential.to_owned(),
        })
    }
}

async fn answer(stream: UnixStream, api: &Api, environment: Arc<Environment>, own_uid: u32) {
    let request = match request(&stream, own_uid) {
        Ok(request) => request,
        Err(refusal) => {
            let peer = Peer::of(&stream);
            let (uid, pid) = peer.map(|peer| (peer.uid, peer.pid)).unzip();
            tracing::warn!(?uid, ?pid, error = %refusal, "no credential sent");
            return;
        }
    };
    let Request { unit, credential } = &request;
    // The peer has chosen the names.
    let (shown, wanted) = (unit.escape_debug(), credential.escape_debug());
    match send(stream, api, &request, environment).await {
        Ok((token, generation)) => {
            tracing::info!(
                %token,
                generation,
                unit = %shown,
                credential = %wanted,
                "credential sent"
            );
        }
        Err(refusal) => {
            let error = error_chain(&refusal);
            tracing::warn!(unit = %shown, credential = %wanted, error, "no credential sent");
        }
    }
}

fn request(stream: &UnixStream, own_uid: u32) -> Result<Request, Refusal> {
    let trusted = Peer::of(stream).is_some_and(|peer| peer.uid == 0 || peer.uid == own_uid);
    if !trusted {
        return Err(Refusal::Peer);
    }
    let address = stream.peer_addr().map_err(|_| Refusal::Address)?;
    let name = address.as_abstract_name().ok_or(Refusal::Address)?;
    Request::parse(name).ok_or(Refusal::Address)
}

async fn send(
    mut stream: UnixStream,
    api: &Api,
    request: &Request,
    environment: Arc<Environment>,
) -> Result<(TokenName, u64), Refusal> {
    let (name, format) = find(&request.credential, &api.tokens).ok_or(Refusal::Credential)?;
    let query = Query {
        min_ttl: None,
        wait: Some(FIRST_TOKEN),
    };
    let unavailable = |problem: Problem| Refusal::Unavailable(problem.detail.into());
    let published = loop {
        let published = tokens::read(api, &name, query).await.map_err(unavailable)?;
        // Before it is sent: whoever reloads consumers of an older token finds this one, or it is
        // sent the newer.
        api.consumers
            .note(&name, &request.unit, published.generation);
        let now = tokens::read(api, &name, query).await.map_err(unavailable)?;
        if now.generation == published.generation {
            break published;
        }
    };
    let config = tokens::view(api, &name).map_err(unavailable)?.config;
    let generation = published.generation;
    let file = file_of(&config, format).ok_or_else(|| Refusal::NoFile(name.clone()))?;
    let blocks = Inputs::are_files(&file);
    let work = move || render(&config.name, &file, &published, &environment);
    let bytes = if blocks {
        let rendered = tokio::task::spawn_blocking(work).await;
        rendered.map_err(Refusal::Interrupted)??
    } else {
        work()?
    };
    let written = timeout(WRITE_TIMEOUT, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    });
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let written = written.await.map_err(timed_out).flatten();
    written.map_err(Refusal::Write)?;
    Ok((name, generation))
}

/// Finds the token that a credential's name means, and the format. A token's whole name is tried
/// first, as it may hold dots.
fn find(credential: &str, tokens: &Registry) -> Option<(TokenName, Format)> {
    let tokens = tokens.borrow();
    let known = |name: &str| {
        TokenName::parse(name)
            .ok()
            .filter(|name| tokens.contains_key(name))
    };
    if let Some(name) = known(credential) {
        return Some((name, Format::Raw));
    }
    let (name, format) = credential.rsplit_once('.')?;
    Some((known(name)?, Format::named(format)?))
}

/// Chooses the token's own file of that format, else one with the format's defaults.
fn file_of(config: &TokenConfig, format: Format) -> Option<FileConfig> {
    let mut files = config.files.iter();
    let own = files.find(|file| file.format.format() == format);
    own.cloned().or_else(|| default_file(format))
}

/// A file that exists only to be rendered; `None` where a format has no defaults.
fn default_file(format: Format) -> Option<FileConfig> {
    let format = FileFormat::new(format, FormatSettings::default())?;
    Some(FileConfig::new(PathBuf::new(), format))
}

fn render(
    name: &TokenName,
    file: &FileConfig,
    published: &Published,
    environment: &Environment,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let inputs = Inputs::read(file, environment)?;
    let content = Content {
        name,
        token: &published.token,
        generation: published.generation,
        now: clock::now(),
        unix_now: clock::unix_now(),
    };
    Ok(format::render(file, &content, &inputs)?)
}

/// How long a unit's start may wait for the first token; systemd itself waits for 90 seconds.
const FIRST_TOKEN: Duration = Duration::from_secs(30);
const MAX_CONNECTIONS: usize = 256;
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parsed = |address: &str| {
            Request::parse(address.as_bytes()).map(|request| (request.unit, request.credential))
        };
        let pair = |unit: &str, credential: &str| Some((unit.into(), credential.into()));
        assert_eq!(parsed("f3a0/unit/a.service/lev"), pair("a.service", "lev"));
        assert_eq!(
            parsed("f3a0/unit/a@x-\\x2d.service/lev.json"),
            pair("a@x-\\x2d.service", "lev.json")
        );
        for bad in [
            "",
            "f3a0",
            "f3a0/unit/a.service",
            "f3a0/unit/a.service/",
            "f3a0/unit//lev",
            "/unit/a.service/lev",
            "f3a0/user/a.service/lev",
            "f3a0/unit/a.service/lev/more",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
        assert_eq!(Request::parse(b"f3a0/unit/\xff/lev"), None);
    }

    #[test]
    fn some_formats_go_by_a_file_of_the_token() {
        for format in Format::ALL {
            let default = default_file(format);
            let by_file = ["netrc", "template"].contains(&format.name());
            assert_eq!(default.is_none(), by_file, "{format:?}");
            assert!(default.is_none_or(|file| file.format.format() == format));
        }
    }

    #[test]
    fn the_refusal_names_every_format() {
        let refusal = Refusal::Credential.to_string();
        for format in Format::ALL {
            let suffix = format!(".{}", format.name());
            assert!(refusal.contains(&suffix), "{suffix}");
        }
    }
}
