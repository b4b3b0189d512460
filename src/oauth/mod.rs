//! Everything between bearerd and an authorization server.
//!
//! | Room | What is in it |
//! |---|---|
//! | [`credentials`] | how a client proves who it is: secrets, keys, certificates, assertions |
//! | [`transport`] | how a request travels: the HTTP client, TLS, and why no answer came |
//! | [`response`] | what the answer to a token request means: a token, or a refusal |
//! | [`provider`] | what a provider publishes: its metadata, its keys, documents |
//! | [`id_token`] | what an ID token says, once it is verified |
//! | [`request`] | what asks for a token: token requests, programs, HTTP requests of no standard |
//! | [`login`] | how a person logs in: in a browser, by a form, on another device |
//!
//! Above the rooms stand [`Client`] and [`Registration`], which hold what requests are made with,
//! and what is done with them: [`obtain`](obtain()), [`revoke`] and [`probe`](probe::probe). Each
//! room has an error of its own; [`ObtainError`] is the sum of them.

pub mod credentials;
pub mod id_token;
pub mod login;
pub mod probe;
pub mod provider;
pub mod request;
pub mod response;
pub mod transport;

mod client;
mod error;
mod failure;
mod input_tokens;
mod obtain;
mod registration;
mod revocation;
mod server_clock;

pub use client::{Client, Referring};
pub use error::ObtainError;
pub use id_token::IdTokenError;
pub use input_tokens::{InputTokens, MissingInputToken};
pub use login::LoginError;
pub use obtain::{obtain, obtain_alone};
pub use probe::{Probe, probe};
pub use registration::Registration;
pub use revocation::{RevocationError, revoke};
pub use transport::{NoAnswer, Trouble, is_confidential, is_loopback};
