//! The authorization request and its answer (RFC 6749 section 4.1, PKCE, RFC 9207). Pure but for the
//! random numbers.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::LoginError;
use super::secret_text;
use crate::config::{AuthorizationCode, HttpsUrl, TokenConfig};
use crate::oauth::error::SourceError;
use crate::oauth::token_response;

/// An authorization request that has been made, and what its answer is held against.
#[derive(Debug, Deserialize, Serialize)]
pub struct Authorization {
    /// Where the browser is to go.
    pub url: String,
    /// `redirect_uri`: the token request repeats it byte for byte (RFC 6749 section 4.1.3).
    pub redirect_uri: String,
    #[serde(with = "secret_text")]
    state: SecretString,
    #[serde(with = "secret_text")]
    code_verifier: SecretString,
    nonce: Option<String>,
    /// The issuer, and whether the answer must name it (RFC 9207 section 2.4).
    issuer: Option<(String, bool)>,
}

/// What a token request with an authorization code says.
#[derive(Debug)]
pub struct Redemption {
    pub(in crate::oauth) code: SecretString,
    pub(in crate::oauth) redirect_uri: String,
    pub(in crate::oauth) code_verifier: SecretString,
    pub(in crate::oauth) nonce: Option<String>,
}

impl Authorization {
    pub(super) fn new(
        (endpoint, client_id): (&HttpsUrl, &str),
        issuer: Option<(String, bool)>,
        token: &TokenConfig,
        grant: &AuthorizationCode,
        redirect_uri: String,
    ) -> Result<Self, SourceError> {
        let (state, code_verifier) = (random()?, random()?);
        // OpenID Connect Core section 3.1.2.1.
        let nonce = wants_id_token(token).then(random).transpose()?;
        let mut url = endpoint.url.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", client_id)
                .append_pair("redirect_uri", &redirect_uri);
            if !token.scope.is_empty() {
                query.append_pair("scope", &token.scope.join(" "));
            }
            query
                .append_pair("state", &state)
                .append_pair("code_challenge", &challenge(&code_verifier))
                .append_pair("code_challenge_method", "S256");
            if let Some(nonce) = &nonce {
                query.append_pair("nonce", nonce);
            }
            for audience in &token.audience {
                query.append_pair("audience", audience);
            }
            for resource in &token.resource {
                query.append_pair("resource", resource);
            }
            query.extend_pairs(&grant.authorization_params);
        }
        Ok(Self {
            url: url.into(),
            redirect_uri,
            state: state.into(),
            code_verifier: code_verifier.into(),
            nonce,
            issuer,
        })
    }

    /// Whether the browser has come to its end.
    pub(super) fn is_end(&self, address: &Url) -> bool {
        let ours = Url::parse(&self.redirect_uri);
        ours.is_ok_and(|ours| same_place(&ours, address))
    }

    /// Takes the code out of the address that the browser ended at; its query alone will do.
    ///
    /// # Errors
    /// [`LoginError`]. One that [`is_foreign`](LoginError::is_foreign) says nothing about this login.
    pub fn answered(&self, address: &str) -> Result<Redemption, LoginError> {
        let address = address.trim();
        let not_ours = || LoginError::NotOurs(self.redirect_uri.clone());
        let query = match Url::parse(address) {
            Ok(url) if self.is_end(&url) => url.query().unwrap_or_default().to_owned(),
            Ok(_) => return Err(not_ours()),
            Err(_) if address.contains("state=") => address.trim_start_matches('?').to_owned(),
            Err(_) => return Err(not_ours()),
        };
        let parameter = |wanted: &str| {
            let pairs = url::form_urlencoded::parse(query.as_bytes());
            let mut found = pairs.filter(|(name, _)| name == wanted);
            // RFC 6749 section 3.1: none is there twice.
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(Some(value.into_owned())),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(LoginError::NoCode),
            }
        };
        let state = parameter("state")?.ok_or(LoginError::State)?;
        let expected = self.state.expose_secret().as_bytes();
        constant_time::verify_slices_are_equal(state.as_bytes(), expected)
            .map_err(|_| LoginError::State)?;
        self.check_issuer(parameter("iss")?.as_deref())?;
        if let Some(error) = parameter("error")? {
            let description = parameter("error_description")?;
            let shown = |text: &str, limit| token_response::shown(text, &[&self.state], limit);
            return Err(LoginError::Refused {
                error: shown(&error, 64).unwrap_or_default(),
                description: description.and_then(|text| shown(&text, 200)),
            });
        }
        let code = parameter("code")?.filter(|code| !code.is_empty());
        Ok(Redemption {
            code: code.ok_or(LoginError::NoCode)?.into(),
            redirect_uri: self.redirect_uri.clone(),
            code_verifier: self.code_verifier.clone(),
            nonce: self.nonce.clone(),
        })
    }

    /// RFC 9207 section 2.4.
    fn check_issuer(&self, iss: Option<&str>) -> Result<(), LoginError> {
        match (&self.issuer, iss) {
            (Some((issuer, _)), Some(iss)) if issuer == iss => Ok(()),
            (Some((_, false)) | None, None) => Ok(()),
            // Without an issuer there is nothing to compare it with.
            (None, Some(_)) => Ok(()),
            _ => Err(LoginError::Issuer),
        }
    }
}

impl LoginError {
    /// Whether an answer may be anybody's: it does not end the login that it was brought to.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::State | Self::NotOurs(_) | Self::NoCode)
    }
}

/// Whether scope `openid` is asked for.
pub(super) fn wants_id_token(token: &TokenConfig) -> bool {
    token.scope.iter().any(|scope| scope == "openid")
}

/// All but the query; browsers add the slash that an address without a path lacks.
fn same_place(one: &Url, other: &Url) -> bool {
    (
        one.scheme(),
        one.host(),
        one.port_or_known_default(),
        one.path(),
    ) == (
        other.scheme(),
        other.host(),
        other.port_or_known_default(),
        other.path(),
    )
}

/// 256 random bits (RFC 7636 section 4.1).
fn random() -> Result<String, SourceError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SourceError::RequestEncoding)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// RFC 7636 section 4.2.
fn challenge(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, code_verifier.as_bytes()))
}

#[cfg(test)]
mod tests;
