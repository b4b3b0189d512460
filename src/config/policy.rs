//! The core's policy, as it follows from a token's configuration.

use std::time::Duration;

use bearerd_core::refresh::{Grant, Policy, ServerId};

use super::client::DEFAULT_LIMITS;
use super::model::{Endpoint, GrantConfig, JwtBearer, TokenConfig};

impl TokenConfig {
    /// Whether a login is what it comes from.
    #[must_use]
    pub fn is_login(&self) -> bool {
        matches!(
            self.grant,
            GrantConfig::AuthorizationCode(_) | GrantConfig::DeviceCode
        )
    }

    /// What the core has to know of this token.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let client = self.client.as_deref();
        Policy {
            server: ServerId(self.server().into()),
            limits: client.map_or(DEFAULT_LIMITS, |client| client.limits),
            grant: match self.grant {
                // A refused form is like a refused password: not to be tried again.
                GrantConfig::AuthorizationCode(ref grant) if grant.form_login.is_some() => {
                    Grant::Password
                }
                GrantConfig::AuthorizationCode(_) | GrantConfig::DeviceCode => Grant::Login,
                GrantConfig::ClientCredentials | GrantConfig::Command(_) | GrantConfig::Http(_) => {
                    Grant::ClientCredentials
                }
                GrantConfig::JwtBearer(ref grant) => match **grant {
                    JwtBearer::Made(_) => Grant::Exchange,
                    JwtBearer::Signed(_) => Grant::ClientCredentials,
                },
                GrantConfig::Password { .. } => Grant::Password,
                GrantConfig::RefreshToken { .. } => Grant::RefreshToken,
                GrantConfig::TokenExchange(_) => Grant::Exchange,
            },
            parents: self.parents(),
            follows_parents: self.follow_source,
            inactivity: self.inactivity,
            login_notice: self.login_notice,
            rotation_grace: client.map_or(Duration::ZERO, |client| client.rotation_grace),
            refresh_at: self.refresh_at,
            deadline: self.longest() + SLACK,
            identity: self.identity,
        }
    }

    /// Whether a first request may be repeated: it needs no person and spends nothing.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match &self.grant {
            GrantConfig::AuthorizationCode(grant) => grant.form_login.is_some(),
            GrantConfig::ClientCredentials
            | GrantConfig::Command(_)
            | GrantConfig::Http(_)
            | GrantConfig::JwtBearer(_)
            | GrantConfig::Password { .. }
            | GrantConfig::TokenExchange(_) => true,
            GrantConfig::DeviceCode | GrantConfig::RefreshToken { .. } => false,
        }
    }

    /// How long an attempt may take, when all goes as slowly as it may: it ends by itself before.
    fn longest(&self) -> Duration {
        let documents = self.client.iter().flat_map(|client| client.documents());
        let fetches: Duration = documents.map(|document| document.transport.timeout).sum();
        if fetches == Duration::ZERO {
            return self.longest_request();
        }
        // The documents are fetched before the request; and again, with another request, when what they said is refused.
        2 * (fetches + self.longest_request())
    }

    fn longest_request(&self) -> Duration {
        match (&self.client, &self.grant) {
            // Two places of metadata, and the token request, again where the clock was wrong. A rotated refresh
            // token in the last answer must not be given up before.
            // The keys that an ID token is verified with take two more, and a login's pages as many.
            (Some(client), GrantConfig::AuthorizationCode(_) | GrantConfig::DeviceCode) => {
                8 * client.timeout
            }
            (Some(client), _) => match client.endpoint {
                Endpoint::Issuer(_) => 6 * client.timeout,
                Endpoint::TokenEndpoint(_) => 4 * client.timeout,
            },
            (None, GrantConfig::Command(grant)) => grant.timeout,
            (None, GrantConfig::Http(grant)) => 2 * grant.transport.timeout,
            (None, _) => Duration::ZERO,
        }
    }

    /// The issuer; else the origin of where the request goes. A program has nothing to share.
    fn server(&self) -> String {
        let endpoint = self.client.as_ref().map(|client| &client.endpoint);
        match (endpoint, &self.grant) {
            (Some(Endpoint::Issuer(issuer)), _) => issuer.text.clone(),
            (Some(Endpoint::TokenEndpoint(url)), _) => url.url.origin().ascii_serialization(),
            (None, GrantConfig::Http(grant)) => grant.url.url.origin().ascii_serialization(),
            (None, _) => format!("command {}", self.name),
        }
    }
}

/// For what happens between the requests.
const SLACK: Duration = Duration::from_secs(5);
