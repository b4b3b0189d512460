//! How a client proves who it is: secrets, keys and certificates, and the assertions signed with
//! them.

pub(super) mod assertion;
pub(super) mod certificate;
pub(super) mod client_auth;
mod error;
pub(super) mod private_key;
pub(super) mod secret;
mod signing_key;
pub(super) mod values;

pub use error::CredentialsError;
pub use private_key::KeyError;
