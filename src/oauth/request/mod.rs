//! What asks for a token: token requests, programs, and HTTP requests of no standard.

pub(super) mod command;
pub(super) mod http_grant;
pub(super) mod parameters;
