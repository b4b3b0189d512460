//! How a token is obtained.

use std::collections::BTreeMap;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::Part;
use url::Url;

use super::super::secret_ref::SecretRef;
use super::{AssertionConfig, HeaderValue, HttpsUrl, SignatureAlg, Transport};

/// `[token.NAME.grant.*]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GrantConfig {
    /// RFC 6749 section 4.1, with PKCE (RFC 7636).
    AuthorizationCode(Box<AuthorizationCode>),
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 8628.
    DeviceCode,
    /// A program prints it.
    Command(CommandGrant),
    /// An HTTP request of no standard: `http`, and `github_app`, which is one.
    Http(Box<HttpGrant>),
    /// RFC 7523 section 2.1.
    JwtBearer(Box<JwtBearer>),
    /// RFC 6749 section 4.3.
    Password {
        /// `username`.
        username: String,
        /// `password`.
        password: SecretRef,
    },
    /// RFC 6749 section 6, seeded.
    RefreshToken {
        /// The seed: used once, then the state's own.
        refresh_token: SecretRef,
    },
    /// RFC 8693.
    TokenExchange(Box<TokenExchange>),
}

/// `[token.NAME.grant.authorization_code]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorizationCode {
    /// Where the browser is sent with the code.
    pub redirect_uri: RedirectUri,
    /// Further parameters of the authorization request, such as `prompt` or `acr_values`.
    pub authorization_params: BTreeMap<String, String>,
    /// What a mock identity provider's login form is filled with; then no person is needed.
    pub form_login: Option<BTreeMap<String, FormValue>>,
}

/// Where the browser is sent with the code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedirectUri {
    /// A port of this host that is free when the login begins (RFC 8252 section 7.3).
    Loopback(Url),
    /// Not ours to listen on: the person brings the URL that the browser ended at. Kept as written: the
    /// token request repeats it byte for byte (RFC 6749 section 4.1.3).
    Elsewhere(String),
}

/// A field of a login form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FormValue {
    /// As written.
    Plain(String),
    /// Read at each login.
    Secret(SecretRef),
}

/// `[token.NAME.grant.token_exchange]` (RFC 8693 section 2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenExchange {
    /// `subject_token` and `subject_token_type`.
    pub subject: TypedToken,
    /// `actor_token` and `actor_token_type`.
    pub actor: Option<TypedToken>,
    /// `requested_token_type`.
    pub requested_token_type: Option<String>,
}

/// `[token.NAME.grant.command]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandGrant {
    /// argv; no shell.
    pub command: Vec<String>,
    /// After this long it is killed.
    pub timeout: Duration,
    /// The variables that it gets beside `PATH`, `HOME` and `LANG`.
    pub environment: Vec<String>,
}

/// `[token.NAME.grant.http]`: a request, and where in the JSON of its answer the token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpGrant {
    /// How it gets there.
    pub transport: Transport,
    /// `GET`, or `POST` where there is a body.
    pub method: HttpMethod,
    /// Where it goes; used byte for byte.
    pub url: HttpsUrl,
    /// Its headers.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Its `Authorization: Bearer` header.
    pub authorization: Option<Authorization>,
    /// Its JSON body.
    pub body: Option<serde_json::Value>,
    /// JSON pointer (RFC 6901) to the token.
    pub token: String,
    /// JSON pointer to the time at which it expires.
    pub expires_at: Option<String>,
    /// JSON pointer to the seconds until then.
    pub expires_in: Option<String>,
}

/// The method of an HTTP request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpMethod {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// What an HTTP request says in `Authorization: Bearer`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authorization {
    /// A token from elsewhere.
    Bearer(TokenRef),
    /// A JWT without audience, signed for each request.
    Signed(SignedAssertion),
}

/// `[token.NAME.grant.jwt_bearer]` (RFC 7523 section 2.1): the `assertion`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JwtBearer {
    /// Made by somebody else, who is trusted by the authorization server.
    Made(TokenRef),
    /// Signed by bearerd for every request.
    Signed(SignedAssertion),
}

/// An assertion that bearerd signs in somebody's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedAssertion {
    /// PEM, PKCS#1, PKCS#8 or SEC1; read at each request.
    pub key: SecretRef,
    /// The signature algorithm.
    pub alg: SignatureAlg,
    /// `iss`; default the client's id.
    pub issuer: Option<String>,
    /// `sub`; without it there is none.
    pub subject: Option<String>,
    /// What else it says.
    pub assertion: AssertionConfig,
}

/// A token to be sent along, and the identifier of its type (RFC 8693 section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TypedToken {
    /// Where it is.
    pub token: TokenRef,
    /// `urn:ietf:params:oauth:token-type:…`.
    pub token_type: String,
}

/// Where a token that a request carries is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TokenRef {
    /// `{ file = "…" }` and the like: read at each request.
    Secret(SecretRef),
    /// `{ token = "NAME", field = "…" }`: another of bearerd's tokens.
    Token {
        /// Which.
        name: TokenName,
        /// What of it.
        part: Part,
    },
}
