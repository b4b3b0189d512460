//! The metadata of an issuer, found at its well-known places (RFC 8414, OpenID Connect Discovery).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use reqwest::Client;
use url::Url;

use super::error::ProviderError;
use super::metadata::{Metadata, MetadataProblem};
use crate::clock;
use crate::config::HttpsUrl;
use crate::oauth::response::dates;
use crate::oauth::transport::NoAnswer;
use crate::oauth::transport::address::server;
use crate::oauth::transport::exchange::fetch_public;

/// The last metadata seen. It outlives its hour when the server does not answer.
#[derive(Default)]
pub(in crate::oauth) struct Cache(ArcSwapOption<Entry>);

struct Entry {
    metadata: Arc<Metadata>,
    ask_again_at: Instant,
}

impl Cache {
    /// The metadata, at most an hour old while the server answers, as a client with or without a
    /// certificate is to see them.
    pub(in crate::oauth) async fn metadata(
        &self,
        client: &Client,
        issuer: &HttpsUrl,
        certificate: bool,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let now = clock::now();
        let held = self.0.load_full();
        if let Some(entry) = &held
            && now < entry.ask_again_at
        {
            return Ok(Arc::clone(&entry.metadata));
        }
        if let Some(entry) = &held {
            // Whoever comes meanwhile, or while the server is out, makes do with what there is.
            self.keep(&entry.metadata, now + ASK_AGAIN);
        }
        match (discover(client, issuer, certificate).await, held) {
            (Ok(metadata), _) => {
                let metadata = Arc::new(metadata);
                self.keep(&metadata, now + LIFETIME);
                Ok(metadata)
            }
            (Err(error), Some(entry)) => {
                tracing::warn!(%error, "discovery failed; using the metadata seen before");
                Ok(Arc::clone(&entry.metadata))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn keep(&self, metadata: &Arc<Metadata>, ask_again_at: Instant) {
        self.0.store(Some(Arc::new(Entry {
            metadata: Arc::clone(metadata),
            ask_again_at,
        })));
    }
}

async fn discover(
    client: &Client,
    issuer: &HttpsUrl,
    certificate: bool,
) -> Result<Metadata, ProviderError> {
    let mut problem = None;
    for url in well_known(&issuer.url) {
        let answer = fetch_public(client, &url, "application/json").await;
        let answer = answer.map_err(NoAnswer::not_sent)?;
        match Metadata::read(&answer, issuer, certificate) {
            Ok(metadata) => return Ok(metadata),
            Err(found) => {
                let elsewhere = matches!(
                    found,
                    MetadataProblem::NotFound(_) | MetadataProblem::NotMetadata
                );
                if !elsewhere {
                    let retry_after = dates::retry_after(&answer.headers, clock::unix_now());
                    return Err(failed(issuer, found, retry_after));
                }
                // What is wrong with the usual place tells more.
                problem.get_or_insert(found);
            }
        }
    }
    Err(failed(
        issuer,
        problem.unwrap_or(MetadataProblem::NotMetadata),
        None,
    ))
}

/// `{issuer}/.well-known/openid-configuration`, then the path-inserting form of RFC 8414 section
/// 3.1.
fn well_known(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let mut oidc = issuer.clone();
    oidc.set_path(&format!("{path}/.well-known/openid-configuration"));
    let mut oauth = issuer.clone();
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    [oidc, oauth]
}

fn failed(
    issuer: &HttpsUrl,
    problem: MetadataProblem,
    retry_after: Option<Duration>,
) -> ProviderError {
    let url = &issuer.url;
    ProviderError::Metadata {
        issuer: format!("{}://{}{}", url.scheme(), server(url), url.path()),
        problem,
        retry_after,
    }
}

/// How long metadata counts as fresh.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How soon it is asked for again after a failure.
const ASK_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;
    use crate::oauth::transport::exchange::Answer;

    #[test]
    fn both_well_known_forms() {
        for (issuer, oidc, oauth) in [
            (
                "https://h.example/auth/realms/lev",
                "https://h.example/auth/realms/lev/.well-known/openid-configuration",
                "https://h.example/.well-known/oauth-authorization-server/auth/realms/lev",
            ),
            (
                "https://h.example/",
                "https://h.example/.well-known/openid-configuration",
                "https://h.example/.well-known/oauth-authorization-server",
            ),
        ] {
            let urls = well_known(&issuer.parse().unwrap());
            assert_eq!([urls[0].as_str(), urls[1].as_str()], [oidc, oauth]);
        }
    }

    fn held(cache: &Cache, token_endpoint: &str, ask_again_at: Instant) {
        let issuer = gone();
        let metadata = json!({"issuer": issuer.text, "token_endpoint": token_endpoint});
        let answer = Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: metadata.to_string().into_bytes().into(),
        };
        let metadata = Metadata::read(&answer, &issuer, false).unwrap();
        cache.keep(&Arc::new(metadata), ask_again_at);
    }

    /// An issuer where nobody listens.
    fn gone() -> HttpsUrl {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("http://{}", listener.local_addr().unwrap());
        HttpsUrl {
            url: text.parse().unwrap(),
            text,
        }
    }

    #[tokio::test]
    async fn metadata_outlives_its_hour_while_the_server_is_out() {
        let client = Client::builder().no_proxy().build().unwrap();
        let issuer = gone();
        let cache = Cache::default();
        assert!(cache.metadata(&client, &issuer, false).await.is_err());
        held(&cache, "https://as.example/t", Instant::BOOT);
        for _ in 0..2 {
            let metadata = cache.metadata(&client, &issuer, false).await.unwrap();
            assert_eq!(metadata.token_endpoint.text, "https://as.example/t");
        }
        // and is not asked for at every request meanwhile
        let entry = cache.0.load_full().unwrap();
        assert!(entry.ask_again_at > clock::now() + ASK_AGAIN / 2);
        assert!(entry.ask_again_at <= clock::now() + ASK_AGAIN);
    }
}
