//! `AssumeRoleWithWebIdentity` (AWS STS API reference). The request is not signed, as the token is
//! the proof.

use std::time::Duration;

use bearerd_core::refresh::ErrorState;
use reqwest::{Client, Response, StatusCode, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::aws_answer::{self, Keys, Refusal};
use crate::api::code::Code;
use crate::oauth::{is_confidential, is_loopback};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum StsError {
    #[error("the answer of {server} (status {status}) is not that of an STS")]
    Answer { server: String, status: StatusCode },
    #[error("`{0}` is neither an https URL nor http on this host")]
    Endpoint(String),
    #[error("cannot ask {server}")]
    Http {
        server: String,
        // The error's own URL is taken out.
        #[source]
        cause: reqwest::Error,
    },
    #[error("{server} refuses: {refusal}")]
    Refused {
        server: String,
        status: StatusCode,
        refusal: Refusal,
    },
    #[error("`{0}` is no region")]
    Region(String),
    #[error("cannot start the network")]
    Runtime(#[source] std::io::Error),
    #[error("the answer of {0} is above 64 KiB")]
    TooLarge(String),
}

impl StsError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Answer { status, .. } if status.is_server_error() => {
                Code::State(ErrorState::Transient)
            }
            Self::Answer { .. } | Self::TooLarge(_) => Code::State(ErrorState::FixConfig),
            Self::Endpoint(_) | Self::Region(_) => Code::Usage,
            Self::Http { cause, .. } if cause.is_builder() => Code::Internal,
            Self::Http { .. } => Code::State(ErrorState::Transient),
            Self::Refused {
                status, refusal, ..
            } => match refusal.code.as_str() {
                "AccessDenied"
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "IDPRejectedClaim"
                | "InvalidIdentityToken" => Code::State(ErrorState::Denied),
                "IDPCommunicationError" | "Throttling" | "ThrottlingException" => {
                    Code::State(ErrorState::Transient)
                }
                _ if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                    Code::State(ErrorState::Transient)
                }
                _ => Code::State(ErrorState::FixConfig),
            },
            Self::Runtime(_) => Code::Internal,
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { refusal, .. } => match refusal.code.as_str() {
                "AccessDenied" => Some(
                    "the role's trust policy is to name the token's issuer, audience and subject",
                ),
                "InvalidIdentityToken" => {
                    Some("AWS is to know the token's issuer as an identity provider of IAM")
                }
                _ => None,
            },
            Self::Region(_) => Some("such as `eu-west-2`; --endpoint takes a whole URL"),
            Self::Answer { .. }
            | Self::Endpoint(_)
            | Self::Http { .. }
            | Self::Runtime(_)
            | Self::TooLarge(_) => None,
        }
    }
}

/// What STS is told to give keys for.
pub(super) struct Request<'a> {
    pub(super) role_arn: &'a str,
    pub(super) session_name: &'a str,
    pub(super) token: &'a SecretString,
    pub(super) duration: Option<Duration>,
}

/// Returns the STS of a region, or the global one.
pub(super) fn regional_endpoint(region: Option<&str>) -> Result<Url, StsError> {
    let host = match region {
        None => "sts.amazonaws.com".to_owned(),
        Some(region) => {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if region.is_empty() || !region.chars().all(word) {
                return Err(StsError::Region(region.into()));
            }
            let china = region.starts_with("cn-");
            let domain = if china {
                "amazonaws.com.cn"
            } else {
                "amazonaws.com"
            };
            format!("sts.{region}.{domain}")
        }
    };
    endpoint(&format!("https://{host}/"))
}

/// Reads the URL of an STS.
pub(super) fn endpoint(text: &str) -> Result<Url, StsError> {
    let url = Url::parse(text).ok().filter(is_confidential);
    url.ok_or_else(|| StsError::Endpoint(text.into()))
}

/// Has STS give keys for a token.
pub(super) fn assume_role(endpoint: &Url, request: &Request<'_>) -> Result<Keys, StsError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StsError::Runtime)?;
    let server = endpoint.host_str().unwrap_or_default().to_owned();
    runtime.block_on(async {
        let failed = |cause: reqwest::Error| StsError::Http {
            server: server.clone(),
            cause: cause.without_url(),
        };
        let response = send(endpoint, request).await.map_err(failed)?;
        let status = response.status();
        let body = read(response).await.map_err(failed)?;
        let body = body.ok_or_else(|| StsError::TooLarge(server.clone()))?;
        let unknown = || StsError::Answer {
            server: server.clone(),
            status,
        };
        if status == StatusCode::OK {
            return aws_answer::keys(&body).ok_or_else(unknown);
        }
        let refusal = aws_answer::refusal(&body, request.token).ok_or_else(unknown)?;
        Err(StsError::Refused {
            server: server.clone(),
            status,
            refusal,
        })
    })
}

async fn send(endpoint: &Url, request: &Request<'_>) -> Result<Response, reqwest::Error> {
    let mut client = Client::builder()
        .user_agent(concat!("bearerd/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .https_only(endpoint.scheme() == "https")
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    if is_loopback(endpoint) {
        client = client.no_proxy();
    }
    let duration = request.duration.map(|d| d.as_secs().to_string());
    let mut form = vec![
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", request.role_arn),
        ("RoleSessionName", request.session_name),
        ("WebIdentityToken", request.token.expose_secret()),
    ];
    if let Some(duration) = &duration {
        form.push(("DurationSeconds", duration));
    }
    client
        .build()?
        .post(endpoint.clone())
        .header(header::ACCEPT, "application/json")
        .form(&form)
        .send()
        .await
}

/// Reads a response's body. Returns `None` when it is too large.
async fn read(mut response: Response) -> Result<Option<Zeroizing<Vec<u8>>>, reqwest::Error> {
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let of = |region| regional_endpoint(region).unwrap().to_string();
        assert_eq!(of(None), "https://sts.amazonaws.com/");
        assert_eq!(
            of(Some("eu-west-2")),
            "https://sts.eu-west-2.amazonaws.com/"
        );
        let china = "https://sts.cn-north-1.amazonaws.com.cn/";
        assert_eq!(of(Some("cn-north-1")), china);
        for bad in ["", "EU", "a.example.org/", "a/b", "a@b", "a b"] {
            assert!(regional_endpoint(Some(bad)).is_err(), "{bad}");
        }
        for good in [
            "https://sts.example.org",
            "http://127.0.0.1:9000/",
            "http://localhost:1",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://sts.amazonaws.com/", "ftp://localhost/", "sts", ""] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
