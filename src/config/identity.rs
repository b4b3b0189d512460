//! What names everything that decides what is obtained.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use bearerd_core::credential::TokenName;

use super::model::{
    Authorization, ClientId, Endpoint, FormValue, GrantConfig, HeaderValue, HttpGrant, JwtBearer,
    SignedAssertion, TokenConfig,
};

impl TokenConfig {
    /// The first half of a SHA-256 over everything that decides what is obtained. Each part is preceded by
    /// its length: no two configurations make the same bytes. See
    /// [`bearerd_core::refresh::Policy::identity`].
    pub(super) fn identify(&self, others: &BTreeMap<TokenName, Arc<Self>>) -> [u8; 16] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut part = |text: &str| {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        if let Some(client) = &self.client {
            match &client.endpoint {
                Endpoint::Issuer(url) => ["issuer", &url.text].map(&mut part),
                Endpoint::TokenEndpoint(url) => ["token_endpoint", &url.text].map(&mut part),
            };
            match &client.client_id {
                ClientId::Document(place) => {
                    part(&place.document.url.text);
                    part(&place.pointer);
                }
                ClientId::Given(client_id) => part(client_id),
            }
        }
        identify_grant(&self.grant, &mut part);
        for source in self.grant.parents() {
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
}

fn identify_grant(grant: &GrantConfig, part: &mut impl FnMut(&str)) {
    match grant {
        GrantConfig::ClientCredentials => part("client_credentials"),
        GrantConfig::Command(grant) => {
            part("command");
            for text in grant.command.iter().chain(&grant.environment) {
                part(text);
            }
        }
        GrantConfig::DeviceCode => part("device_code"),
        GrantConfig::Http(grant) => identify_http(grant, part),
        GrantConfig::Password { username, .. } => {
            part("password");
            part(username);
        }
        GrantConfig::JwtBearer(grant) => {
            part("jwt_bearer");
            if let JwtBearer::Signed(signed) = &**grant {
                identify_signed(signed, part);
            }
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
}

fn identify_http(grant: &HttpGrant, part: &mut impl FnMut(&str)) {
    part("http");
    part(&format!("{:?}", grant.method));
    part(&grant.url.text);
    for (name, value) in &grant.headers {
        part(name);
        if let HeaderValue::Plain(value) = value {
            part(value);
        }
    }
    if let Some(Authorization::Signed(signed)) = &grant.authorization {
        identify_signed(signed, part);
    }
    part(
        &grant
            .body
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    );
    part(&grant.token);
}

/// What an assertion says decides what is obtained; how it is signed does not.
fn identify_signed(signed: &SignedAssertion, part: &mut impl FnMut(&str)) {
    let audience = signed.assertion.audience.as_ref();
    for text in [signed.issuer.as_ref(), signed.subject.as_ref(), audience] {
        part(text.map_or("", String::as_str));
    }
    part(&signed.assertion.claims.len().to_string());
    for (name, value) in &signed.assertion.claims {
        part(name);
        part(&value.to_string());
    }
}
