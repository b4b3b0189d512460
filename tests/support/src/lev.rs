//! The Keycloak realm `lev`, below `/auth` as version 16 and older have it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock;
use bearerd_core::instant::Instant;
use serde_json::json;

use super::fault::Reply;
use super::id_token;
use super::keys::random_text;
use super::record::{Request, System};
use super::state::State;

/// Where the realm is.
pub const REALM: &str = "/auth/realms/lev";

/// What the realm is set to.
#[derive(Clone, Debug)]
pub struct Lev {
    /// The registered client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The one user.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// Of access tokens.
    pub lifetime: Duration,
    /// Of ID tokens.
    pub id_token_lifetime: Duration,
    /// Of refresh tokens, from each refresh anew.
    pub refresh_lifetime: Duration,
    /// `revokeRefreshToken` with `refreshTokenMaxReuse` 0: each works once.
    pub rotate: bool,
    /// What follows when a rotated one comes again.
    pub reuse: Reuse,
    /// Whether tokens can be revoked (RFC 7009).
    pub revocation: bool,
    /// Wrong passwords until the user is locked out for good.
    pub lockout_after: u32,
}

impl Default for Lev {
    fn default() -> Self {
        Self {
            client_id: "lev-reports".into(),
            client_secret: "lev+secret%:ü".into(),
            username: "reports".into(),
            password: "correct horse".into(),
            lifetime: Duration::from_secs(300),
            id_token_lifetime: Duration::from_secs(3600),
            refresh_lifetime: Duration::from_secs(1800),
            rotate: true,
            reuse: Reuse::EndsSession,
            revocation: true,
            lockout_after: 3,
        }
    }
}

/// What follows when a rotated refresh token comes again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// It is refused, and the session ends (RFC 9700 section 4.14.2). Keycloak does that.
    EndsSession,
    /// For this long after its first use it works.
    Grace(Duration),
    /// It is refused.
    Refused,
}

/// What the realm remembers.
#[derive(Debug, Default)]
pub struct LevState {
    /// Wrong passwords since the last right one.
    pub wrong_passwords: u32,
    sessions: BTreeMap<u64, bool>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
}

#[derive(Debug)]
struct RefreshToken {
    session: u64,
    expires_at: Instant,
    spent_at: Option<Instant>,
}

/// Answers a request below [`REALM`].
pub fn answer(state: &mut State, request: &Request) -> Reply {
    match request.path.strip_prefix(REALM) {
        Some("/.well-known/openid-configuration") if request.method == "GET" => metadata(state),
        Some("/protocol/openid-connect/certs") if request.method == "GET" => {
            Reply::json(200, &id_token::keys())
        }
        Some("/protocol/openid-connect/token") if request.method == "POST" => token(state, request),
        Some("/protocol/openid-connect/revoke")
            if request.method == "POST" && state.settings.lev.revocation =>
        {
            revoke(state, request)
        }
        Some("/.well-known/openid-configuration" | "/protocol/openid-connect/token") => {
            Reply::error(405, "HTTP 405 Method Not Allowed", "")
        }
        _ => Reply::error(404, "Unable to find matching target resource method", ""),
    }
}

/// Makes a refresh token as a login in a browser would have, to seed a client with.
pub fn seed_refresh_token(state: &mut State) -> String {
    let session = new_session(state);
    keep(state, session)
}

/// Ends the session: its refresh token and its access tokens are refused from here on.
pub fn end_session(state: &mut State, session: u64) {
    state.lev.sessions.insert(session, false);
    for issued in &mut state.log.issued {
        if issued.session == Some(session) {
            issued.revoked = true;
        }
    }
}

fn metadata(state: &State) -> Reply {
    let issuer = format!("{}{REALM}", state.origin);
    let connect = format!("{issuer}/protocol/openid-connect");
    let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{connect}/auth"),
            "token_endpoint": format!("{connect}/token"),
            "introspection_endpoint": format!("{connect}/token/introspect"),
            "userinfo_endpoint": format!("{connect}/userinfo"),
            "end_session_endpoint": format!("{connect}/logout"),
            "jwks_uri": format!("{connect}/certs"),
            "grant_types_supported":
                ["authorization_code", "refresh_token", "password", "client_credentials"],
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    if state.settings.lev.revocation {
        metadata["revocation_endpoint"] = json!(format!("{connect}/revoke"));
    }
    Reply::json(200, &metadata)
}

/// A refresh token takes its session along; one unknown is none any more (RFC 7009 section 2.2).
fn revoke(state: &mut State, request: &Request) -> Reply {
    if let Some(refusal) = refused_client(state, request) {
        return refusal;
    }
    let token = request.param("token");
    if let Some(session) = state.lev.refresh_tokens.get(token).map(|kept| kept.session) {
        end_session(state, session);
    }
    let issued = &mut state.log.issued;
    if let Some(issued) = issued.iter_mut().find(|i| i.access_token == token) {
        issued.revoked = true;
    }
    Reply::new(200, "text/plain", "")
}

fn refused_client(state: &State, request: &Request) -> Option<Reply> {
    let lev = &state.settings.lev;
    let known = request.param("client_id") == lev.client_id
        && request.param("client_secret") == lev.client_secret;
    let description = "Invalid client or Invalid client credentials";
    (!known).then(|| Reply::error(401, "unauthorized_client", description))
}

fn token(state: &mut State, request: &Request) -> Reply {
    let media_type = request.content_type.as_deref().unwrap_or_default();
    if !media_type.starts_with("application/x-www-form-urlencoded") {
        return Reply::error(415, "HTTP 415 Unsupported Media Type", "");
    }
    if request.repeated {
        return Reply::error(400, "invalid_request", "duplicated parameter");
    }
    if let Some(refusal) = refused_client(state, request) {
        return refusal;
    }
    match request.param("grant_type") {
        "" => Reply::error(400, "invalid_request", "Missing form parameter: grant_type"),
        "password" => password(state, request),
        "refresh_token" => refresh(state, request.param("refresh_token")),
        _ => Reply::error(400, "unsupported_grant_type", "Unsupported grant_type"),
    }
}

fn password(state: &mut State, request: &Request) -> Reply {
    let settings = &state.settings.lev;
    let right = request.param("username") == settings.username
        && request.param("password") == settings.password;
    if !right {
        state.lev.wrong_passwords += 1;
    }
    // A locked account gets the same answer as a wrong password: nothing to be learnt from it.
    if !right || state.lev.wrong_passwords >= settings.lockout_after {
        return Reply::error(401, "invalid_grant", "Invalid user credentials");
    }
    state.lev.wrong_passwords = 0;
    let session = new_session(state);
    issue(state, session, request.param("scope"))
}

fn refresh(state: &mut State, presented: &str) -> Reply {
    let refused = |description| Reply::error(400, "invalid_grant", description);
    let (rotate, reuse) = (state.settings.lev.rotate, state.settings.lev.reuse);
    let now = clock::now();
    let Some(token) = state.lev.refresh_tokens.get_mut(presented) else {
        return refused("Invalid refresh token");
    };
    let session = token.session;
    if now >= token.expires_at {
        return refused("Token is not active");
    }
    match (token.spent_at, reuse) {
        (None, _) => {}
        (Some(spent_at), Reuse::Grace(grace)) if now < spent_at + grace => {}
        (Some(_), Reuse::EndsSession) => {
            end_session(state, session);
            return refused("Maximum allowed refresh token reuse exceeded");
        }
        (Some(_), _) => return refused("Maximum allowed refresh token reuse exceeded"),
    }
    if state.lev.sessions.get(&session) != Some(&true) {
        return refused("Session doesn't have required client");
    }
    if rotate {
        token.spent_at.get_or_insert(now);
    }
    issue(state, session, "openid")
}

fn new_session(state: &mut State) -> u64 {
    let session = state.lev.sessions.len() as u64;
    state.lev.sessions.insert(session, true);
    session
}

fn keep(state: &mut State, session: u64) -> String {
    let text = format!("{}rt{}", state.settings.mark, random_text(40));
    let kept = RefreshToken {
        session,
        expires_at: clock::now() + state.settings.lev.refresh_lifetime,
        spent_at: None,
    };
    state.lev.refresh_tokens.insert(text.clone(), kept);
    text
}

fn issue(state: &mut State, session: u64, scope: &str) -> Reply {
    let settings = state.settings.lev.clone();
    let refresh_token = keep(state, session);
    let access_token = state.issue(System::Lev, settings.lifetime, Some(refresh_token.clone()));
    if let Some(issued) = state.log.issued.last_mut() {
        issued.session = Some(session);
    }
    let mut body = json!({
        "access_token": access_token,
        "expires_in": settings.lifetime.as_secs(),
        "refresh_expires_in": settings.refresh_lifetime.as_secs(),
        "refresh_token": refresh_token,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "session_state": format!("5f4c0b3e-0000-4000-8000-{session:012x}"),
        "scope": if scope.is_empty() { "profile email" } else { scope },
    });
    if scope.split(' ').any(|s| s == "openid") {
        let issuer = format!("{}{REALM}", state.origin);
        let lifetime = settings.id_token_lifetime;
        let id_token = id_token::issue(state, &issuer, &settings.client_id, lifetime);
        body["id_token"] = json!(id_token);
    }
    Reply::json(200, &body)
}
