//! What a token endpoint's reply means. Pure: status, headers and bytes in; a token or an error
//! out.
//!
//! Tolerant where real servers differ from RFC 6749 and harm is impossible, strict where a token
//! could not be used: success needs a 2xx status, a non-empty `access_token`, and no `error`.

use std::time::Duration;

use bearerd_core::credential::{RefreshValidity, Validity};
use bearerd_core::instant::Instant;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::dates::retry_after;
use super::error::{ReplyProblem, ResponseError};
use super::lifetime;
use super::refusal::Refusal;
use super::shown::shown;
use crate::token::Token;

/// A reply as received.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body, bounded by the caller.
    pub body: &'a [u8],
}

/// What the request was, as far as the reply's meaning depends on it.
#[derive(Debug)]
pub struct Request<'a> {
    /// When it was sent: lifetimes count from here.
    pub sent_at: Instant,
    /// Time since the epoch at the reply, by the server's clock if that is known.
    pub unix_now: Duration,
    /// Configured for servers that name no lifetime.
    pub assume_lifetime: Option<Duration>,
    /// The refresh token it used. It stays in use when the reply brings none (RFC 6749 section 6).
    pub refresh_token: Option<&'a SecretString>,
    /// Texts to be taken out of what an error shows: a server may echo what it was sent.
    pub secrets: &'a [&'a SecretString],
}

/// A token, and whether its lifetime is a guess.
#[derive(Debug)]
pub struct Granted {
    /// The token.
    pub token: Token,
    /// Nothing names a lifetime and none is configured: five minutes, the shortest that is common.
    pub lifetime_guessed: bool,
}

/// Understands a reply.
///
/// # Errors
/// [`ResponseError`], but for what a request that is no token request may meet.
pub fn parse(reply: Reply<'_>, request: &Request<'_>) -> Result<Granted, ResponseError> {
    let status = reply.status;
    if status.is_redirection() {
        return Err(ResponseError::redirect(status, reply.headers));
    }
    let members = members(reply.body);
    if !status.is_success() {
        let members = members.unwrap_or_default();
        return Err(refusal(reply, request, &members));
    }
    let members = members.map_err(|problem| ResponseError::Unusable { status, problem })?;
    if names_error(&members) {
        return Err(refusal(reply, request, &members));
    }
    granted(members, request).map_err(|problem| ResponseError::Unusable { status, problem })
}

/// The members of the reply, whatever its content type says: GitHub answers with a form, others
/// send JSON as `text/html`. Of duplicate members the last counts.
///
/// What is not UTF-8 is read as ISO-8859-1, which has a character for each byte: a name that nobody
/// needs spoils no token.
fn members(body: &[u8]) -> Result<Map<String, Value>, ReplyProblem> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let latin_1 = || {
        // Each character takes two bytes at most: growing would leave copies of a token behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * body.len()));
        text.extend(body.iter().map(|byte| char::from(*byte)));
        text
    };
    let decoded = std::str::from_utf8(body).is_err().then(latin_1);
    let body = decoded.as_ref().map_or(body, |text| text.as_bytes());
    let body = body.trim_ascii();
    match body.first() {
        None => Err(ReplyProblem::Empty),
        Some(b'<') => Err(ReplyProblem::Html),
        Some(b'{' | b'[' | b'"') => {
            serde_json::from_slice(body).map_err(|_| ReplyProblem::NotAnObject)
        }
        Some(_) => form(body).ok_or(ReplyProblem::NoKnownFormat),
    }
}

fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let members: Map<_, _> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let known = members.contains_key("access_token") || members.contains_key("error");
    known.then_some(members)
}

/// Whether a 2xx reply is an error after all, as GitHub's and Slack's are.
fn names_error(members: &Map<String, Value>) -> bool {
    let error = match members.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(error)) => !error.is_empty(),
        Some(_) => true,
    };
    error || members.get("ok") == Some(&Value::Bool(false))
}

/// The token of a reply's members.
pub(in crate::oauth) fn granted(
    mut members: Map<String, Value>,
    request: &Request<'_>,
) -> Result<Granted, ReplyProblem> {
    let access_token = text(&mut members, "access_token").ok_or(ReplyProblem::NoAccessToken)?;
    // It goes into a header, a header file, an environment: RFC 6750 section 2.1 has no such
    // characters.
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ReplyProblem::AccessTokenCharacters);
    }
    let token_type = token_type(&mut members)?;
    // Who accepts the token goes by the earlier of the two: `expires_in` counts from an approval
    // at Dex, in milliseconds elsewhere.
    let both = [
        lifetime::stated(&members, request.unix_now),
        lifetime::of_jwt(&access_token, request.unix_now),
    ];
    let stated = both.into_iter().flatten().min().or(request.assume_lifetime);
    let refresh_lifetime = lifetime::of_refresh_token(&members, request.unix_now);
    let refresh_token = text(&mut members, "refresh_token")
        .map(SecretString::from)
        .or_else(|| request.refresh_token.cloned());
    let id_token = text(&mut members, "id_token")
        .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let id_token_lifetime = id_token
        .as_deref()
        .and_then(|token| lifetime::of_jwt(token, request.unix_now));
    let validity = Validity {
        obtained_at: request.sent_at,
        expires_at: request.sent_at + stated.unwrap_or(lifetime::FALLBACK),
        refresh: refresh_token.is_some().then(|| RefreshValidity {
            expires_at: refresh_lifetime.map(|lifetime| request.sent_at + lifetime),
        }),
        id_token_expires_at: id_token_lifetime.map(|lifetime| request.sent_at + lifetime),
    };
    let token = Token {
        access_token: SecretString::from(access_token),
        token_type,
        scope: scope(&mut members),
        id_token: id_token.map(SecretString::from),
        refresh_token,
        validity,
    };
    Ok(Granted {
        token,
        lifetime_guessed: stated.is_none(),
    })
}

/// Unknown types are taken as given: Slack's `bot` and Apigee's `BearerToken` are used as bearer
/// tokens. The three known to need a proof of possession are not.
fn token_type(members: &mut Map<String, Value>) -> Result<String, ReplyProblem> {
    let Some(token_type) = text(members, "token_type") else {
        return Ok("Bearer".into());
    };
    let bound = ["dpop", "mac", "pop"]
        .iter()
        .any(|bound| token_type.eq_ignore_ascii_case(bound));
    let printable = token_type.bytes().all(|byte| byte.is_ascii_graphic());
    if bound || !printable || token_type.len() > 64 {
        return Err(ReplyProblem::TokenType);
    }
    Ok(token_type)
}

/// `scope`: one string, or an array as some servers send it.
fn scope(members: &mut Map<String, Value>) -> Option<String> {
    let scope = match members.remove("scope")? {
        Value::String(scope) => scope,
        Value::Array(scopes) => scopes
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        _ => return None,
    };
    let allowed = !scope.is_empty() && !scope.chars().any(char::is_control);
    allowed.then_some(scope)
}

/// A non-empty string.
fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn refusal(reply: Reply<'_>, request: &Request<'_>, members: &Map<String, Value>) -> ResponseError {
    let string = |name: &str| members.get(name).and_then(Value::as_str);
    let ids = ["message_id", "correlation_id", "trace_id"];
    ResponseError::Refused(Box::new(Refusal {
        status: reply.status,
        error: string("error").and_then(|error| shown(error, request.secrets, 64)),
        description: string("error_description").and_then(|text| shown(text, request.secrets, 600)),
        ids: ids
            .into_iter()
            .filter_map(|name| Some((name, shown(string(name)?, request.secrets, 64)?)))
            .collect(),
        retry_after: retry_after(reply.headers, request.unix_now),
    }))
}
