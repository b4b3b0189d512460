//! How a request travels: the HTTP client, TLS, and why no answer came.

pub(super) mod address;
mod error;
pub(super) mod exchange;
pub(super) mod headers;
pub(super) mod http;
mod no_answer;
mod trouble;

pub use address::{is_confidential, is_loopback};
pub use error::{EncodingError, HttpClientProblem, TransportError};
pub use no_answer::NoAnswer;
pub use trouble::Trouble;
