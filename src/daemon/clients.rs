//! The thread that serves clients, so that nobody who reads a token waits for what the daemon does
//! meanwhile.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::api::{self, Api, ApiError, Limits, Listener, Passed, Protocol};
use crate::config::{DaemonConfig, Environment};
use crate::failpoint;

use super::error::DaemonError;
use super::runtime::runtime;

/// The thread that serves clients, if there is one.
pub(super) struct Clients {
    /// `None` where nobody is served, and once the thread has ended.
    thread: Option<JoinHandle<Result<(), ApiError>>>,
    /// The channel has room for one beat until the thread has heard it.
    heart: mpsc::Sender<()>,
}

impl Clients {
    /// Nobody is served.
    pub(super) fn none() -> Self {
        Self {
            thread: None,
            heart: mpsc::channel(1).0,
        }
    }

    /// Binds the sockets that were not passed, and serves clients there.
    pub(super) fn serve(
        config: &DaemonConfig,
        passed: Passed,
        api: Api,
        environment: &Arc<Environment>,
    ) -> Result<Self, DaemonError> {
        let (heart, mut beats) = mpsc::channel(1);
        let runtime_dir = &config.runtime_dir;
        runtime_directory(runtime_dir)?;
        let listen = |passed: Option<_>, name| match passed {
            Some(listener) => Ok(listener),
            None => api::bind(&runtime_dir.join(name), HANDOVER),
        };
        let is_passed = passed.http.is_some();
        let http = listen(passed.http, "bearerd.sock")?;
        let credentials = listen(passed.credentials, "credentials.sock")?;
        let oidc_agent = config.oidc_agent.then(|| listen(None, "oidc-agent.sock"));
        let oidc_agent = oidc_agent.transpose()?;
        let (limits, environment) = (Limits::of_process(), Arc::clone(environment));
        let served = async move {
            // In the runtime that serves it.
            let made = |listener| UnixListener::from_std(listener).map_err(ApiError::Accept);
            let http = match (made(http)?, is_passed) {
                (listener, true) => Listener::Passed(listener),
                (listener, false) => Listener::Bound(listener),
            };
            let (credentials, oidc_agent) = (made(credentials)?, oidc_agent.map(made).transpose()?);
            let http = api::serve(http, api.clone(), Protocol::Http, limits);
            let oidc_agent = async {
                let Some(listener) = oidc_agent.map(Listener::Bound) else {
                    return Ok(());
                };
                api::serve(listener, api.clone(), Protocol::OidcAgent, limits).await
            };
            // When the daemon is about to end, each lets its own clients end.
            let clients = async { tokio::try_join!(http, oidc_agent).map(|_| ()) };
            let listen_to_beats = async {
                while beats.recv().await.is_some() {
                    failpoint::stall("beat");
                }
                std::future::pending().await
            };
            tokio::select! {
                () = listen_to_beats => Ok(()),
                end = clients => end,
                end = api::credentials::serve(credentials, api.clone(), environment) => Err(end),
            }
        };
        // Not before all else that can fail: tasks may not drop a runtime.
        let mut builder = runtime(4);
        // A crowd that goes keeps nobody waiting who has just asked for something.
        let runtime = builder.event_interval(2).build();
        let runtime = runtime.map_err(DaemonError::Runtime)?;
        let thread = tokio::task::spawn_blocking(move || {
            let end = runtime.block_on(served);
            runtime.shutdown_background();
            end
        });
        Ok(Self {
            thread: Some(thread),
            heart,
        })
    }

    /// Waits until the thread has ended; for ever when there is none.
    ///
    /// # Errors
    /// When the thread panicked: a defect.
    pub(super) async fn ended(&mut self) -> Result<Result<(), ApiError>, JoinError> {
        let Some(thread) = &mut self.thread else {
            return std::future::pending().await;
        };
        let end = thread.await;
        self.thread = None;
        end
    }

    /// Waits until the thread, if there is one, has ended. It ends when the daemon's view says that
    /// the daemon is stopping, and does not take long over it.
    pub(super) async fn end(self) {
        if let Some(thread) = self.thread {
            let _ = thread.await;
        }
    }

    /// Whether the thread, if there is one, has heard all beats but this one.
    pub(super) fn are_served(&self) -> bool {
        self.thread.is_none() || self.heart.try_send(()).is_ok()
    }
}

/// How long a killed daemon's sockets may outlive it.
const HANDOVER: Duration = Duration::from_secs(1);

/// Makes the directory of the sockets.
fn runtime_directory(path: &Path) -> Result<(), DaemonError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path);
    made.map_err(|cause| DaemonError::Directory {
        path: path.into(),
        cause,
    })
}
