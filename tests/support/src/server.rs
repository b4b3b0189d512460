//! An authorization server on loopback, on a thread and a runtime of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::fault::Fault;
use super::keys::Tls;
use super::record::{Log, System};
use super::state::{Settings, Shared, State};
use super::{entra, lev, nhs};

#[derive(Clone, Copy, PartialEq)]
enum Switch {
    Refuse,
    Serve,
    Stop,
}

/// The running server. Dropping it ends it.
pub struct Server {
    shared: Arc<Shared>,
    switch: watch::Sender<Switch>,
    thread: Option<JoinHandle<()>>,
    /// With https: the certificate to trust, PEM.
    pub ca_pem: Option<String>,
}

impl Server {
    /// Starts one on http.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        Self::launch(settings, None)
    }

    /// Starts one on https, with a certificate authority of its own.
    #[must_use]
    pub fn start_tls(settings: Settings) -> Self {
        Self::launch(settings, Some(Tls::new()))
    }

    fn launch(settings: Settings, tls: Option<Tls>) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let reserved = bound(any_port).expect("a loopback port");
        let address = reserved.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared::default());
        shared.with(|state| {
            state.origin = format!("{scheme}://{address}");
            state.settings = settings;
        });
        let (switch, switched) = watch::channel(Switch::Serve);
        let (ca_pem, acceptor) = match tls {
            Some(tls) => (Some(tls.ca_pem), Some(tls.acceptor)),
            None => (None, None),
        };
        let accepting = Accepting {
            reserved,
            acceptor,
            shared: Arc::clone(&shared),
            switched,
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let outcome = runtime.and_then(|runtime| runtime.block_on(accepting.run()));
            outcome.expect("the server's socket");
        });
        let server = Self {
            shared,
            switch,
            thread: Some(thread),
            ca_pem,
        };
        server.wait_for("listening", SWITCH_TIMEOUT, |log| {
            log.listening.then_some(())
        });
        server
    }

    /// Scheme, address and port.
    #[must_use]
    pub fn origin(&self) -> String {
        self.with(|state| state.origin.clone())
    }

    /// LEV's issuer.
    #[must_use]
    pub fn lev_issuer(&self) -> String {
        self.origin() + lev::REALM
    }

    /// Arden & GEM's token endpoint.
    #[must_use]
    pub fn entra_url(&self) -> String {
        self.origin() + entra::TOKEN_PATH
    }

    /// NHS England's token endpoint.
    #[must_use]
    pub fn nhs_url(&self) -> String {
        self.origin() + nhs::TOKEN_PATH
    }

    /// Reads or changes anything.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(work)
    }

    /// For threads that outlive the borrow.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Changes the settings.
    pub fn change(&self, work: impl FnOnce(&mut Settings)) {
        self.with(|state| work(&mut state.settings));
    }

    /// Reads what was seen.
    pub fn log<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        self.shared.peek(read)
    }

    /// The next token request of this system meets this, the one after it the next queued.
    pub fn queue_fault(&self, system: System, fault: Fault) {
        self.with(|state| state.queue.push_back((system, fault)));
    }

    /// Every request meets this until it is changed.
    pub fn fault(&self, fault: Option<&Fault>) {
        for system in System::ALL {
            self.fault_of(system, fault);
        }
    }

    /// Every request of this system meets this until it is changed.
    pub fn fault_of(&self, system: System, fault: Option<&Fault>) {
        self.with(|state| match fault {
            Some(fault) => state.modes.insert(system, fault.clone()),
            None => state.modes.remove(&system),
        });
    }

    /// Refuses connections, and cuts those there are; or accepts them again. The port stays ours.
    pub fn outage(&self, on: bool) {
        self.switch
            .send_replace(if on { Switch::Refuse } else { Switch::Serve });
        let done = |log: &Log| (log.listening != on).then_some(());
        self.wait_for("the switch of the listener", SWITCH_TIMEOUT, done);
    }

    /// Whether an API would accept this token now. Counted.
    #[must_use]
    pub fn check(&self, access_token: &str) -> bool {
        self.with(|state| connection::check(&mut state.log, access_token))
    }

    /// Makes a refresh token as a login at LEV would have.
    #[must_use]
    pub fn seed_lev(&self) -> String {
        self.with(lev::seed_refresh_token)
    }

    /// Makes a refresh token as a login at NHS England would have.
    #[must_use]
    pub fn seed_refresh_token(&self) -> String {
        self.with(nhs::seed_refresh_token)
    }

    /// Waits until the log holds what the probe looks for.
    #[track_caller]
    pub fn wait_for<T>(
        &self,
        what: &str,
        timeout: Duration,
        mut probe: impl FnMut(&Log) -> Option<T>,
    ) -> T {
        let found = self.shared.wait(timeout, &mut probe);
        found.unwrap_or_else(|| {
            let seen = self.shared.peek(summary);
            panic!("not within {timeout:?}: {what}; {seen}")
        })
    }

    /// How many token requests a system has got.
    #[must_use]
    pub fn requests(&self, system: System) -> usize {
        self.log(|log| log.token_requests(system))
    }

    /// How many tokens a system has issued.
    #[must_use]
    pub fn issued(&self, system: System) -> usize {
        self.log(|log| log.issued_by(system))
    }

    /// Waits until a system has got so many token requests in all: count first, then cause them.
    #[track_caller]
    pub fn wait_requests(&self, system: System, count: usize, timeout: Duration) {
        let enough = |log: &Log| (log.token_requests(system) >= count).then_some(());
        self.wait_for(&format!("{count} requests to {system:?}"), timeout, enough);
    }

    /// Waits until a system has issued so many tokens in all: count first, then cause them.
    #[track_caller]
    pub fn wait_issued(&self, system: System, count: usize, timeout: Duration) {
        let enough = |log: &Log| (log.issued_by(system) >= count).then_some(());
        self.wait_for(&format!("{count} tokens of {system:?}"), timeout, enough);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.switch.send_replace(Switch::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn summary(log: &Log) -> String {
    let last = log.requests.iter().rev().take(8).rev();
    let last: Vec<_> = last
        .map(|r| format!("{} {} -> {:?}", r.method, r.path, r.status))
        .collect();
    let (requests, issued) = (log.requests.len(), log.issued.len());
    format!("{requests} requests, {issued} tokens issued; the last: {last:#?}")
}

struct Accepting {
    /// Bound and never listening: nobody else gets the port, whatever the switch says.
    reserved: TcpSocket,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    switched: watch::Receiver<Switch>,
}

impl Accepting {
    async fn run(mut self) -> io::Result<()> {
        loop {
            let switch = *self.switched.borrow_and_update();
            match switch {
                Switch::Refuse => {
                    self.listening(false);
                    if self.switched.changed().await.is_err() {
                        return Ok(());
                    }
                }
                Switch::Serve => self.serve().await?,
                Switch::Stop => return Ok(()),
            }
        }
    }

    /// Until the switch is turned.
    async fn serve(&mut self) -> io::Result<()> {
        let address = self.reserved.local_addr()?;
        let listener: TcpListener = bound(address)?.listen(1024)?;
        self.listening(true);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let acceptor = self.acceptor.clone();
                    let shared = Arc::clone(&self.shared);
                    shared.with(|state| state.log.connections += 1);
                    connections.spawn(async move {
                        connection::serve(stream, acceptor, Arc::clone(&shared)).await;
                        shared.with(|state| state.log.connections -= 1);
                    });
                }
                Some(_) = connections.join_next() => {}
                _ = self.switched.changed() => break,
            }
        }
        connections.shutdown().await;
        self.shared.with(|state| state.log.connections = 0);
        Ok(())
    }

    fn listening(&self, on: bool) {
        self.shared.with(|state| state.log.listening = on);
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Several sockets may be bound to one address as long as one of them listens at most.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);
