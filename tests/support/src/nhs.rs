//! NHS England's token endpoint (Apigee): signed-JWT client credentials, token exchange, and refresh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bearerd_core::instant::Instant;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};

use super::fault::Reply;
use super::id_token;
use super::keys::random_text;
use super::mock_jwks::{self, IdentityProvider};
use super::record::{Request, System};
use super::state::State;

/// Where tokens are requested.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// What the platform is set to.
#[derive(Clone, Debug)]
pub struct Nhs {
    /// The application: `iss` and `sub` of its assertions, `client_id` of its refreshes.
    pub api_key: String,
    /// The application's secret, for refreshes only.
    pub api_secret: String,
    /// Registered public keys, PKCS#1 DER, by `kid`.
    pub public_keys: BTreeMap<String, Vec<u8>>,
    /// Of access tokens.
    pub lifetime: Duration,
    /// From the first refresh token to the end of the last.
    pub refresh_window: Duration,
    /// More than that in a rolling minute get 429.
    pub requests_per_minute: usize,
    /// Whose ID tokens it takes; without one, those of this server itself.
    pub identity_provider: Option<IdentityProvider>,
}

impl Default for Nhs {
    fn default() -> Self {
        Self {
            api_key: "my-api-key".into(),
            api_secret: "nhs/api/secret".into(),
            public_keys: BTreeMap::new(),
            lifetime: Duration::from_secs(599),
            refresh_window: Duration::from_secs(43_199),
            requests_per_minute: 300,
            identity_provider: None,
        }
    }
}

/// What the platform remembers.
#[derive(Debug, Default)]
pub struct NhsState {
    seen_jti: BTreeSet<(String, String)>,
    recent: Vec<Instant>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
}

#[derive(Clone, Debug)]
struct RefreshToken {
    window_ends_at: Instant,
    count: u32,
    spent: bool,
}

/// Answers a request to [`TOKEN_PATH`].
pub fn answer(state: &mut State, request: &Request) -> Reply {
    if request.method != "POST" {
        return Reply::new(405, "text/plain", "").header("allow", "POST");
    }
    // The real one compares the text: a charset parameter is refused.
    let form = request.content_type.as_deref() == Some("application/x-www-form-urlencoded");
    if !form || request.query.is_some() {
        let description = "Content-Type header must be application/x-www-form-urlencoded";
        return error(415, "invalid_request", description);
    }
    match request.param("grant_type") {
        "" => error(400, "invalid_request", "grant_type is missing"),
        "client_credentials" => client_credentials(state, request),
        "refresh_token" => refresh(state, request),
        "urn:ietf:params:oauth:grant-type:token-exchange" => exchange(state, request),
        _ => error(400, "unsupported_grant_type", "grant_type is invalid"),
    }
}

/// Makes a refresh token as a login would have, to seed a client with.
pub fn seed_refresh_token(state: &mut State) -> String {
    let token = RefreshToken {
        window_ends_at: clock::now() + state.settings.nhs.refresh_window,
        count: 0,
        spent: false,
    };
    keep(state, token)
}

/// Makes every refresh token there is useless, as another's use of it would have.
pub fn spend_refresh_tokens(state: &mut State) {
    for token in state.nhs.refresh_tokens.values_mut() {
        token.spent = true;
    }
}

fn keep(state: &mut State, token: RefreshToken) -> String {
    let text = format!("{}nr{}", state.settings.mark, random_text(28));
    state.nhs.refresh_tokens.insert(text.clone(), token);
    text
}

fn client_credentials(state: &mut State, request: &Request) -> Reply {
    if let Err(refusal) = accept_client(state, request) {
        return refusal;
    }
    let lifetime = state.settings.nhs.lifetime;
    let access_token = state.issue(System::Nhs, lifetime, None);
    let body = json!({
        "access_token": access_token,
        "expires_in": lifetime.as_secs().to_string(),
        "token_type": "Bearer",
        "issued_at": clock::unix_now().as_millis().to_string(),
    });
    Reply::json(200, &body)
}

/// RFC 8693, of an ID token only. The window begins here, and nothing prolongs it.
fn exchange(state: &mut State, request: &Request) -> Reply {
    if let Err(refusal) = accept_client(state, request) {
        return refusal;
    }
    if request.param("subject_token_type") != "urn:ietf:params:oauth:token-type:id_token" {
        let description = "missing or invalid subject_token_type";
        return error(400, "invalid_request", description);
    }
    let subject_token = request.param("subject_token");
    let accepted = match &state.settings.nhs.identity_provider {
        Some(provider) if !subject_token.is_empty() => mock_jwks::accept(provider, subject_token),
        _ => id_token::accept(state, subject_token),
    };
    if let Err(refused) = accepted {
        return id_token::refusal(refused);
    }
    let Nhs {
        lifetime,
        refresh_window,
        ..
    } = state.settings.nhs.clone();
    let refresh_token = seed_refresh_token(state);
    let access_token = state.issue(System::Nhs, lifetime, Some(refresh_token.clone()));
    let body = json!({
        "access_token": access_token,
        "expires_in": lifetime.as_secs().to_string(),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "refresh_count": "0",
        "refresh_token": refresh_token,
        "refresh_token_expires_in": refresh_window.as_secs().to_string(),
        "token_type": "Bearer",
    });
    Reply::json(200, &body)
}

fn accept_client(state: &mut State, request: &Request) -> Result<(), Reply> {
    let expected = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    if request.param("client_assertion_type") != expected {
        let description = "Missing or invalid client_assertion_type";
        return Err(error(400, "invalid_request", description));
    }
    accept_assertion(state, request.param("client_assertion"))
}

/// In the real one's order: form, `jti`, application, rate, audience, key, signature. So a `jti` is used
/// up by an assertion that is then refused.
fn accept_assertion(state: &mut State, assertion: &str) -> Result<(), Reply> {
    let bad = |description| Err(error(400, "invalid_request", description));
    let Some((header, claims)) = parts(assertion) else {
        return bad("Malformed JWT in client_assertion");
    };
    let Some(kid) = header["kid"].as_str() else {
        return bad("Missing 'kid' header in client_assertion JWT");
    };
    let typ = header["typ"].as_str().unwrap_or_default();
    if !typ.eq_ignore_ascii_case("JWT") {
        return bad("Invalid 'typ' header in client_assertion JWT - must be 'JWT'");
    }
    if header["alg"] != "RS512" {
        return bad("Invalid 'alg' header in client_assertion JWT - must be 'RS512'");
    }
    if let Err(description) = plausible(&claims) {
        return bad(description);
    }
    let subject = claims["sub"].as_str().unwrap_or_default().to_owned();
    let jti = claims["jti"].as_str().unwrap_or_default().to_owned();
    if !state.nhs.seen_jti.insert((subject.clone(), jti)) {
        return bad("Non-unique 'jti' claim in client_assertion JWT");
    }
    let refused = |description| Err(error(401, "invalid_request", description));
    if subject != state.settings.nhs.api_key {
        return refused("Invalid 'iss'/'sub' claims in client_assertion JWT");
    }
    within_rate(state)?;
    if claims["aud"] != format!("{}{TOKEN_PATH}", state.origin).as_str() {
        return refused("Missing or invalid 'aud' claim in client_assertion JWT");
    }
    let Some(public_key) = state.settings.nhs.public_keys.get(kid) else {
        return refused("Invalid 'kid' header in client_assertion JWT - no matching public key");
    };
    if !signed_by(public_key, assertion) {
        let description = "JWT signature verification failed";
        return Err(error(401, "public_key error", description));
    }
    Ok(())
}

fn plausible(claims: &Value) -> Result<(), &'static str> {
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty());
    if text("iss").is_none() || text("iss") != text("sub") {
        return Err("Missing or non-matching 'iss'/'sub' claims in client_assertion JWT");
    }
    if text("jti").is_none() {
        return Err("Missing or invalid 'jti' claim in client_assertion JWT");
    }
    let Some(expires) = claims["exp"].as_u64() else {
        return Err("Missing or non-integer 'exp' claim in client_assertion JWT");
    };
    let now = clock::unix_now().as_secs();
    if now > expires {
        return Err("Invalid 'exp' claim in client_assertion JWT - JWT has expired");
    }
    if expires > now + 310 {
        return Err("Invalid 'exp' claim - more than 5 minutes in future");
    }
    Ok(())
}

fn within_rate(state: &mut State) -> Result<(), Reply> {
    let now = clock::now();
    let minute_ago = now.saturating_sub(Duration::from_secs(60));
    state.nhs.recent.retain(|at| *at > minute_ago);
    if state.nhs.recent.len() >= state.settings.nhs.requests_per_minute {
        let body = json!({"fault": {"faultstring": "Rate limit quota violation"}});
        return Err(Reply::json(429, &body));
    }
    state.nhs.recent.push(now);
    Ok(())
}

fn parts(jwt: &str) -> Option<(Value, Value)> {
    let mut parts = jwt
        .split('.')
        .map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let header = serde_json::from_slice(&parts.next()??).ok()?;
    let claims = serde_json::from_slice(&parts.next()??).ok()?;
    parts.next()??;
    parts.next().is_none().then_some((header, claims))
}

fn signed_by(public_key: &[u8], jwt: &str) -> bool {
    let Some((message, signature)) = jwt.rsplit_once('.') else {
        return false;
    };
    let key = DecodingKey::from_rsa_der(public_key);
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::RS512)
        .unwrap_or(false)
}

/// The assertion is no use here: the real one wants the application's secret.
fn refresh(state: &mut State, request: &Request) -> Reply {
    let nhs = &state.settings.nhs;
    let (client_id, client_secret) = (request.param("client_id"), request.param("client_secret"));
    if client_id.is_empty() || client_secret.is_empty() {
        return error(
            401,
            "invalid_request",
            "client_id or client_secret is missing",
        );
    }
    if client_id != nhs.api_key || client_secret != nhs.api_secret {
        return error(
            401,
            "invalid_client",
            "client_id or client_secret is invalid",
        );
    }
    let lifetime = nhs.lifetime;
    if let Err(refusal) = within_rate(state) {
        return refusal;
    }
    let presented = state
        .nhs
        .refresh_tokens
        .get_mut(request.param("refresh_token"));
    let Some(token) = presented.filter(|token| !token.spent) else {
        return error(401, "invalid_grant", "refresh_token is invalid");
    };
    let left = token.window_ends_at.saturating_since(clock::now());
    if left.is_zero() {
        let description = "refresh token refresh period has expired";
        return error(401, "invalid_grant", description);
    }
    token.spent = true;
    let successor = RefreshToken {
        count: token.count + 1,
        spent: false,
        ..token.clone()
    };
    let count = successor.count.to_string();
    let refresh_token = keep(state, successor);
    let access_token = state.issue(System::Nhs, lifetime, Some(refresh_token.clone()));
    let body = json!({
        "access_token": access_token,
        "expires_in": lifetime.as_secs().to_string(),
        "refresh_count": count,
        "refresh_token": refresh_token,
        "refresh_token_expires_in": left.as_secs().to_string(),
        "token_type": "Bearer",
    });
    Reply::json(200, &body)
}

fn error(status: u16, error: &str, description: &str) -> Reply {
    let message_id = format!("rrt-{}", random_text(20));
    let body = json!({
        "error": error,
        "error_description": description,
        "message_id": message_id,
    });
    Reply::json(status, &body)
}
