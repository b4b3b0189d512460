//! What follows from a token's configuration: the core's policy, and the files to watch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use super::environment::Environment;
use super::model::{
    AssertionConfig, ClientAuth, ClientConfig, Endpoint, FileFormat, FormValue, GrantConfig,
    HeaderValue, TokenConfig, TokenRef,
};
use super::secret_ref::SecretRef;
use crate::credential::TokenName;
use crate::refresh::{Grant, Policy, ServerId, Source};

impl TokenConfig {
    /// What the core has to know of this token.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let client = &self.client;
        Policy {
            server: ServerId(server(&client.endpoint).into()),
            limits: client.limits,
            grant: match self.grant {
                // A refused form is like a refused password: not to be tried again.
                GrantConfig::AuthorizationCode(ref grant) if grant.form_login.is_some() => {
                    Grant::Password
                }
                GrantConfig::AuthorizationCode(_) => Grant::Login,
                GrantConfig::ClientCredentials => Grant::ClientCredentials,
                GrantConfig::Password { .. } => Grant::Password,
                GrantConfig::RefreshToken { .. } => Grant::RefreshToken,
                GrantConfig::TokenExchange(_) => Grant::Exchange,
            },
            sources: self.sources(),
            follows_sources: self.follow_source,
            inactivity: self.inactivity,
            login_notice: self.login_notice,
            rotation_grace: client.rotation_grace,
            refresh_at: self.refresh_at,
            // Two places of metadata, and the token request, again where the clock was wrong: each ends by
            // itself in time, and a rotated refresh token in the last answer must not be given up before.
            deadline: 4 * client.timeout + SLACK,
            identity: self.identity,
        }
    }

    /// The first half of a SHA-256 over everything that decides what is obtained. Each part is preceded by
    /// its length: no two configurations make the same bytes. See [`Policy::identity`].
    pub(super) fn identify(&self, others: &BTreeMap<TokenName, Arc<Self>>) -> [u8; 16] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut part = |text: &str| {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        match &self.client.endpoint {
            Endpoint::Issuer(url) => ["issuer", &url.text].map(&mut part),
            Endpoint::TokenEndpoint(url) => ["token_endpoint", &url.text].map(&mut part),
        };
        part(&self.client.client_id);
        match &self.grant {
            GrantConfig::ClientCredentials => part("client_credentials"),
            GrantConfig::Password { username, .. } => {
                part("password");
                part(username);
            }
            GrantConfig::AuthorizationCode(grant) => {
                part("authorization_code");
                for (name, value) in &grant.authorization_params {
                    part(name);
                    part(value);
                }
                for (name, value) in grant.form_login.iter().flatten() {
                    part(name);
                    if let FormValue::Plain(value) = value {
                        part(value);
                    }
                }
            }
            GrantConfig::RefreshToken { .. } => part("refresh_token"),
            GrantConfig::TokenExchange(grant) => {
                part("token_exchange");
                for typed in [Some(&grant.subject), grant.actor.as_ref()] {
                    part(typed.map_or("", |typed| &typed.token_type));
                }
                part(grant.requested_token_type.as_deref().unwrap_or_default());
            }
        }
        for source in self.sources() {
            if let Some(other) = others.get(&source.name) {
                part(&format!("{:?} {:?}", source.part, other.identity));
            }
        }
        for list in [&self.scope, &self.audience, &self.resource] {
            part(&list.len().to_string());
            list.iter().for_each(|text| part(text));
        }
        for (name, value) in &self.params {
            part(name);
            part(value);
        }
        let mut identity = [0; 16];
        identity.copy_from_slice(&hash.finish().as_ref()[..16]);
        identity
    }

    /// Whether a first request may be repeated: it needs no person and spends nothing.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match &self.grant {
            GrantConfig::AuthorizationCode(grant) => grant.form_login.is_some(),
            GrantConfig::ClientCredentials
            | GrantConfig::Password { .. }
            | GrantConfig::TokenExchange(_) => true,
            GrantConfig::RefreshToken { .. } => false,
        }
    }

    /// The tokens that its requests carry.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        self.grant
            .tokens()
            .filter_map(|token| match token {
                TokenRef::Secret(_) => None,
                TokenRef::Token { name, part } => Some(Source {
                    name: name.clone(),
                    part: *part,
                    on_refresh: false,
                }),
            })
            .collect()
    }

    /// The files whose change may change this token's requests: its own and its client's.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths = self.client.inputs(environment);
        let secrets = self.grant.secrets().into_iter();
        paths.extend(secrets.filter_map(|(_, secret)| secret.path(environment)));
        paths.sort();
        paths.dedup();
        paths
    }

    /// The files whose change may change what this token's files contain: templates, secrets in headers.
    #[must_use]
    pub fn output_inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let headers = self
            .header_secrets()
            .filter_map(|(_, secret)| secret.path(environment));
        let templates = self.files.iter().filter_map(|file| match &file.format {
            FileFormat::Template { template } => Some(template.clone()),
            _ => None,
        });
        headers.chain(templates).collect()
    }

    /// The token's own secrets, each with the key or the header that refers to it.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        self.grant
            .secrets()
            .into_iter()
            .chain(self.header_secrets())
    }

    fn header_secrets(&self) -> impl Iterator<Item = (&str, &SecretRef)> {
        let headers = self.files.iter().flat_map(|file| &file.headers);
        headers.filter_map(|(header, value)| match value {
            HeaderValue::Plain(_) => None,
            HeaderValue::Secret(secret) => Some((header.as_str(), secret)),
        })
    }
}

impl GrantConfig {
    /// The secrets of the grant, each with the key that refers to it.
    fn secrets(&self) -> Vec<(&str, &SecretRef)> {
        match self {
            Self::AuthorizationCode(grant) => {
                let fields = grant.form_login.iter().flatten();
                fields
                    .filter_map(|(name, value)| match value {
                        FormValue::Plain(_) => None,
                        FormValue::Secret(secret) => Some((name.as_str(), secret)),
                    })
                    .collect()
            }
            Self::ClientCredentials => Vec::new(),
            Self::Password { password, .. } => vec![("password", password)],
            Self::RefreshToken { refresh_token } => vec![("refresh_token", refresh_token)],
            Self::TokenExchange(grant) => {
                let typed = [
                    Some(("subject_token", &grant.subject)),
                    grant.actor.as_ref().map(|actor| ("actor_token", actor)),
                ];
                let typed = typed.into_iter().flatten();
                typed
                    .filter_map(|(key, typed)| match &typed.token {
                        TokenRef::Secret(secret) => Some((key, secret)),
                        TokenRef::Token { .. } => None,
                    })
                    .collect()
            }
        }
    }

    /// The tokens that its requests carry, wherever they are.
    fn tokens(&self) -> impl Iterator<Item = &TokenRef> {
        let typed = match self {
            Self::TokenExchange(grant) => [Some(&grant.subject), grant.actor.as_ref()],
            Self::AuthorizationCode(_)
            | Self::ClientCredentials
            | Self::Password { .. }
            | Self::RefreshToken { .. } => [None, None],
        };
        typed.into_iter().flatten().map(|typed| &typed.token)
    }
}

impl ClientConfig {
    /// The files whose change may change this client's requests.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for auth in [Some(&self.auth), self.refresh_auth.as_ref()]
            .into_iter()
            .flatten()
        {
            let (secret, assertion) = auth_inputs(auth);
            paths.extend(secret.and_then(|secret| secret.path(environment)));
            paths.extend(assertion.and_then(|assertion| assertion.certificate.clone()));
        }
        paths.extend(self.tls.ca.clone());
        if let Some(identity) = &self.tls.identity {
            paths.push(identity.certificate.clone());
            paths.extend(identity.key.path(environment));
        }
        paths.sort();
        paths.dedup();
        paths
    }
}

fn auth_inputs(auth: &ClientAuth) -> (Option<&SecretRef>, Option<&AssertionConfig>) {
    match auth {
        ClientAuth::None | ClientAuth::TlsClientAuth => (None, None),
        ClientAuth::ClientSecretBasic { client_secret }
        | ClientAuth::ClientSecretBasicRaw { client_secret }
        | ClientAuth::ClientSecretPost { client_secret } => (Some(client_secret), None),
        ClientAuth::ClientSecretJwt {
            client_secret,
            assertion,
            ..
        } => (Some(client_secret), Some(assertion)),
        ClientAuth::PrivateKeyJwt { key, assertion, .. } => (Some(key), Some(assertion)),
    }
}

/// The issuer; else the token endpoint's origin.
fn server(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Issuer(issuer) => issuer.text.clone(),
        Endpoint::TokenEndpoint(url) => url.url.origin().ascii_serialization(),
    }
}

/// For what happens between the requests.
const SLACK: Duration = Duration::from_secs(5);
