//! The key set last fetched from a provider.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, header};
use arc_swap::ArcSwapOption;
use reqwest::Client;
use tokio::sync::Semaphore;

use super::{KeySet, KeySetProblem};
use crate::clock;
use crate::config::HttpsUrl;
use crate::instant::Instant;
use crate::source::error::SourceError;
use crate::source::http;

/// The key set last seen. It outlives its time when the provider does not answer.
pub(in crate::source) struct Cache {
    held: ArcSwapOption<Entry>,
    /// One request at a time: whoever comes meanwhile waits for its result.
    turn: Semaphore,
}

#[derive(Clone)]
struct Entry {
    jwks_uri: String,
    keys: Arc<KeySet>,
    /// Until then it counts as fresh.
    fresh_until: Instant,
    /// When the provider was last asked, with success or without.
    asked_at: Instant,
}

/// What the key set is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::source) enum Want {
    /// For a token not looked at yet.
    Keys,
    /// For a token that no key held fits: the provider may have new keys.
    NewKeys,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            held: ArcSwapOption::empty(),
            turn: Semaphore::new(1),
        }
    }
}

impl Cache {
    /// The key set; asked for again when it is old, and for [`Want::NewKeys`] at most once a minute.
    pub(in crate::source) async fn keys(
        &self,
        client: &Client,
        jwks_uri: &HttpsUrl,
        want: Want,
    ) -> Result<Arc<KeySet>, SourceError> {
        if let Some(entry) = self.held(jwks_uri)
            && !entry.is_due(want, clock::now())
        {
            return Ok(Arc::clone(&entry.keys));
        }
        let _turn = self.turn.acquire().await;
        let held = self.held(jwks_uri);
        let now = clock::now();
        if let Some(entry) = &held
            && !entry.is_due(want, now)
        {
            return Ok(Arc::clone(&entry.keys));
        }
        match (fetch(client, jwks_uri).await, held) {
            (Ok((keys, lifetime)), _) => {
                let keys = Arc::new(keys);
                self.held.store(Some(Arc::new(Entry {
                    jwks_uri: jwks_uri.text.clone(),
                    keys: Arc::clone(&keys),
                    fresh_until: now + lifetime,
                    asked_at: now,
                })));
                Ok(keys)
            }
            (Err(error), Some(entry)) => {
                tracing::warn!(%error, "cannot fetch the provider's keys; using those seen before");
                let keys = Arc::clone(&entry.keys);
                self.held.store(Some(Arc::new(Entry {
                    asked_at: now,
                    ..Entry::clone(&entry)
                })));
                Ok(keys)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What is held of that address.
    fn held(&self, jwks_uri: &HttpsUrl) -> Option<Arc<Entry>> {
        self.held
            .load_full()
            .filter(|entry| entry.jwks_uri == jwks_uri.text)
    }
}

impl Entry {
    /// Whether the provider may be asked now. However many tokens name keys it has not: once a minute.
    fn is_due(&self, want: Want, now: Instant) -> bool {
        let wanted = match want {
            Want::Keys => now >= self.fresh_until,
            Want::NewKeys => true,
        };
        wanted && now >= self.asked_at + ASK_AGAIN
    }
}

async fn fetch(client: &Client, jwks_uri: &HttpsUrl) -> Result<(KeySet, Duration), SourceError> {
    let request = client
        .get(jwks_uri.url.clone())
        .header(header::ACCEPT, "application/jwk-set+json, application/json");
    let answer = http::exchange(request, &jwks_uri.url).await?;
    let keys = if answer.status.is_success() {
        KeySet::parse(&answer.body)
    } else {
        Err(KeySetProblem::Status(answer.status))
    };
    match keys {
        Ok(keys) => Ok((keys, lifetime(&answer.headers))),
        Err(problem) => Err(SourceError::KeySet {
            server: http::server(&jwks_uri.url),
            problem,
        }),
    }
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1), within bounds: a key withdrawn goes within a
/// day, and no server makes us ask at every login.
fn lifetime(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL);
    let directives = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let max_age = directives
        .filter_map(|directive| directive.trim().split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("max-age"))
        .find_map(|(_, seconds)| seconds.trim_matches('"').parse().ok());
    max_age.map_or(LIFETIME, |seconds| {
        Duration::from_secs(seconds).clamp(SHORTEST, LONGEST)
    })
}

/// How long keys count as fresh when the server does not say.
const LIFETIME: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How soon the provider is asked again, whatever for.
const ASK_AGAIN: Duration = Duration::from_secs(60);
