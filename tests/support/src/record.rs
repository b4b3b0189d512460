//! What the authorization server has seen and handed out.

use std::collections::BTreeMap;

use crate::clock;
use bearerd_core::instant::Instant;

/// Which of the three systems.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum System {
    /// Arden & GEM: Microsoft Entra ID.
    Entra,
    /// LEV: Keycloak.
    Lev,
    /// NHS England: Apigee.
    Nhs,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lev, Self::Entra, Self::Nhs];
}

/// One request, complete.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it had arrived.
    pub at: Instant,
    /// Whose endpoint; `None` for a path that is nobody's.
    pub system: Option<System>,
    /// `POST` and so on.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
    /// As received.
    pub content_type: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `apikey` header.
    pub apikey: Option<String>,
    /// The body's parameters, the last of a name.
    pub form: BTreeMap<String, String>,
    /// Whether a parameter came more than once.
    pub repeated: bool,
    /// What it was answered with; `None` while it waits, and when the connection was cut.
    pub status: Option<u16>,
}

impl Request {
    /// A parameter of the body, the empty string when absent.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    /// Whether it has a token revoked.
    #[must_use]
    pub fn revokes(&self) -> bool {
        self.path.ends_with("/revoke")
    }

    /// Whether it asks for a token, rather than for metadata.
    #[must_use]
    pub fn asks_for_token(&self) -> bool {
        self.method == "POST" && self.system.is_some() && !self.revokes()
    }
}

/// A token handed out, whether or not the answer arrived.
#[derive(Clone, Debug)]
pub struct Issued {
    /// By whom.
    pub system: System,
    /// The access token.
    pub access_token: String,
    /// The refresh token that came with it.
    pub refresh_token: Option<String>,
    /// When.
    pub at: Instant,
    /// Not accepted from here on.
    pub expires_at: Instant,
    /// Keycloak: the session it belongs to.
    pub session: Option<u64>,
    /// No longer accepted, whatever its lifetime.
    pub revoked: bool,
}

impl Issued {
    /// Whether it would have been accepted at that time.
    #[must_use]
    pub fn accepted_at(&self, at: Instant) -> bool {
        !self.revoked && at < self.expires_at
    }
}

/// Everything since the start.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// In order of arrival.
    pub requests: Vec<Request>,
    /// In order of issue.
    pub issued: Vec<Issued>,
    /// Connections accepted and not ended.
    pub connections: usize,
    /// Requests now being answered.
    pub in_flight: usize,
    /// The most at once.
    pub max_in_flight: usize,
    /// Faults met so far.
    pub faults: usize,
    /// Tokens presented at `/check`.
    pub checks: u64,
    /// Those of them that were refused.
    pub rejected: u64,
    /// Whether connections are accepted.
    pub listening: bool,
}

impl Log {
    /// How many token requests one system got.
    #[must_use]
    pub fn token_requests(&self, system: System) -> usize {
        let of_system = |r: &&Request| r.asks_for_token() && r.system == Some(system);
        self.requests.iter().filter(of_system).count()
    }

    /// The newest request for a token of one system.
    #[must_use]
    pub fn last_request(&self, system: System) -> Option<&Request> {
        let of_system = |r: &&Request| r.asks_for_token() && r.system == Some(system);
        self.requests.iter().rev().find(of_system)
    }

    /// How many tokens one system issued.
    #[must_use]
    pub fn issued_by(&self, system: System) -> usize {
        self.issued.iter().filter(|i| i.system == system).count()
    }

    /// The newest token of one system.
    #[must_use]
    pub fn last_issued(&self, system: System) -> Option<&Issued> {
        self.issued.iter().rev().find(|i| i.system == system)
    }

    /// The issued token with this text.
    #[must_use]
    pub fn find(&self, access_token: &str) -> Option<&Issued> {
        self.issued
            .iter()
            .rev()
            .find(|i| i.access_token == access_token)
    }

    /// Whether an API would accept this token now.
    #[must_use]
    pub fn accepts(&self, access_token: &str) -> bool {
        self.find(access_token)
            .is_some_and(|issued| issued.accepted_at(clock::now()))
    }
}
