//! One token request to an authorization server: what is sent, and what the reply means.

pub mod discovery;
pub mod error;
pub mod id_token;
pub mod jwks;
pub mod probe;
pub mod registration;
pub mod token_response;

mod assertion;
mod carried;
mod certificate;
mod client_auth;
mod http;
mod lifetime;
mod refusal;
mod revocation;
mod token_request;
mod transport;

use std::sync::Arc;

use ::http::{HeaderValue, header};
use hyper::body::Bytes;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use self::http::{is_confidential, is_loopback};
pub use assertion::KeyError;
pub use carried::Carried;
pub use error::SourceError;
pub use id_token::IdTokenError;
pub use probe::{Probe, probe};
pub use registration::Registration;
pub use revocation::{RevocationError, revoke};
pub use transport::Trouble;

use self::client_auth::Credentials;
use self::http::Answer;
use self::token_request::{GrantRequest, Parameters, Proof};
use self::token_response::{Reply, Request};
use crate::clock;
use crate::config::{BodyFormat, HttpsUrl, TokenConfig};
use crate::credential::Token;
use crate::refresh::{FailureKind, Use};

/// Obtains a token by one token request.
///
/// When the server refuses a client assertion and its reply shows that our clock is wrong, the request is
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
    carried: Carried,
) -> Result<Token, SourceError> {
    let grant = registration.grant(&token, by, &carried)?;
    let skew = registration.clock_skew();
    let outcome = request(&registration, &token, &grant).await;
    let Err(error @ SourceError::Refused(_)) = &outcome else {
        return outcome;
    };
    let signed = matches!(registration.credentials(&grant), Credentials::Assertion(_));
    let blamed = matches!(
        error.failure().kind,
        FailureKind::Misconfigured | FailureKind::Unrecognized
    );
    if signed && blamed && registration.clock_skew() != skew {
        return request(&registration, &token, &grant).await;
    }
    outcome
}

async fn request(
    registration: &Arc<Registration>,
    token: &TokenConfig,
    grant: &GrantRequest,
) -> Result<Token, SourceError> {
    let endpoint = registration.token_endpoint().await?;
    let proof = registration.proof(grant, &endpoint.text).await?;
    let scope = token.scope.join(" ");
    let body = Parameters::new(token, grant, &proof, &scope).encode(registration.config.body)?;
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
    let granted = token_response::parse(reply, &request)?;
    if granted.lifetime_guessed {
        tracing::warn!(
            token = %token.name,
            seconds = lifetime::FALLBACK.as_secs(),
            "server names no lifetime and assume_lifetime is not set; assuming the shortest"
        );
    }
    Ok(granted.token)
}

async fn send(
    registration: &Registration,
    grant: &GrantRequest,
    proof: &Proof<'_>,
    endpoint: &HttpsUrl,
    body: Bytes,
) -> Result<Answer, SourceError> {
    let client = match grant {
        GrantRequest::RefreshToken(_) => registration.http.unpooled()?,
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
        Credentials::Assertion(_) | Credentials::Id => {}
    }
    match grant {
        GrantRequest::ClientCredentials => {}
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
