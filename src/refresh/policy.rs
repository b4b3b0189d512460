//! What the core knows of a configured token.

use std::sync::Arc;
use std::time::Duration;

/// An authorization server: the issuer, or the token endpoint's origin. Its limiter and circuit
/// breaker are shared by all tokens that come from it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServerId(pub Arc<str>);

/// How one token is to be kept fresh.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Where it comes from.
    pub server: ServerId,
    /// How much that server may be asked; of several for one server, the smallest wins.
    pub limits: Limits,
    /// What the configured grant permits.
    pub grant: Grant,
    /// When to replace it.
    pub refresh_at: RefreshAt,
    /// After how long a request counts as lost.
    pub deadline: Duration,
    /// Names everything that decides *what* is obtained (server, client, grant, scope, parameters, but
    /// no secret). When it changes, the token is obtained anew and the refresh token is set aside.
    pub identity: [u8; 16],
}

/// Bounds on the requests to one authorization server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Requests under way at once.
    pub max_in_flight: u32,
    /// Requests a minute, where the server's operator has published a figure.
    pub requests_per_minute: Option<u32>,
}

/// What the configured grant permits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// May be repeated without harm (`client_credentials`).
    ClientCredentials,
    /// May be repeated, but a refusal must not be: accounts get locked.
    Password,
    /// A seed refresh token, used once; from then on only the refresh token held.
    RefreshToken,
}

/// When to replace a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefreshAt {
    /// At this many thousandths of its lifetime.
    Permille(u16),
    /// This long before it expires.
    BeforeExpiry(Duration),
}
