//! Configurations, and calls with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bearerd::config::{
    AssertionConfig, BodyFormat, ClientAuth, ClientConfig, ClientId, ClientSecret, Endpoint,
    Environment, GrantConfig, HttpsUrl, PasswordGrant, SecretRef, TlsConfig, TokenConfig,
};
use bearerd::oauth::{Client, InputTokens, ObtainError, Registration, obtain};
use bearerd::token::Token;
use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Limits, RefreshAt, Use};
use secrecy::SecretString;

pub(crate) const TOKEN: &str =
    r#"{"access_token":"token-1","expires_in":60,"token_type":"Bearer"}"#;

pub(crate) fn url(text: &str) -> HttpsUrl {
    HttpsUrl {
        text: text.into(),
        url: text.parse().unwrap(),
    }
}

pub(crate) fn client(token_endpoint: &str) -> ClientConfig {
    ClientConfig {
        name: "c".into(),
        login_endpoints: Default::default(),
        endpoint: Endpoint::TokenEndpoint(url(token_endpoint)),
        revocation_endpoint: None,
        client_id: ClientId::Given("id".into()),
        auth: ClientAuth::ClientSecretPost {
            client_secret: client_secret("SECRET"),
        },
        refresh_auth: None,
        tls: TlsConfig::default(),
        proxy: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        body: BodyFormat::Form,
        limits: Limits {
            max_in_flight: 4,
            requests_per_minute: None,
        },
        rotation_grace: Duration::ZERO,
    }
}

pub(crate) fn env(name: &str) -> SecretRef {
    SecretRef::Env(name.into())
}

pub(crate) fn client_secret(name: &str) -> ClientSecret {
    ClientSecret::Secret(env(name))
}

pub(crate) fn environment() -> Environment {
    Environment::from([("SECRET", "canary-secret"), ("PASSWORD", "canary-password")])
}

pub(crate) fn assertion() -> AssertionConfig {
    AssertionConfig {
        kid: None,
        typ: "JWT".into(),
        audience: None,
        lifetime: Duration::from_secs(60),
        certificate: None,
        x5t: false,
        x5t_s256: false,
        claims: BTreeMap::new(),
    }
}

pub(crate) fn password() -> GrantConfig {
    GrantConfig::Password(PasswordGrant {
        username: "u".into(),
        password: env("PASSWORD"),
    })
}

/// One token of one client, loaded.
pub(crate) struct Setup {
    pub(crate) registration: Arc<Registration>,
    pub(crate) token: Arc<TokenConfig>,
}

impl Setup {
    pub(crate) fn new(client: ClientConfig, grant: GrantConfig) -> Self {
        let client = Arc::new(client);
        let loaded = Client::load(Arc::clone(&client), environment());
        let Ok(Client::Ready(registration)) = loaded else {
            panic!("{:?}", loaded.err());
        };
        let token = TokenConfig {
            name: TokenName::parse("t").unwrap(),
            client: Some(client),
            scope: vec!["s".into()],
            audience: Vec::new(),
            resource: Vec::new(),
            params: BTreeMap::new(),
            grant,
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
        };
        Self {
            registration,
            token: Arc::new(token),
        }
    }

    pub(crate) async fn primary(&self) -> Result<Token, ObtainError> {
        self.obtain(Use::Primary, None).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Token, ObtainError> {
        let refresh_token = SecretString::from(refresh_token);
        self.obtain(Use::RefreshToken, Some(refresh_token)).await
    }

    /// On its own task, as the daemon does it.
    async fn obtain(
        &self,
        by: Use,
        refresh_token: Option<SecretString>,
    ) -> Result<Token, ObtainError> {
        let carried = InputTokens {
            refresh_token,
            ..InputTokens::default()
        };
        self.obtain_with(by, carried).await
    }

    /// With tokens of ours in the request.
    pub(crate) async fn obtain_with(
        &self,
        by: Use,
        carried: InputTokens,
    ) -> Result<Token, ObtainError> {
        let (registration, token) = (Arc::clone(&self.registration), Arc::clone(&self.token));
        tokio::spawn(obtain(registration, token, by, carried))
            .await
            .unwrap()
    }
}

/// Writes a file that only its owner may read.
#[expect(clippy::disallowed_methods, reason = "a test's own file")]
pub(crate) fn write(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
