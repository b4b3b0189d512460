//! The identity of a token: it names everything that decides what is obtained.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use bearerd_core::credential::TokenName;

use super::client::Endpoint;
use super::document::ClientId;
use super::token::TokenConfig;

/// The first half of a SHA-256 over everything that decides what is obtained. Each part is preceded
/// by its length: no two configurations make the same bytes. `others` are the tokens that this one
/// may be made from. See [`bearerd_core::refresh::Policy::identity`].
pub(super) fn identity(
    token: &TokenConfig,
    others: &BTreeMap<TokenName, Arc<TokenConfig>>,
) -> [u8; 16] {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut part = |text: &str| {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    if let Some(client) = &token.client {
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
    let grant = token.grant.profile();
    part(grant.name);
    grant.identity.iter().for_each(|text| part(text));
    for source in grant.parents() {
        if let Some(other) = others.get(&source.name) {
            part(&format!("{:?} {:?}", source.part, other.identity));
        }
    }
    for list in [&token.scope, &token.audience, &token.resource] {
        part(&list.len().to_string());
        list.iter().for_each(|text| part(text));
    }
    for (name, value) in &token.params {
        part(name);
        part(value);
    }
    let mut identity = [0; 16];
    identity.copy_from_slice(&hash.finish().as_ref()[..16]);
    identity
}
