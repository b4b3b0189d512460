//! What asks for a token: token requests, programs, and HTTP requests of no standard.

pub(super) mod command;
pub(super) mod grant;
pub(super) mod http_grant;
pub(super) mod parameters;
pub(super) mod proof;
pub(super) mod secrets;
pub(super) mod token_request;

pub use command::CommandError;
