//! NHS England's mock identity provider as its clients meet it: the document that names them, and the key set
//! that its ID tokens are held against.

use crate::clock;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::fault::Reply;
use super::record::Request;
use super::state::State;

/// Where the document is.
pub const DOCUMENT_PATH: &str = "/mock-jwks/keycloak-client-credentials";

/// A real identity provider.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// `iss`.
    pub issuer: String,
    /// Its key set.
    pub keys: JwkSet,
    /// Of its client `cis2`.
    pub client_id: String,
    /// Of its client `cis2`.
    pub client_secret: String,
}

/// Answers a request to [`DOCUMENT_PATH`].
pub fn document(state: &State, request: &Request) -> Reply {
    let Some(provider) = &state.settings.nhs.identity_provider else {
        return Reply::new(404, "text/plain", "");
    };
    if request.apikey.as_deref() != Some(&*state.settings.nhs.api_key) {
        return Reply::new(401, "text/plain", "");
    }
    let body = json!({"cis2": {
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "redirect_uri": "https://example.org/",
    }});
    Reply::json(200, &body)
}

/// Whether this is a good ID token of the provider's: the refusal, if not. There is no leeway.
pub fn accept(provider: &IdentityProvider, token: &str) -> Result<(), (u16, &'static str)> {
    let header = jsonwebtoken::decode_header(token);
    let header = header.map_err(|_| (400, "Malformed JWT in subject_token"))?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::RS512) {
        return Err((400, "Invalid 'alg' header in subject_token JWT"));
    }
    let kid = header.kid.as_deref().unwrap_or_default();
    let key = provider.keys.find(kid).and_then(decoding);
    let key = key.ok_or((
        401,
        "Invalid 'kid' header in subject_token JWT - no matching public key",
    ))?;
    let mut rules = Validation::new(header.alg);
    // These are judged below, as the real one words it.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules);
    let claims = claims
        .map_err(|_| (401, "JWT signature verification failed"))?
        .claims;
    let expires = claims["exp"].as_u64();
    let expires = expires.ok_or((
        400,
        "Missing or non-integer 'exp' claim in subject_token JWT",
    ))?;
    if clock::unix_now().as_secs() > expires {
        return Err((
            400,
            "Invalid 'exp' claim in subject_token JWT - JWT has expired",
        ));
    }
    if claims["iss"] != provider.issuer.as_str() {
        return Err((400, "Invalid 'iss' claim in subject_token JWT"));
    }
    if claims["aud"].is_null() {
        return Err((401, "Missing 'aud' claim in subject_token JWT"));
    }
    Ok(())
}

fn decoding(key: &Jwk) -> Option<DecodingKey> {
    DecodingKey::from_jwk(key).ok()
}
