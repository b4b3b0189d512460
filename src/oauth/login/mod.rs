//! Logins: at an authorization endpoint (RFC 6749 section 4.1), by a person or, where a mock
//! identity provider lets a program do so, by filling in its form; or on another device (RFC 8628).

mod authorization;
mod code;
mod cookies;
mod device;
mod endpoint;
mod error;
mod form;
mod html;
mod patience;
mod secret_text;
mod verified;

pub use authorization::{Authorization, Redemption};
pub use code::{authorize, redeem};
pub use device::DeviceLogin;
pub use error::LoginError;

pub(super) use form::by_form;
