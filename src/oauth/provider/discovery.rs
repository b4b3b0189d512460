//! Where an issuer's token endpoint is (RFC 8414, OpenID Connect Discovery).

use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, header};
use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::FailureKind;
use reqwest::Client;
use serde_json::{Map, Value};
use url::Url;

use super::key_set;
use crate::clock;
use crate::config::{HttpsUrl, SignatureAlg};
use crate::oauth::error::SourceError;
use crate::oauth::response::token_response;
use crate::oauth::transport::http::{self, Answer};

/// The last metadata seen. It outlives its hour when the server does not answer.
#[derive(Default)]
pub(in crate::oauth) struct Cache(ArcSwapOption<Entry>);

struct Entry {
    metadata: Arc<Metadata>,
    ask_again_at: Instant,
}

/// The part of an authorization server's metadata that is of use here (RFC 8414 section 2, OpenID Connect
/// Discovery section 3). An endpoint that credentials must not go to counts as not named. Of those that a client
/// proves itself at, a client with a certificate sees the one in `mtls_endpoint_aliases` (RFC 8705 section 5).
#[derive(Debug)]
pub struct Metadata {
    /// Where tokens are requested.
    pub token_endpoint: HttpsUrl,
    /// Where a user logs in.
    pub authorization_endpoint: Option<HttpsUrl>,
    /// Where a login on another device begins (RFC 8628 section 4).
    pub device_authorization_endpoint: Option<HttpsUrl>,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_endpoint: Option<HttpsUrl>,
    /// Where a user logs out (OpenID Connect RP-Initiated Logout section 2.1).
    pub end_session_endpoint: Option<HttpsUrl>,
    /// The provider's keys.
    pub jwks_uri: Option<HttpsUrl>,
    /// `id_token_signing_alg_values_supported`, those known here; empty when it is not named.
    pub id_token_signing_algs: Vec<SignatureAlg>,
    /// Whether every authorization response has `iss` (RFC 9207 section 3).
    pub authorization_response_iss: bool,
}

/// What is wrong with an authorization server's metadata (RFC 8414 section 3.3).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MetadataProblem {
    /// `issuer` is another one.
    #[error("its issuer is \"{0}\"")]
    IssuerDiffers(String),
    /// Not at either well-known place.
    #[error("neither well-known document is there (status {})", .0.as_u16())]
    NotFound(StatusCode),
    /// Not a JSON object with `issuer`.
    #[error("the document is no JSON object with an issuer")]
    NotMetadata,
    /// The server failed.
    #[error("the server answered {}", .0.as_u16())]
    Status(StatusCode),
    /// `token_endpoint` is missing, no URL, or neither https nor loopback.
    #[error("its token_endpoint is missing or not an https URL")]
    TokenEndpoint,
}

impl Cache {
    /// The metadata, at most an hour old while the server answers, as a client with or without a certificate
    /// is to see them.
    pub(in crate::oauth) async fn metadata(
        &self,
        client: &Client,
        issuer: &HttpsUrl,
        certificate: bool,
    ) -> Result<Arc<Metadata>, SourceError> {
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

impl MetadataProblem {
    pub(in crate::oauth) fn kind(&self) -> FailureKind {
        match self {
            Self::IssuerDiffers(_) | Self::NotFound(_) | Self::TokenEndpoint => {
                FailureKind::Misconfigured
            }
            Self::NotMetadata => FailureKind::Unavailable,
            Self::Status(StatusCode::TOO_MANY_REQUESTS) => FailureKind::RateLimited,
            Self::Status(status) if status.is_redirection() => FailureKind::Misconfigured,
            Self::Status(_) => FailureKind::Unavailable,
        }
    }

    pub(in crate::oauth) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::IssuerDiffers(_) => {
                Some("write issuer exactly as the server does, trailing slash included")
            }
            Self::NotFound(_) => Some("check issuer, or set token_endpoint instead"),
            Self::TokenEndpoint => Some("set token_endpoint instead of issuer"),
            Self::NotMetadata | Self::Status(_) => None,
        }
    }
}

async fn discover(
    client: &Client,
    issuer: &HttpsUrl,
    certificate: bool,
) -> Result<Metadata, SourceError> {
    let mut problem = None;
    for url in well_known(&issuer.url) {
        let request = client
            .get(url.clone())
            .header(header::ACCEPT, "application/json");
        let answer = match http::exchange(request, &url).await {
            Ok(answer) => answer,
            Err(error) => return Err(error.not_sent()),
        };
        match read(&answer, issuer, certificate) {
            Ok(metadata) => return Ok(metadata),
            Err(found) => {
                let elsewhere = matches!(
                    found,
                    MetadataProblem::NotFound(_) | MetadataProblem::NotMetadata
                );
                if !elsewhere {
                    let retry_after =
                        token_response::retry_after(&answer.headers, clock::unix_now());
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

/// `{issuer}/.well-known/openid-configuration`, then the path-inserting form of RFC 8414 section 3.1.
fn well_known(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let mut oidc = issuer.clone();
    oidc.set_path(&format!("{path}/.well-known/openid-configuration"));
    let mut oauth = issuer.clone();
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    [oidc, oauth]
}

fn read(
    answer: &Answer,
    issuer: &HttpsUrl,
    certificate: bool,
) -> Result<Metadata, MetadataProblem> {
    match answer.status {
        status if status.is_success() => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(MetadataProblem::Status(answer.status)),
        status if status.is_client_error() => return Err(MetadataProblem::NotFound(status)),
        status => return Err(MetadataProblem::Status(status)),
    }
    let members: Map<String, Value> =
        serde_json::from_slice(&answer.body).map_err(|_| MetadataProblem::NotMetadata)?;
    let named = members
        .get("issuer")
        .and_then(Value::as_str)
        .ok_or(MetadataProblem::NotMetadata)?;
    // RFC 8414 section 3.3: identical, or the metadata must not be used.
    if named != issuer.text {
        let shown = named.chars().filter(|c| c.is_ascii_graphic()).take(200);
        return Err(MetadataProblem::IssuerDiffers(shown.collect()));
    }
    let endpoint = |value| endpoint(value, &issuer.url);
    let optional = |name: &str| members.get(name).and_then(endpoint);
    let aliases = members.get("mtls_endpoint_aliases").filter(|_| certificate);
    let proving = |name: &str| {
        let alias = aliases.and_then(|aliases| aliases.get(name));
        alias.or_else(|| members.get(name)).and_then(endpoint)
    };
    Ok(Metadata {
        token_endpoint: proving("token_endpoint").ok_or(MetadataProblem::TokenEndpoint)?,
        authorization_endpoint: optional("authorization_endpoint"),
        device_authorization_endpoint: proving("device_authorization_endpoint"),
        revocation_endpoint: proving("revocation_endpoint"),
        end_session_endpoint: optional("end_session_endpoint"),
        jwks_uri: optional("jwks_uri"),
        id_token_signing_algs: members
            .get("id_token_signing_alg_values_supported")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| key_set::algorithm(name.as_str()?))
            .collect(),
        authorization_response_iss: members
            .get("authorization_response_iss_parameter_supported")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
    })
}

/// An endpoint that credentials may go to; by plain http only where the issuer is reached so too.
fn endpoint(value: &Value, issuer: &Url) -> Option<HttpsUrl> {
    let text = value.as_str()?;
    let url = Url::parse(text).ok()?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    let as_safe = url.scheme() == "https" || issuer.scheme() == "http";
    (anonymous && as_safe && http::is_confidential(&url)).then(|| HttpsUrl {
        text: text.to_owned(),
        url,
    })
}

fn failed(
    issuer: &HttpsUrl,
    problem: MetadataProblem,
    retry_after: Option<Duration>,
) -> SourceError {
    let url = &issuer.url;
    SourceError::Discovery {
        issuer: format!("{}://{}{}", url.scheme(), http::server(url), url.path()),
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
    use serde_json::json;

    use super::*;

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
        let metadata = read(&answer(&metadata), &issuer, false).unwrap();
        cache.keep(&Arc::new(metadata), ask_again_at);
    }

    fn answer(metadata: &Value) -> Answer {
        Answer {
            status: StatusCode::OK,
            headers: ::http::HeaderMap::new(),
            body: metadata.to_string().into_bytes().into(),
        }
    }

    #[test]
    fn optional_members_do_not_spoil_the_rest() {
        let issuer: HttpsUrl = "https://op.example/realm"
            .parse()
            .map(|url| HttpsUrl {
                text: "https://op.example/realm".into(),
                url,
            })
            .unwrap();
        let names = [
            "authorization_endpoint",
            "device_authorization_endpoint",
            "revocation_endpoint",
            "end_session_endpoint",
            "jwks_uri",
        ];
        let optional = |metadata: &Metadata| {
            let found = [
                &metadata.authorization_endpoint,
                &metadata.device_authorization_endpoint,
                &metadata.revocation_endpoint,
                &metadata.end_session_endpoint,
                &metadata.jwks_uri,
            ];
            found.map(|url| url.as_ref().map(|url| url.text.clone()))
        };
        let bare = json!({"issuer": issuer.text, "token_endpoint": "https://op.example/t"});
        let metadata = read(&answer(&bare), &issuer, false).unwrap();
        assert_eq!(optional(&metadata), [const { None }; 5]);
        assert!(metadata.id_token_signing_algs.is_empty());
        assert!(!metadata.authorization_response_iss);
        let mut full = bare.clone();
        for name in names {
            full[name] = json!(format!("https://op.example/{name}"));
        }
        full["id_token_signing_alg_values_supported"] =
            json!(["none", "HS256", "RS256", 5, "ES512", "XS1"]);
        full["authorization_response_iss_parameter_supported"] = json!(true);
        let metadata = read(&answer(&full), &issuer, false).unwrap();
        let urls = names.map(|name| Some(format!("https://op.example/{name}")));
        assert_eq!(optional(&metadata), urls);
        let algs = [SignatureAlg::RS256, SignatureAlg::ES512];
        assert_eq!(metadata.id_token_signing_algs, algs);
        assert!(metadata.authorization_response_iss);
        for odd in [
            json!("http://op.example/x"),
            json!("https://u@op.example/x"),
            json!(1),
            json!(null),
        ] {
            let mut odd_ones = full.clone();
            for name in names {
                odd_ones[name] = odd.clone();
            }
            odd_ones["id_token_signing_alg_values_supported"] = odd.clone();
            odd_ones["authorization_response_iss_parameter_supported"] = odd.clone();
            let metadata = read(&answer(&odd_ones), &issuer, true).unwrap();
            assert_eq!(optional(&metadata), [const { None }; 5], "{odd}");
            assert!(metadata.id_token_signing_algs.is_empty());
            assert!(!metadata.authorization_response_iss);
        }
    }

    #[test]
    fn a_certificate_is_shown_where_it_is_asked_for() {
        let issuer = gone();
        let proving = |metadata: &Value, certificate| {
            let metadata = read(&answer(metadata), &issuer, certificate);
            metadata.map(|metadata| {
                let found = [
                    Some(metadata.token_endpoint),
                    metadata.device_authorization_endpoint,
                    metadata.revocation_endpoint,
                ];
                found.map(|url| url.map_or(String::new(), |url| url.text))
            })
        };
        let at = |host: &str| {
            [
                format!("https://{host}/t"),
                format!("https://{host}/d"),
                format!("https://{host}/r"),
            ]
        };
        let named = |[token, device, revocation]: [String; 3]| {
            json!({
                "token_endpoint": token, "device_authorization_endpoint": device,
                "revocation_endpoint": revocation,
            })
        };
        let mut metadata = named(at("as.example"));
        metadata["issuer"] = json!(issuer.text);
        assert_eq!(proving(&metadata, true).unwrap(), at("as.example"));
        metadata["mtls_endpoint_aliases"] = named(at("mtls.example"));
        assert_eq!(proving(&metadata, false).unwrap(), at("as.example"));
        assert_eq!(proving(&metadata, true).unwrap(), at("mtls.example"));
        metadata["mtls_endpoint_aliases"] = json!({"token_endpoint": "http://mtls.example/t"});
        let refused = proving(&metadata, true);
        assert_eq!(refused, Err(MetadataProblem::TokenEndpoint));
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

    #[test]
    fn endpoints_that_credentials_may_go_to() {
        for (text, allowed) in [
            ("https://as.example/t", true),
            ("http://127.0.0.1:8180/t", true),
            ("http://[::1]/t", true),
            ("http://localhost:8180/t", true),
            ("http://as.example/t", false),
            ("http://127.0.0.1.example/t", false),
            ("https://user@as.example/t", false),
            ("ftp://127.0.0.1/t", false),
            ("/t", false),
        ] {
            let found = endpoint(&text.into(), &gone().url);
            assert_eq!(found.is_some(), allowed, "{text}");
            let https = "https://as.example".parse().unwrap();
            let found = endpoint(&text.into(), &https);
            assert_eq!(
                found.is_some(),
                allowed && text.starts_with("https"),
                "{text}"
            );
        }
    }
}
