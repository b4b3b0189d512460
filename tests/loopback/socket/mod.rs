//! The real socket server over tokens made by hand; the test plays the core.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bearerd::api::requests::RefreshRequest;
use bearerd::api::{self, Api, Protocol};
use bearerd::clock;
use bearerd::config::{
    BodyFormat, ClientAuth, ClientConfig, ClientId, Endpoint, Environment, GrantConfig, HttpsUrl,
    TlsConfig, TokenConfig,
};
use bearerd::store::{Consumers, DaemonView, EventBus, Published, Publisher, Standing, TokenView};
use bearerd::token::Token;
use bearerd_core::credential::{TokenName, Validity};
use bearerd_core::refresh::{ErrorState, Health, Limits, Reason, RefreshAt, Status};
use secrecy::ExposeSecret;
use tokio::sync::{mpsc, oneshot, watch};

pub struct World {
    pub directory: tempfile::TempDir,
    pub socket: PathBuf,
    pub credentials: PathBuf,
    pub oidc_agent: PathBuf,
    pub registry: watch::Sender<Arc<BTreeMap<TokenName, watch::Receiver<TokenView>>>>,
    pub daemon: watch::Sender<DaemonView>,
    pub consumers: Consumers,
    pub events: EventBus,
    tokens: BTreeMap<TokenName, Publisher>,
    refreshes: mpsc::Receiver<RefreshRequest>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// Serves the three sockets until told to stop.
fn serve(
    listeners: [std::os::unix::net::UnixListener; 3],
    api: Api,
    limits: api::Limits,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listeners = listeners.map(|l| tokio::net::UnixListener::from_std(l).unwrap());
        let [http, agent, credentials] = listeners;
        let bound = api::Listener::Bound;
        let http = api::serve(bound(http), api.clone(), Protocol::Http, limits);
        let agent = api::serve(bound(agent), api.clone(), Protocol::OidcAgent, limits);
        let clients = async { tokio::try_join!(http, agent) };
        let environment = Arc::new(Environment::default());
        tokio::select! {
            end = clients => { end.unwrap(); }
            error = api::credentials::serve(credentials, api, environment) => panic!("{error}"),
            _ = stopped => {}
        }
    });
}

impl World {
    pub fn new(views: impl IntoIterator<Item = TokenView>) -> Self {
        Self::limited(api::Limits::of_process(), views)
    }

    pub fn limited(limits: api::Limits, views: impl IntoIterator<Item = TokenView>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bearerd.sock");
        let listener = api::bind(&socket, Duration::ZERO).unwrap();
        let credentials = directory.path().join("credentials.sock");
        let credentials_listener = api::bind(&credentials, Duration::ZERO).unwrap();
        let oidc_agent = directory.path().join("oidc-agent.sock");
        let oidc_agent_listener = api::bind(&oidc_agent, Duration::ZERO).unwrap();
        let (daemon, daemon_view) = watch::channel(DaemonView::default());
        let (registry, tokens) = watch::channel(Arc::default());
        let (refresh, refreshes) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel();
        let consumers = Consumers::default();
        let events = EventBus::default();
        let api = Api {
            tokens,
            daemon: daemon_view,
            events: events.clone(),
            refreshes: refresh,
            logins: mpsc::channel(1).0,
            logouts: mpsc::channel(1).0,
            consumers: consumers.clone(),
        };
        let listeners = [listener, oidc_agent_listener, credentials_listener];
        let server = std::thread::spawn(move || serve(listeners, api, limits, stopped));
        let mut world = Self {
            directory,
            socket,
            credentials,
            oidc_agent,
            registry,
            daemon,
            consumers,
            events,
            tokens: BTreeMap::new(),
            refreshes,
            stop: Some(stop),
            server: Some(server),
        };
        for view in views {
            world.configure(view);
        }
        world
    }

    /// Adds a token, or gives one a new channel as a new configuration does.
    pub fn configure(&mut self, view: TokenView) {
        let name = view.config.name.clone();
        let publisher = Publisher::new(view, self.events.clone());
        self.registry.send_modify(|tokens| {
            let mut new = BTreeMap::clone(tokens);
            new.insert(name.clone(), publisher.subscribe());
            *tokens = Arc::new(new);
        });
        publisher.tell_configured();
        self.tokens.insert(name, publisher);
    }

    pub fn remove(&mut self, name: &str) {
        let name = TokenName::parse(name).unwrap();
        self.registry.send_modify(|tokens| {
            let mut new = BTreeMap::clone(tokens);
            new.remove(&name);
            *tokens = Arc::new(new);
        });
        self.tokens.remove(&name).unwrap().tell_removed();
    }

    /// Has a token stand as in `view`, by the steps that the daemon takes.
    pub fn publish(&self, view: TokenView) {
        let publisher = &self.tokens[&view.config.name];
        let standing = view.standing;
        publisher.set_status(standing.status, standing.last_error);
        publisher.set_output_errors(standing.output_errors);
        let Some(wanted) = view.current else {
            return publisher.withdraw();
        };
        publisher.publish(clock::now(), wanted.clone());
        let shown = publisher.view().current.clone();
        let secret = |token: &Published| token.token.access_token.expose_secret().to_owned();
        assert_eq!(
            shown.map(|shown| (shown.generation, secret(&shown))),
            Some((wanted.generation, secret(&wanted))),
            "nobody sees a token that has expired or is older than the current one"
        );
    }

    /// Withdraws a token, as it is when it expires.
    pub fn withdraw(&self, name: &str) {
        self.publisher(name).withdraw();
    }

    /// A request for a token is under way.
    pub fn begin_attempt(&self, name: &str) {
        let publisher = self.publisher(name);
        let standing = publisher.view().standing.clone();
        let status = Status {
            in_flight: true,
            ..standing.status
        };
        publisher.set_status(status, standing.last_error);
    }

    fn publisher(&self, name: &str) -> &Publisher {
        &self.tokens[&TokenName::parse(name).unwrap()]
    }

    /// Waits until so many requests wait for a token: each has a receiver, as has the registry.
    pub fn wait_for_waiting(&self, name: &str, requests: usize) {
        let publisher = self.publisher(name);
        support::eventually("requests that wait", Duration::from_secs(15), || {
            (publisher.readers() > requests).then_some(())
        });
    }

    /// Waits for the next request, which must be to refresh `name`. Returns the generation that is not wanted.
    pub fn asked_for(&mut self, name: &str) -> Option<u64> {
        let Some(request) = self.refreshes.blocking_recv() else {
            panic!("nobody serves");
        };
        assert_eq!(request.name.as_str(), name);
        request.instead_of
    }

    /// Whether nothing was asked for since.
    pub fn nothing_asked(&mut self) -> bool {
        self.refreshes.try_recv().is_err()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            let ended = server.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// A token and how it stands, to be changed step by step.
#[derive(Clone)]
pub struct Made(pub TokenView);

/// A configured token without anything yet.
pub fn pending(name: &str) -> Made {
    Made(TokenView {
        config: Arc::new(config(name)),
        current: None,
        standing: Standing {
            status: Status {
                validity: None,
                health: Health::Pending,
                in_flight: true,
                queued: false,
                waits_for_parent: false,
                login_due_at: None,
                next_attempt_at: None,
                failures: 0,
                attempts: 0,
            },
            last_error: None,
            output_errors: Vec::new(),
        },
    })
}

/// A fresh token of generation 1 that lives an hour and was asked for now.
pub fn fresh(name: &str, secret: &str) -> Made {
    pending(name).obtained(1, secret, 3600, 0)
}

impl Made {
    /// A success: `secret` lives `lifetime` seconds and was asked for `age` seconds ago.
    pub fn obtained(mut self, generation: u64, secret: &str, lifetime: u64, age: u64) -> Self {
        let obtained_at = clock::now().saturating_sub(Duration::from_secs(age));
        let validity = Validity {
            obtained_at,
            expires_at: obtained_at + Duration::from_secs(lifetime),
            refresh: None,
            id_token_expires_at: None,
        };
        let status = &mut self.0.standing.status;
        status.validity = Some(validity);
        status.health = Health::Fresh;
        status.in_flight = false;
        status.next_attempt_at = Some(obtained_at + Duration::from_secs(lifetime * 3 / 4));
        status.failures = 0;
        status.attempts += 1;
        self.0.standing.last_error = None;
        self.0.current = Some(Published {
            token: Arc::new(Token {
                access_token: secret.into(),
                token_type: "Bearer".into(),
                scope: Some("openid profile".into()),
                id_token: None,
                refresh_token: Some("refresh-canary".into()),
                validity,
            }),
            generation,
        });
        self
    }

    /// A failed attempt.
    pub fn failed(mut self, state: ErrorState, reason: Reason, error: &str) -> Self {
        let status = &mut self.0.standing.status;
        status.health = Health::Failing { state, reason };
        status.in_flight = false;
        status.next_attempt_at = Some(clock::now() + Duration::from_secs(20));
        status.failures += 1;
        status.attempts += 1;
        self.0.standing.last_error = Some(error.into());
        self
    }
}

fn config(name: &str) -> TokenConfig {
    let url = "https://sso.test/token";
    TokenConfig {
        name: TokenName::parse(name).unwrap(),
        client: Some(Arc::new(ClientConfig {
            name: "sso".into(),
            login_endpoints: Default::default(),
            endpoint: Endpoint::TokenEndpoint(HttpsUrl {
                text: url.into(),
                url: url.parse().unwrap(),
            }),
            revocation_endpoint: None,
            client_id: ClientId::Given("id".into()),
            auth: ClientAuth::None,
            refresh_auth: None,
            tls: TlsConfig::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            body: BodyFormat::Form,
            limits: Limits {
                max_in_flight: 1,
                requests_per_minute: None,
            },
            rotation_grace: Duration::ZERO,
        })),
        scope: Vec::new(),
        audience: Vec::new(),
        resource: Vec::new(),
        params: BTreeMap::new(),
        grant: GrantConfig::ClientCredentials,
        refresh_at: RefreshAt::Permille(750),
        assume_lifetime: None,
        required: true,
        files: Vec::new(),
        hooks: Vec::new(),
        allow: Vec::new(),
        login: Vec::new(),
        follow_source: false,
        revoke_on_removal: false,
        inactivity: None,
        login_notice: Duration::from_secs(900),
        identity: [0; 16],
    }
}
