//! What an authorization server says of itself.

use ::http::StatusCode;
use bearerd_core::refresh::FailureKind;
use serde_json::{Map, Value};
use url::Url;

use super::key_set;
use crate::config::{HttpsUrl, SignatureAlg};
use crate::oauth::transport::address::is_confidential;
use crate::oauth::transport::exchange::Answer;

/// The part of an authorization server's metadata that is of use here (RFC 8414 section 2, OpenID
/// Connect Discovery section 3). An endpoint that credentials must not go to counts as not named.
/// Of those that a client proves itself at, a client with a certificate sees the one in
/// `mtls_endpoint_aliases` (RFC 8705 section 5).
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

impl Metadata {
    /// Understands the answer of a well-known place, as a client with or without a certificate is
    /// to see it.
    pub(super) fn read(
        answer: &Answer,
        issuer: &HttpsUrl,
        certificate: bool,
    ) -> Result<Self, MetadataProblem> {
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
        Ok(Self {
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
}

/// What is wrong with an authorization server's metadata (RFC 8414 section 3.3).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MetadataProblem {
    /// `issuer` is another one.
    #[error("its issuer is \"{0}\"")]
    IssuerDiffers(String),
    /// It is not at either well-known place.
    #[error("neither well-known document is there (status {})", .0.as_u16())]
    NotFound(StatusCode),
    /// It is not a JSON object with `issuer`.
    #[error("the document is no JSON object with an issuer")]
    NotMetadata,
    /// The server failed.
    #[error("the server answered {}", .0.as_u16())]
    Status(StatusCode),
    /// `token_endpoint` is missing, no URL, or neither https nor loopback.
    #[error("its token_endpoint is missing or not an https URL")]
    TokenEndpoint,
}

impl MetadataProblem {
    pub(super) fn kind(&self) -> FailureKind {
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

    pub(super) fn hint(&self) -> Option<&'static str> {
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

/// An endpoint that credentials may go to; by plain http only where the issuer is reached so too.
fn endpoint(value: &Value, issuer: &Url) -> Option<HttpsUrl> {
    let text = value.as_str()?;
    let url = Url::parse(text).ok()?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    let as_safe = url.scheme() == "https" || issuer.scheme() == "http";
    (anonymous && as_safe && is_confidential(&url)).then(|| HttpsUrl {
        text: text.to_owned(),
        url,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An issuer where nobody listens.
    fn gone() -> HttpsUrl {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("http://{}", listener.local_addr().unwrap());
        HttpsUrl {
            url: text.parse().unwrap(),
            text,
        }
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
        let metadata = Metadata::read(&answer(&bare), &issuer, false).unwrap();
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
        let metadata = Metadata::read(&answer(&full), &issuer, false).unwrap();
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
            let metadata = Metadata::read(&answer(&odd_ones), &issuer, true).unwrap();
            assert_eq!(optional(&metadata), [const { None }; 5], "{odd}");
            assert!(metadata.id_token_signing_algs.is_empty());
            assert!(!metadata.authorization_response_iss);
        }
    }

    #[test]
    fn a_certificate_is_shown_where_it_is_asked_for() {
        let issuer = gone();
        let proving = |metadata: &Value, certificate| {
            let metadata = Metadata::read(&answer(metadata), &issuer, certificate);
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
