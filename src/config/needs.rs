//! What a token's requests need: secrets, other tokens, and the files to watch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bearerd_core::refresh::Parent;

use super::environment::Environment;
use super::model::{
    AssertionConfig, Authorization, ClientAuth, ClientConfig, ClientId, DocumentConfig,
    DocumentRef, FileFormat, FormValue, GrantConfig, HeaderValue, HttpGrant, JwtBearer, TlsConfig,
    TokenConfig, TokenRef, Transport,
};
use super::secret_ref::SecretRef;

impl TokenConfig {
    /// The tokens that its requests carry.
    #[must_use]
    pub fn parents(&self) -> Vec<Parent> {
        let mut parents: Vec<_> = self.grant.parents().collect();
        let Some(client) = &self.client else {
            return parents;
        };
        let ClientConfig {
            auth, refresh_auth, ..
        } = &**client;
        let proofs = [
            (Some(auth), refresh_auth.is_none()),
            (refresh_auth.as_ref(), true),
        ];
        for (auth, on_refresh) in proofs {
            if let Some(ClientAuth::ClientAssertion { client_assertion }) = auth {
                parents.extend(parent(client_assertion, on_refresh));
            }
        }
        parents
    }

    /// The files whose change may change this token's requests: its own and its client's.
    #[must_use]
    pub fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let client = self.client.iter();
        let mut paths: Vec<_> = client
            .flat_map(|client| client.inputs(environment))
            .collect();
        let secrets = self.grant.secrets().into_iter();
        paths.extend(secrets.filter_map(|(_, secret)| secret.path(environment)));
        paths.extend(self.grant.certificate().cloned());
        if let GrantConfig::Http(grant) = &self.grant {
            paths.extend(grant.transport.tls.inputs(environment));
        }
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
        let files = self.files.iter();
        files.flat_map(|file| header_secrets(&file.headers))
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
            Self::ClientCredentials | Self::Command(_) | Self::DeviceCode => Vec::new(),
            Self::Http(grant) => http_secrets(grant),
            Self::JwtBearer(grant) => match &**grant {
                JwtBearer::Made(TokenRef::Secret(assertion)) => vec![("assertion", assertion)],
                JwtBearer::Made(TokenRef::Token { .. }) => Vec::new(),
                JwtBearer::Signed(signed) => vec![("key", &signed.key)],
            },
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

    /// The certificate that thumbprints are made from.
    fn certificate(&self) -> Option<&PathBuf> {
        match self {
            Self::JwtBearer(grant) => match &**grant {
                JwtBearer::Signed(signed) => signed.assertion.certificate.as_ref(),
                JwtBearer::Made(_) => None,
            },
            _ => None,
        }
    }

    /// The tokens of ours that it is made from.
    pub(super) fn parents(&self) -> impl Iterator<Item = Parent> {
        let carried = match self {
            Self::JwtBearer(grant) => match &**grant {
                JwtBearer::Made(assertion) => [Some(assertion), None],
                JwtBearer::Signed(_) => [None, None],
            },
            Self::Http(grant) => match &grant.authorization {
                Some(Authorization::Bearer(token)) => [Some(token), None],
                Some(Authorization::Signed(_)) | None => [None, None],
            },
            Self::TokenExchange(grant) => [
                Some(&grant.subject.token),
                grant.actor.as_ref().map(|actor| &actor.token),
            ],
            Self::AuthorizationCode(_)
            | Self::ClientCredentials
            | Self::Command(_)
            | Self::DeviceCode
            | Self::Password { .. }
            | Self::RefreshToken { .. } => [None, None],
        };
        let carried = carried.into_iter().flatten();
        carried.filter_map(|token| parent(token, false))
    }
}

impl TlsConfig {
    fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths: Vec<_> = self.ca.iter().cloned().collect();
        if let Some(identity) = &self.identity {
            paths.push(identity.certificate.clone());
            paths.extend(identity.key.path(environment));
        }
        paths
    }
}

impl ClientConfig {
    /// How requests get to its server.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport {
            tls: self.tls.clone(),
            proxy: self.proxy.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }
    }

    /// The assertions that somebody else makes and a file or the like holds: read at each request.
    pub fn assertions(&self) -> impl Iterator<Item = &SecretRef> {
        let both = [Some(&self.auth), self.refresh_auth.as_ref()];
        both.into_iter().flatten().filter_map(|auth| match auth {
            ClientAuth::ClientAssertion {
                client_assertion: TokenRef::Secret(assertion),
            } => Some(assertion),
            _ => None,
        })
    }

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
        for document in self.documents() {
            let secrets = header_secrets(&document.headers);
            paths.extend(secrets.filter_map(|(_, secret)| secret.path(environment)));
            paths.extend(document.transport.tls.inputs(environment));
        }
        paths.extend(self.tls.inputs(environment));
        paths.sort();
        paths.dedup();
        paths
    }

    /// The documents that it refers to, each once.
    #[must_use]
    pub fn documents(&self) -> Vec<&Arc<DocumentConfig>> {
        let places = self.document_places();
        let mut documents: Vec<_> = places.map(|place| &place.document).collect();
        documents.sort_by_key(|document| &document.name);
        documents.dedup();
        documents
    }

    /// What of it stands in documents.
    pub fn document_places(&self) -> impl Iterator<Item = &DocumentRef> {
        let client_id = match &self.client_id {
            ClientId::Document(place) => Some(place),
            ClientId::Given(_) => None,
        };
        let auths = [Some(&self.auth), self.refresh_auth.as_ref()];
        let secrets = auths
            .into_iter()
            .flatten()
            .filter_map(|auth| match auth_inputs(auth).0 {
                Some(SecretRef::Document(place)) => Some(place),
                _ => None,
            });
        client_id.into_iter().chain(secrets)
    }
}

/// The parent that a token of ours is to requests that carry it.
fn parent(token: &TokenRef, on_refresh: bool) -> Option<Parent> {
    match token {
        TokenRef::Secret(_) => None,
        TokenRef::Token { name, part } => Some(Parent {
            name: name.clone(),
            part: *part,
            on_refresh,
        }),
    }
}

fn header_secrets(
    headers: &BTreeMap<String, HeaderValue>,
) -> impl Iterator<Item = (&str, &SecretRef)> {
    headers.iter().filter_map(|(name, value)| match value {
        HeaderValue::Plain(_) => None,
        HeaderValue::Secret(secret) => Some((name.as_str(), secret)),
    })
}

fn http_secrets(grant: &HttpGrant) -> Vec<(&str, &SecretRef)> {
    let headers = header_secrets(&grant.headers);
    let authorization = match &grant.authorization {
        Some(Authorization::Bearer(TokenRef::Secret(token))) => Some(("bearer", token)),
        Some(Authorization::Signed(signed)) => Some(("key", &signed.key)),
        Some(Authorization::Bearer(TokenRef::Token { .. })) | None => None,
    };
    headers.chain(authorization).collect()
}

fn auth_inputs(auth: &ClientAuth) -> (Option<&SecretRef>, Option<&AssertionConfig>) {
    match auth {
        ClientAuth::None | ClientAuth::TlsClientAuth => (None, None),
        ClientAuth::ClientAssertion { client_assertion } => match client_assertion {
            TokenRef::Secret(assertion) => (Some(assertion), None),
            TokenRef::Token { .. } => (None, None),
        },
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
