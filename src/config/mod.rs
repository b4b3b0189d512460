//! TOML files to a checked [`Config`]. It cannot hold nonsense: parsing and validation are over by
//! then.
//!
//! A table of the configuration has a file: what it holds when it is read, how it is read, and the
//! rules that look at more than one of its keys.
//!
//! | module | duty |
//! |---|---|
//! | `source` | reads the files and cuts them into sections |
//! | `keys`, `reading` | typed reading of one table; every mistake is reported, reading goes on |
//! | `load` | all of it, in order |
//! | `units`, `references`, `users` | single values |
//! | [`secret_ref`], `stray` | secrets by reference; what got into their files unmeant |
//! | `daemon`, `document`, `client`, `token` | one table each; of a client, `transport` is a part |
//! | `grant`, `refresh`, `file`, `format`, `hook`, `socket` | parts of `token`, one table each |
//! | `links`, `identity` | tokens that are made from other tokens; what decides what is obtained |
//! | [`error`], `excerpt` | what is wrong, where, and the line with its secrets hidden |

pub mod environment;
pub mod error;
pub mod secret_ref;

mod client;
mod daemon;
mod document;
mod excerpt;
mod file;
mod format;
mod grant;
mod hook;
mod identity;
mod keys;
mod links;
mod load;
mod reading;
mod references;
mod refresh;
mod socket;
mod source;
mod stray;
mod token;
mod transport;
mod units;
mod users;

pub use client::{
    AssertionConfig, BodyFormat, ClientAuth, ClientConfig, Endpoint, HmacAlg, LoginEndpoints,
    SIGNATURE_ALGS, SignatureAlg,
};
pub use daemon::{DaemonConfig, NotifyConfig};
pub use document::{ClientId, ClientSecret, DocumentConfig, DocumentRef};
pub use environment::Environment;
pub use error::{ConfigErrors, Problem};
pub use file::{FileConfig, OnExpiry};
pub use format::{FileFormat, Format, FormatSettings, NETRC_LOGIN};
pub use grant::{
    Authorization, AuthorizationCode, CommandGrant, FormValue, GrantConfig, HttpGrant, HttpMethod,
    JwtBearer, PasswordGrant, RedirectUri, RefreshTokenGrant, SignedAssertion, TokenExchange,
    TypedToken,
};
pub use hook::{HookAction, HookConfig};
pub use load::{Config, load};
pub use references::{HeaderValue, TokenRef};
pub use secret_ref::{SecretError, SecretRef};
pub use socket::{Allow, Who};
pub use stray::Stray;
pub use token::TokenConfig;
pub use transport::{TlsConfig, TlsIdentity, Transport};
pub use units::HttpsUrl;
pub use users::User;
