//! The key set last fetched from a provider.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, header};
use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use reqwest::Client;

use super::error::ProviderError;
use super::key_set::{KeySet, KeySetProblem};
use super::single_flight::{Shared, SingleFlight};
use crate::clock;
use crate::config::HttpsUrl;
use crate::oauth::transport::address::server;
use crate::oauth::transport::exchange::fetch_public;

/// The key set last seen. It outlives its time when the provider does not answer.
#[derive(Default)]
pub(in crate::oauth) struct Cache {
    held: ArcSwapOption<Entry>,
    requests: SingleFlight<ProviderError>,
}

#[derive(Clone)]
struct Entry {
    jwks_uri: String,
    keys: Arc<KeySet>,
    /// Until then it counts as fresh.
    fresh_until: Instant,
    /// Before that, the provider is not asked, whatever for.
    ask_again_at: Instant,
}

/// What the key set is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::oauth) enum Want {
    /// For a token not looked at yet.
    Keys,
    /// For a token that no key held fits: the provider may have new keys.
    NewKeys,
}

impl Cache {
    /// The key set; asked for again when it is old, and for [`Want::NewKeys`] at most once a
    /// minute.
    pub(in crate::oauth) async fn keys(
        &self,
        client: &Client,
        jwks_uri: &HttpsUrl,
        want: Want,
    ) -> Result<Arc<KeySet>, Shared<ProviderError>> {
        let good = || {
            let entry = self.held(jwks_uri)?;
            (!entry.is_due(want, clock::now())).then(|| Arc::clone(&entry.keys))
        };
        self.requests
            .get(good, self.renew(client, jwks_uri, want))
            .await
    }

    async fn renew(
        &self,
        client: &Client,
        jwks_uri: &HttpsUrl,
        want: Want,
    ) -> Result<Arc<KeySet>, ProviderError> {
        let now = clock::now();
        match (fetch(client, jwks_uri).await, self.held(jwks_uri)) {
            (Ok((keys, lifetime)), _) => {
                let keys = Arc::new(keys);
                self.held.store(Some(Arc::new(Entry {
                    jwks_uri: jwks_uri.text.clone(),
                    keys: Arc::clone(&keys),
                    fresh_until: now + lifetime,
                    ask_again_at: now + want.pause(),
                })));
                Ok(keys)
            }
            (Err(error), Some(entry)) => {
                tracing::warn!(%error, "cannot fetch the provider's keys; using those seen before");
                let keys = Arc::clone(&entry.keys);
                self.held.store(Some(Arc::new(Entry {
                    ask_again_at: now + ASK_AGAIN,
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

impl Want {
    /// How long the provider is left alone after it was asked. New keys that are found at the first
    /// token signed with one need no pause before, and tokens that name keys which do not exist no
    /// other limit.
    fn pause(self) -> Duration {
        match self {
            Self::Keys => Duration::ZERO,
            Self::NewKeys => ASK_AGAIN,
        }
    }
}

impl Entry {
    /// Whether the provider is to be asked now.
    fn is_due(&self, want: Want, now: Instant) -> bool {
        let wanted = match want {
            Want::Keys => now >= self.fresh_until,
            Want::NewKeys => true,
        };
        wanted && now >= self.ask_again_at
    }
}

async fn fetch(client: &Client, jwks_uri: &HttpsUrl) -> Result<(KeySet, Duration), ProviderError> {
    let accept = "application/jwk-set+json, application/json";
    let answer = fetch_public(client, &jwks_uri.url, accept).await?;
    let keys = if answer.status.is_success() {
        KeySet::parse(&answer.body)
    } else {
        Err(KeySetProblem::Status(answer.status))
    };
    match keys {
        Ok(keys) => Ok((keys, lifetime(&answer.headers))),
        Err(problem) => Err(ProviderError::KeySet {
            server: server(&jwks_uri.url),
            problem,
        }),
    }
}

/// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1), within bounds: a key withdrawn goes
/// within a day, and no server makes us ask at every login.
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

/// How soon the provider is asked again after a failure, or when no key fitted.
const ASK_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_provider_is_asked() {
        let at = |seconds| Instant::since_boot(Duration::from_secs(seconds));
        let key = r#"{"kty":"RSA","e":"AQAB","n":"#.to_owned()
            + &format!("\"{}\"}}", "_".repeat(342) + "w");
        let keys = KeySet::parse(format!("{{\"keys\":[{key}]}}").as_bytes()).unwrap();
        let entry = Entry {
            jwks_uri: "https://op.example/jwks".into(),
            keys: Arc::new(keys),
            fresh_until: at(4600),
            ask_again_at: at(1060),
        };
        for (want, now, due) in [
            (Want::Keys, 1000, false),
            (Want::Keys, 4599, false),
            (Want::Keys, 4600, true),
            (Want::NewKeys, 1000, false),
            (Want::NewKeys, 1059, false),
            (Want::NewKeys, 1060, true),
        ] {
            assert_eq!(entry.is_due(want, at(now)), due, "{want:?} at {now}");
        }
        // after a failure, what is old is not asked for at once either
        let failed = Entry {
            ask_again_at: at(4700),
            ..entry
        };
        assert!(!failed.is_due(Want::Keys, at(4699)));
        assert!(failed.is_due(Want::Keys, at(4700)));
    }

    #[test]
    fn how_long_keys_are_fresh() {
        for (value, seconds) in [
            (None, 3600),
            (Some("public, max-age=19845, must-revalidate"), 19845),
            (Some("Max-Age=\"7200\""), 7200),
            (Some("max-age=0"), 300),
            (Some("max-age=99999999999"), 86400),
            (Some("max-age=-1"), 3600),
            (Some("s-maxage=20000"), 3600),
            (Some("no-store"), 3600),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            }
            assert_eq!(lifetime(&headers).as_secs(), seconds, "{value:?}");
        }
    }
}
