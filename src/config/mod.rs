//! TOML files to a checked [`Config`].
//!
//! | module | duty |
//! |---|---|
//! | `source` | reads the files and cuts them into sections |
//! | `keys`, `reading` | typed reading of one table; every mistake is reported, reading goes on |
//! | `load` | all of it, in order |
//! | `units`, `references`, `users` | single values |
//! | `client`, `auth`, `document`, `token`, `grant`, `grant_http`, `file`, `allow` | one table each |
//! | `links` | tokens that are made from other tokens |
//! | `validate` | the rules that look at more than one key |
//! | [`error`], `excerpt` | what is wrong, where, and the line with its secrets hidden |
//! | [`model`], `identity`, `needs`, `policy` | the checked result, and what follows from it |

pub mod environment;
pub mod error;
pub mod model;
pub mod secret_ref;

mod allow;
mod auth;
mod client;
mod document;
mod excerpt;
mod file;
mod grant;
mod grant_http;
mod identity;
mod keys;
mod links;
mod load;
mod needs;
mod policy;
mod reading;
mod references;
mod source;
mod token;
mod units;
mod users;
mod validate;

pub use auth::SIGNATURE_ALGS;
pub use environment::Environment;
pub use error::{ConfigErrors, Problem};
pub use load::load;
pub use model::*;
pub use secret_ref::{SecretError, SecretRef};
pub use users::User;
