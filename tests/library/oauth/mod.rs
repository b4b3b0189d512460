//! Token requests against loopback servers: what is sent, what is survived, what errors say.

mod configuration;
mod discovery;
mod documents;
mod grants;
mod http;
mod id_token;
mod tls;
