//! One token request to an authorization server: what is sent, and what the reply means.

pub mod error;
pub mod id_token;
pub mod login;
pub mod probe;
pub mod provider;
pub mod registration;
pub mod response;

mod client;
mod credentials;
mod input_tokens;
mod request;
mod revocation;
mod transport;

use std::sync::Arc;

use ::http::{HeaderValue, header};
use bearerd_core::refresh::{FailureKind, Use};
use hyper::body::Bytes;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use client::Client;
pub use credentials::assertion::KeyError;
pub use error::SourceError;
pub use id_token::IdTokenError;
pub use input_tokens::InputTokens;
pub use login::LoginError;
pub use probe::{Probe, probe};
pub use registration::Registration;
pub use revocation::{RevocationError, revoke};
pub use transport::http::{is_confidential, is_loopback};
pub use transport::trouble::Trouble;

use self::credentials::client_auth::Credentials;
use self::id_token::Claims;
use self::request::parameters::{GrantRequest, Parameters, Proof};
use self::request::{command, http_grant};
use self::response::{Granted, Reply, Request, lifetime, token_response};
use self::transport::http::{self, Answer};
use crate::clock;
use crate::config::{BodyFormat, Endpoint, Environment, GrantConfig, HttpsUrl, TokenConfig};
use crate::error_chain::explain;
use crate::token::Token;

/// Obtains a token by one token request.
///
/// When the server refuses an assertion and its reply shows that our clock is wrong, the request is
/// sent once more, dated by the server's clock.
///
/// If the reply names no lifetime of the refresh token, `validity.refresh.expires_at` is `None`, also when
/// the refresh token is the one passed in: what was known of its expiry before still holds then.
///
/// # Errors
/// [`SourceError`], whose [`failure`](SourceError::failure) says what it means for the schedule.
pub async fn obtain(
    registration: Arc<Registration>,
    token: Arc<TokenConfig>,
    by: Use,
    input_tokens: InputTokens,
) -> Result<Token, SourceError> {
    if let (Use::Primary, GrantConfig::AuthorizationCode(grant)) = (by, &token.grant)
        && grant.form_login.is_some()
    {
        return login::by_form(registration, Arc::clone(&token), grant, &input_tokens).await;
    }
    let grant = registration.grant(&token, by, &input_tokens)?;
    let brought = redeem(&registration, &token, &grant, &input_tokens).await?;
    let before = input_tokens
        .id_token
        .as_ref()
        .map(ExposeSecret::expose_secret);
    with_verified_id_token(&registration, &token, brought, before).await
}

/// What a token request has brought, without an ID token that cannot be verified: the refresh token beside it
/// may be the only way on. One that speaks of another person than the ID token held `before` is refused, and
/// all with it (OpenID Connect Core section 12.2).
async fn with_verified_id_token(
    registration: &Registration,
    token: &TokenConfig,
    mut brought: Token,
    before: Option<&str>,
) -> Result<Token, SourceError> {
    let Some(id_token) = &brought.id_token else {
        return Ok(brought);
    };
    let has_issuer = matches!(registration.config.endpoint, Endpoint::Issuer(_));
    if !has_issuer && !token.is_login() {
        // It comes from the token endpoint itself over TLS (section 3.1.3.7), and no login rests on it.
        return Ok(brought);
    }
    let claims = registration.verify_id_token(id_token, &brought.access_token, None);
    match (claims.await, before.map(Claims::of_verified)) {
        (Ok(claims), Some(Ok(before))) => {
            claims.continues(&before).map_err(SourceError::IdToken)?;
        }
        (Ok(_), _) => {}
        (Err(error), _) => {
            tracing::warn!(token = %token.name, error = explain(&error, error.hint()), "an ID token is left out");
            brought.id_token = None;
            brought.validity.id_token_expires_at = None;
        }
    }
    Ok(brought)
}

/// Sends a token request, and once more where the server's clock is what it was refused for.
async fn redeem(
    registration: &Arc<Registration>,
    token: &TokenConfig,
    grant: &GrantRequest,
    input_tokens: &InputTokens,
) -> Result<Token, SourceError> {
    let skew = registration.clock_skew();
    let outcome = request(registration, token, grant, input_tokens).await;
    let Err(error @ SourceError::Refused(_)) = &outcome else {
        return outcome;
    };
    let proof_signed = matches!(registration.credentials(grant), Credentials::Assertion(_));
    let grant_signed = matches!(grant, GrantRequest::ToSign(_));
    let blamed = match error.failure().kind {
        FailureKind::Misconfigured | FailureKind::Unrecognized => proof_signed || grant_signed,
        FailureKind::GrantRefused => grant_signed,
        _ => false,
    };
    if blamed && registration.clock_skew() != skew {
        return request(registration, token, grant, input_tokens).await;
    }
    outcome
}

async fn request(
    registration: &Arc<Registration>,
    token: &TokenConfig,
    grant: &GrantRequest,
    input_tokens: &InputTokens,
) -> Result<Token, SourceError> {
    let endpoint = registration.token_endpoint().await?;
    let proof = registration
        .proof(grant, &endpoint.text, input_tokens)
        .await?;
    let signed = registration.signed(grant, &endpoint.text).await?;
    let grant = signed.as_ref().unwrap_or(grant);
    let scope = token.scope.join(" ");
    let client = (&*registration.client_id, &proof);
    let body = Parameters::new(token, grant, client, &scope).encode(registration.config.body)?;
    // Wiped once reqwest has let go of it.
    let body = Bytes::from_owner(body);
    let sent_at = clock::now();
    let answer = send(registration, grant, &proof, &endpoint, body).await?;
    let secrets = secrets(registration.credentials(grant), grant, &proof);
    let request = Request {
        sent_at,
        unix_now: registration.server_time(),
        assume_lifetime: token.assume_lifetime,
        refresh_token: match grant {
            GrantRequest::RefreshToken(refresh_token) => Some(refresh_token),
            _ => None,
        },
        secrets: &secrets,
    };
    let reply = Reply {
        status: answer.status,
        headers: &answer.headers,
        body: &answer.body,
    };
    Ok(accepted(token, token_response::parse(reply, &request)?))
}

/// Obtains a token by a grant that is no token request: a program's, or an HTTP request of no standard.
///
/// # Errors
/// [`SourceError`], as with [`obtain`].
pub async fn obtain_alone(
    token: Arc<TokenConfig>,
    environment: Arc<Environment>,
    input_tokens: InputTokens,
) -> Result<Token, SourceError> {
    let granted = match &token.grant {
        GrantConfig::Command(grant) => command::obtain(&token, grant, &environment).await?,
        GrantConfig::Http(grant) => {
            http_grant::obtain(&token, grant, &environment, input_tokens).await?
        }
        _ => return Err(SourceError::NoTokenRequest),
    };
    Ok(accepted(&token, granted))
}

fn accepted(token: &TokenConfig, granted: Granted) -> Token {
    if granted.lifetime_guessed {
        tracing::warn!(
            token = %token.name,
            seconds = lifetime::FALLBACK.as_secs(),
            "nothing names a lifetime and assume_lifetime is not set; assuming the shortest"
        );
    }
    granted.token
}

async fn send(
    registration: &Registration,
    grant: &GrantRequest,
    proof: &Proof<'_>,
    endpoint: &HttpsUrl,
    body: Bytes,
) -> Result<Answer, SourceError> {
    let client = match grant {
        // These are good for one use, too.
        GrantRequest::RefreshToken(_)
        | GrantRequest::AuthorizationCode(_)
        | GrantRequest::DeviceCode(_) => registration.http.unpooled()?,
        _ => &registration.http.pooled,
    };
    // Without charset: NHS England compares the whole value.
    let content_type = match registration.config.body {
        BodyFormat::Form => "application/x-www-form-urlencoded",
        BodyFormat::Json => "application/json",
    };
    let request = client
        .post(endpoint.url.clone())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, content_type)
        .body(body);
    authenticated(registration, request, proof, endpoint).await
}

/// Adds what of the client's proof is in the header, and sends.
async fn authenticated(
    registration: &Registration,
    mut request: RequestBuilder,
    proof: &Proof<'_>,
    endpoint: &HttpsUrl,
) -> Result<Answer, SourceError> {
    if let Proof::Basic(encoded) = proof {
        let value = Zeroizing::new(format!("Basic {}", encoded.expose_secret()));
        let mut value = HeaderValue::from_str(&value).map_err(|_| SourceError::RequestEncoding)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let sent_unix = clock::unix_now();
    let answer = http::exchange(request, &endpoint.url).await?;
    registration.note_date(&answer.headers, sent_unix);
    Ok(answer)
}

/// What a server could echo of the request.
fn secrets<'a>(
    credentials: &'a Credentials,
    grant: &'a GrantRequest,
    proof: &'a Proof<'_>,
) -> Vec<&'a SecretString> {
    let mut secrets = Vec::new();
    match credentials {
        Credentials::Basic {
            encoded,
            client_secret,
        } => secrets.extend([client_secret, encoded]),
        Credentials::Post(client_secret) => secrets.push(client_secret),
        Credentials::Assertion(_) | Credentials::Id | Credentials::Made(_) => {}
    }
    match grant {
        GrantRequest::AuthorizationCode(redemption) => {
            secrets.extend([&redemption.code, &redemption.code_verifier]);
        }
        GrantRequest::ClientCredentials
        | GrantRequest::DeviceAuthorization
        | GrantRequest::ToSign(_) => {}
        GrantRequest::DeviceCode(device_code) => secrets.push(device_code),
        GrantRequest::JwtBearer(assertion) => secrets.push(assertion),
        GrantRequest::Password { password, .. } => secrets.push(password),
        GrantRequest::RefreshToken(refresh_token) => secrets.push(refresh_token),
        GrantRequest::TokenExchange {
            subject_token,
            actor_token,
        } => {
            secrets.push(subject_token);
            secrets.extend(actor_token);
        }
    }
    if let Proof::Assertion(assertion) = proof {
        secrets.push(assertion);
    }
    secrets
}
