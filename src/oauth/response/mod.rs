//! What the answer to a token request means: a token and how long it lives, or a refusal.

pub(super) mod dates;
mod error;
mod http_refusal;
pub(super) mod lifetime;
mod refusal;
pub(super) mod shown;
pub(super) mod token_response;

pub use error::{ReplyProblem, ResponseError};
pub use http_refusal::HttpRefusal;
pub use refusal::Refusal;
pub use token_response::{Granted, Reply, Request, parse};
