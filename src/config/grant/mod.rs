//! `[token.NAME.grant.*]`: how a token is obtained.
//!
//! Each grant has a file of its own: its settings, how they are read and checked, and what follows
//! from them. For a new grant there is one more file; and here its variant, its entry in [`GRANTS`]
//! and its line in [`GrantConfig::profile`].

mod authorization_code;
mod client_credentials;
mod command;
mod device_code;
mod github_app;
mod http;
mod jwt_bearer;
mod params;
mod password;
mod profile;
mod refresh_token;
mod signed;
mod token_exchange;

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::keys::{Field, Keys};

pub use self::http::{Authorization, HttpGrant, HttpMethod};
pub use authorization_code::{AuthorizationCode, FormValue, RedirectUri};
pub use command::CommandGrant;
pub use jwt_bearer::JwtBearer;
pub use password::PasswordGrant;
pub(super) use profile::{LoginAt, Profile};
pub use refresh_token::RefreshTokenGrant;
pub use signed::SignedAssertion;
pub use token_exchange::{TokenExchange, TypedToken};

/// `[token.NAME.grant.*]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GrantConfig {
    /// The authorization code grant (RFC 6749 section 4.1), with PKCE (RFC 7636).
    AuthorizationCode(Box<AuthorizationCode>),
    /// The client credentials grant (RFC 6749 section 4.4).
    ClientCredentials,
    /// The device authorization grant (RFC 8628).
    DeviceCode,
    /// A program prints the token.
    Command(CommandGrant),
    /// An HTTP request of no standard: `http`, and `github_app`, which describes one.
    Http(Box<HttpGrant>),
    /// The JWT bearer grant (RFC 7523 section 2.1).
    JwtBearer(Box<JwtBearer>),
    /// The password grant (RFC 6749 section 4.3).
    Password(PasswordGrant),
    /// The refresh token grant (RFC 6749 section 6), with a first token from elsewhere.
    RefreshToken(RefreshTokenGrant),
    /// Token exchange (RFC 8693).
    TokenExchange(Box<TokenExchange>),
}

impl GrantConfig {
    /// Reads `grant`.
    pub(super) fn read(field: Field<'_>) -> Option<Self> {
        let (table, field, kind) = field.kind(&GRANTS, "grant")?;
        let field = Field {
            table: &table,
            ..field
        };
        (kind.read)(field.keys()?)
    }

    /// What follows from the grant, whichever it is.
    pub(super) fn profile(&self) -> Profile<'_> {
        match self {
            Self::AuthorizationCode(grant) => grant.profile(),
            Self::ClientCredentials => client_credentials::profile(),
            Self::DeviceCode => device_code::profile(),
            Self::Command(grant) => grant.profile(),
            Self::Http(grant) => grant.profile(),
            Self::JwtBearer(grant) => grant.profile(),
            Self::Password(grant) => grant.profile(),
            Self::RefreshToken(grant) => grant.profile(),
            Self::TokenExchange(grant) => grant.profile(),
        }
    }
}

/// A grant, before it is read.
#[derive(Clone, Copy)]
struct Kind {
    /// Whether the token is obtained without a token request, and so without a client.
    alone: bool,
    /// The parameters that the grant sets, each with a hint where to set it.
    params: &'static [(&'static str, &'static str)],
    read: fn(Keys<'_>) -> Option<GrantConfig>,
}

/// A grant that is a token request.
const fn request(
    params: &'static [(&'static str, &'static str)],
    read: fn(Keys<'_>) -> Option<GrantConfig>,
) -> Kind {
    Kind {
        alone: false,
        params,
        read,
    }
}

/// A grant that is no token request.
const fn alone(read: fn(Keys<'_>) -> Option<GrantConfig>) -> Kind {
    Kind {
        alone: true,
        params: &[],
        read,
    }
}

/// All grants, by the names of their tables.
const GRANTS: [(&str, Kind); 10] = [
    (
        "authorization_code",
        request(authorization_code::PARAMS, |keys| {
            let grant = AuthorizationCode::read(keys, params)?;
            Some(GrantConfig::AuthorizationCode(Box::new(grant)))
        }),
    ),
    (
        "client_credentials",
        request(&[], |keys| {
            keys.finish();
            Some(GrantConfig::ClientCredentials)
        }),
    ),
    (
        "command",
        alone(|keys| Some(GrantConfig::Command(CommandGrant::read(keys)?))),
    ),
    (
        "device_code",
        request(device_code::PARAMS, |keys| {
            keys.finish();
            Some(GrantConfig::DeviceCode)
        }),
    ),
    (
        "github_app",
        alone(|keys| Some(GrantConfig::Http(Box::new(github_app::read(keys)?)))),
    ),
    (
        "http",
        alone(|keys| Some(GrantConfig::Http(Box::new(HttpGrant::read(keys)?)))),
    ),
    (
        "jwt_bearer",
        request(jwt_bearer::PARAMS, |keys| {
            Some(GrantConfig::JwtBearer(Box::new(JwtBearer::read(keys)?)))
        }),
    ),
    (
        "password",
        request(password::PARAMS, |keys| {
            Some(GrantConfig::Password(PasswordGrant::read(keys)?))
        }),
    ),
    (
        "refresh_token",
        request(refresh_token::PARAMS, |keys| {
            Some(GrantConfig::RefreshToken(RefreshTokenGrant::read(keys)?))
        }),
    ),
    (
        "token_exchange",
        request(token_exchange::PARAMS, |keys| {
            let grant = TokenExchange::read(keys)?;
            Some(GrantConfig::TokenExchange(Box::new(grant)))
        }),
    ),
];

/// The name of the grant, if a token has one that is no token request.
pub(super) fn stands_alone(token: &Keys<'_>) -> Option<&'static str> {
    let DeValue::Table(grant) = token.field("grant")?.value() else {
        return None;
    };
    let mut alone = GRANTS.iter().filter(|(_, kind)| kind.alone);
    let (name, _) = alone.find(|(name, _)| grant.contains_key(*name))?;
    Some(name)
}

/// Reads further parameters of a request. Those that a grant sets are refused.
pub(super) fn params(field: Field<'_>) -> Option<BTreeMap<String, String>> {
    let of_grants = GRANTS.iter().flat_map(|(_, kind)| kind.params);
    params::read(field, of_grants.copied())
}

/// The names of the grants, for a hint.
pub(super) fn kinds() -> String {
    let [rest @ .., (last, _)] = &GRANTS;
    let rest: Vec<_> = rest.iter().map(|(name, _)| *name).collect();
    format!("KIND being {} or {last}", rest.join(", "))
}
