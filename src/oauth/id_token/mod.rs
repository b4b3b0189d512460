//! What an ID token says, once it is sure that the provider says it, to this client, about this
//! login (OpenID Connect Core 1.0 sections 2 and 3.1.3.7, RFC 8725). Pure: the keys and the time
//! come in.

mod claims;
mod error;
mod expected;
mod jws;
mod verify;

pub use claims::Claims;
pub use error::{IdTokenError, Part};
pub use expected::{ALGORITHMS, Expected, LEEWAY, MAX_AGE};
pub use verify::verify;
