//! How a token is obtained.

use std::collections::BTreeMap;

use url::Url;

use super::super::secret_ref::SecretRef;
use crate::credential::TokenName;
use crate::refresh::Part;

/// `[token.NAME.grant.*]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GrantConfig {
    /// RFC 6749 section 4.1, with PKCE (RFC 7636).
    AuthorizationCode(Box<AuthorizationCode>),
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 8628.
    DeviceCode,
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
