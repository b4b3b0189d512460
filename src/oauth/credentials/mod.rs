//! How a client proves who it is: secrets, keys and certificates, and the assertions signed with them.

pub(super) mod assertion;
pub(super) mod certificate;
pub(super) mod client_auth;
