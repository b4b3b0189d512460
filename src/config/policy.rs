//! What follows from a token's configuration: the core's policy, and the files to watch.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;

use super::environment::Environment;
use super::model::{
    AssertionConfig, ClientAuth, ClientConfig, Endpoint, FileFormat, GrantConfig, HeaderValue,
    TokenConfig,
};
use super::secret_ref::SecretRef;
use crate::refresh::{Grant, Policy, ServerId};

impl TokenConfig {
    /// What the core has to know of this token.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let client = &self.client;
        Policy {
            server: ServerId(server(&client.endpoint).into()),
            limits: client.limits,
            grant: match self.grant {
                GrantConfig::ClientCredentials => Grant::ClientCredentials,
                GrantConfig::Password { .. } => Grant::Password,
                GrantConfig::RefreshToken { .. } => Grant::RefreshToken,
            },
            refresh_at: self.refresh_at,
            // Two places of metadata, and the token request, again where the clock was wrong: each ends by
            // itself in time, and a rotated refresh token in the last answer must not be given up before.
            deadline: 4 * client.timeout + SLACK,
            identity: self.identity(),
        }
    }

    /// The first half of a SHA-256 over everything that decides what is obtained. Each part is preceded by
    /// its length: no two configurations make the same bytes. See [`Policy::identity`].
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
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
            GrantConfig::RefreshToken { .. } => part("refresh_token"),
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

    /// The files whose change may change this token's requests: its own and its client's.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths = self.client.inputs(environment);
        let secret = self.grant.secret();
        paths.extend(secret.and_then(|(_, secret)| secret.path(environment)));
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
        self.grant.secret().into_iter().chain(self.header_secrets())
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
    fn secret(&self) -> Option<(&str, &SecretRef)> {
        match self {
            Self::ClientCredentials => None,
            Self::Password { password, .. } => Some(("password", password)),
            Self::RefreshToken { refresh_token } => Some(("refresh_token", refresh_token)),
        }
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
