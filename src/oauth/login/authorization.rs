//! The authorization request and its answer (RFC 6749 section 4.1, PKCE, RFC 9207). Pure but for
//! the random numbers.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::LoginError;
use super::secret_text;
use crate::config::{AuthorizationCode, HttpsUrl, TokenConfig};
use crate::oauth::response::shown::shown;
use crate::oauth::transport::EncodingError;

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
    ) -> Result<Self, EncodingError> {
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
    /// [`LoginError`]. One that [`is_foreign`](LoginError::is_foreign) says nothing about this
    /// login.
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
            let shown = |text: &str, limit| shown(text, &[&self.state], limit);
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
            (Some(_), Some(_)) | (Some((_, true)), None) => Err(LoginError::Issuer),
        }
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
fn random() -> Result<String, EncodingError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| EncodingError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// RFC 7636 section 4.2.
fn challenge(code_verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, code_verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(redirect_uri: &str, issuer: Option<(&str, bool)>) -> Authorization {
        Authorization {
            url: String::new(),
            redirect_uri: redirect_uri.into(),
            state: "st-1".into(),
            code_verifier: "v".into(),
            nonce: None,
            issuer: issuer.map(|(issuer, required)| (issuer.into(), required)),
        }
    }

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(
            challenge(verifier),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        let random = random().unwrap();
        assert_eq!(random.len(), 43);
        assert_ne!(random, super::random().unwrap());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn codes_and_what_is_none() {
        use LoginError::{Issuer, NoCode, NotOurs, State};
        let not_ours = || NotOurs("https://example.org".into());
        let refused = |error: &str, description: Option<&str>| LoginError::Refused {
            error: error.into(),
            description: description.map(str::to_owned),
        };
        let table = [
            ("https://example.org/?code=c&state=st-1", Ok("c")),
            ("https://example.org?code=c&state=st-1", Ok("c")),
            (
                "  https://EXAMPLE.org:443/?state=st-1&code=a%2Fb%2B \n",
                Ok("a/b+"),
            ),
            ("?code=c&state=st-1", Ok("c")),
            ("code=c&state=st-1&session_state=x", Ok("c")),
            ("https://example.org/?code=c&state=st-1#frag", Ok("c")),
            ("https://example.org/?code=c&state=st-2", Err(State)),
            ("https://example.org/?code=c&state=", Err(State)),
            ("https://example.org/?code=c", Err(State)),
            (
                "https://example.org/?code=c&state=st-1&state=st-1",
                Err(NoCode),
            ),
            ("https://example.org/?code=c&code=d&state=st-1", Err(NoCode)),
            ("https://example.org/?code=&state=st-1", Err(NoCode)),
            ("https://example.org/?state=st-1", Err(NoCode)),
            ("https://example.org/x?code=c&state=st-1", Err(not_ours())),
            ("http://example.org/?code=c&state=st-1", Err(not_ours())),
            (
                "https://example.org:8443/?code=c&state=st-1",
                Err(not_ours()),
            ),
            (
                "https://example.org.evil/?code=c&state=st-1",
                Err(not_ours()),
            ),
            ("", Err(not_ours())),
            ("hello", Err(not_ours())),
            (
                "https://example.org/?code=c&state=st-1&iss=https%3A%2F%2Fop.example",
                Ok("c"),
            ),
            (
                "https://example.org/?code=c&state=st-1&iss=https%3A%2F%2Fop.example%2F",
                Err(Issuer),
            ),
            (
                "https://example.org/?error=access_denied&state=st-1",
                Err(refused("access_denied", None)),
            ),
            (
                "https://example.org/?error=x%0Ay&error_description=no%1B%5B2J+st-1&state=st-1",
                Err(refused("x y", Some("no [2J [redacted]"))),
            ),
            (
                "https://example.org/?error=access_denied&state=other",
                Err(State),
            ),
        ];
        let authorization =
            authorization("https://example.org", Some(("https://op.example", false)));
        for (address, expected) in table {
            let answer = authorization.answered(address);
            let code = answer.map(|redemption| {
                assert_eq!(redemption.redirect_uri, "https://example.org");
                redemption.code.expose_secret().to_owned()
            });
            assert_eq!(code, expected.map(str::to_owned), "{address}");
        }
    }

    #[test]
    fn the_issuer_of_an_answer() {
        let with = "http://127.0.0.1:4711/?code=c&state=st-1&iss=https%3A%2F%2Fop.example";
        let without = "http://127.0.0.1:4711/?code=c&state=st-1";
        let op = "https://op.example";
        for (issuer, answer, good) in [
            (None, with, true),
            (None, without, true),
            (Some((op, false)), without, true),
            (Some((op, true)), without, false),
            (Some((op, true)), with, true),
            (Some(("https://other.example", false)), with, false),
        ] {
            let authorization = authorization("http://127.0.0.1:4711/", issuer);
            assert_eq!(
                authorization.answered(answer).is_ok(),
                good,
                "{issuer:?} {answer}"
            );
        }
    }
}
