//! Token requests against loopback servers: what is sent, what is survived, what errors say.

mod configuration;
mod discovery;
mod http;
mod server;
mod tls;
