//! How a request travels: the HTTP client, TLS, and why no answer came.

pub(super) mod http;
pub(super) mod trouble;
