//! Token requests against loopback servers: what is sent, what is survived, what errors say.

#![expect(
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "tests, and their tables"
)]

mod configuration;
mod discovery;
mod documents;
mod grants;
mod http;
mod id_token;
mod tls;
