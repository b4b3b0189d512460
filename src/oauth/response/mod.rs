//! What the answer to a token request means: a token and how long it lives, or a refusal.

pub(super) mod lifetime;
pub(super) mod refusal;
pub(super) mod token_response;

pub use token_response::{Granted, Reply, Request, parse};
