//! A login on another device (RFC 8628).

use std::sync::Arc;
use std::time::Duration;

use ::http::header;
use hyper::body::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::error::LoginError;
use super::patience::PATIENCE;
use super::{endpoint, secret_text, verified};
use crate::clock;
use crate::config::{BodyFormat, TokenConfig};
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::registration::Registration;
use crate::oauth::request::grant::GrantRequest;
use crate::oauth::request::parameters::Parameters;
use crate::oauth::request::proof::Proof;
use crate::oauth::request::secrets::secrets;
use crate::oauth::request::token_request::TokenRequest;
use crate::oauth::response::{Reply, Request, ResponseError, parse};
use crate::token::Token;

/// A login that a person is to complete on another device.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeviceLogin {
    #[serde(with = "secret_text")]
    device_code: SecretString,
    /// What the person types in at [`verification_uri`](Self::verification_uri).
    pub user_code: String,
    /// Where the person goes.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code.
    pub verification_uri_complete: Option<String>,
    /// Seconds until it is over.
    pub expires_in: u64,
    /// Seconds between two polls.
    interval: u64,
}

impl DeviceLogin {
    /// Begins a login (RFC 8628 section 3.1).
    ///
    /// # Errors
    /// [`ObtainError`] when the server does not offer it, or refuses.
    pub async fn begin(
        registration: &Registration,
        token: &TokenConfig,
        input_tokens: &InputTokens,
    ) -> Result<Self, ObtainError> {
        let endpoint = endpoint::device_authorization(registration).await?;
        let grant = GrantRequest::DeviceAuthorization;
        let proof = Proof::of(registration, &grant, &endpoint.text, input_tokens).await?;
        let scope = token.scope.join(" ");
        let body = Parameters::new(token, &grant, (&registration.client_id, &proof), &scope)
            .encode(BodyFormat::Form)?;
        let request = registration
            .http
            .pooled
            .post(endpoint.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from_owner(body));
        let request = proof.authorize(request)?;
        let answer = registration.exchange(request, &endpoint).await?;
        if answer.status.is_success() {
            return read(&answer.body).map_err(ObtainError::Login);
        }
        let request = Request {
            sent_at: clock::now(),
            unix_now: registration.server_time(),
            assume_lifetime: None,
            refresh_token: None,
            secrets: &secrets(registration, &grant, &proof),
        };
        let reply = Reply {
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        };
        Err(match parse(reply, &request) {
            Ok(_) => LoginError::Device("device_code").into(),
            Err(ResponseError::Refused(refusal)) => LoginError::DeviceRefused(refusal).into(),
            Err(error) => error.into(),
        })
    }

    /// Polls until the person has logged in, `expires_in` has passed, or the server says no
    /// (RFC 8628 section 3.5).
    ///
    /// # Errors
    /// [`ObtainError`], also when the time is up.
    pub async fn complete(
        self,
        registration: Arc<Registration>,
        token: Arc<TokenConfig>,
        input_tokens: InputTokens,
        expires_in: Duration,
    ) -> Result<Token, ObtainError> {
        let polls = self.poll(&registration, &token, &input_tokens);
        let polled = tokio::time::timeout(expires_in, polls).await;
        let brought = polled.unwrap_or(Err(ObtainError::Login(LoginError::Expired)))?;
        verified::verified(&registration, &token, brought, None, PATIENCE).await
    }

    async fn poll(
        &self,
        registration: &Registration,
        token: &TokenConfig,
        input_tokens: &InputTokens,
    ) -> Result<Token, ObtainError> {
        let request = TokenRequest {
            registration,
            token,
            grant: GrantRequest::DeviceCode(self.device_code.clone()),
            input_tokens,
        };
        let mut interval = Duration::from_secs(self.interval);
        let mut pause = interval;
        loop {
            tokio::time::sleep(pause).await;
            let error = match request.redeem().await {
                Err(error) => error,
                brought => return brought,
            };
            let code = match &error {
                ObtainError::Response(ResponseError::Refused(refusal)) => refusal.error.as_deref(),
                _ => None,
            };
            match code {
                Some("authorization_pending") => {}
                Some("slow_down") => interval += SLOW_DOWN,
                Some("expired_token") => return Err(LoginError::Expired.into()),
                // Section 3.5: on a connection timeout, less often; so, too, where the server is
                // out.
                _ if error.is_passing() => interval = (interval * 2).min(LONGEST_INTERVAL),
                _ => return Err(error),
            }
            let asked = error.failure().retry_after.unwrap_or_default();
            pause = interval.max(asked.min(LONGEST_INTERVAL));
        }
    }
}

/// Reads the answer (RFC 8628 section 3.2).
fn read(body: &[u8]) -> Result<DeviceLogin, LoginError> {
    let members: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| LoginError::Device("JSON object"))?;
    let text = |name| {
        let text = members.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)
    };
    let number = |name| match members.get(name)? {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().map(|n| n as u64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // A page for people; not `file:` or anything else that a terminal or a QR reader would open.
    let page = |text: &&str| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
            && text.chars().all(|c| c.is_ascii_graphic())
    };
    let user_code = text("user_code").filter(|code| !code.chars().any(char::is_control));
    // Google's name for it is older than the RFC.
    let verification_uri = text("verification_uri").or_else(|| text("verification_url"));
    let required = LoginError::Device;
    Ok(DeviceLogin {
        device_code: text("device_code").ok_or(required("device_code"))?.into(),
        user_code: user_code.ok_or(required("user_code"))?.into(),
        verification_uri: verification_uri
            .filter(page)
            .ok_or(required("verification_uri"))?
            .into(),
        verification_uri_complete: text("verification_uri_complete")
            .filter(page)
            .map(str::to_owned),
        expires_in: number("expires_in").unwrap_or(LIFETIME).min(LONGEST),
        interval: number("interval").unwrap_or(INTERVAL).clamp(1, 60),
    })
}

const MAX_TEXT: usize = 2048;
/// Seconds, where the server does not say.
const INTERVAL: u64 = 5;
const LIFETIME: u64 = 600;
/// Nobody takes a day.
const LONGEST: u64 = 24 * 3600;
const SLOW_DOWN: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "device_code": "d", "user_code": "WDJB-MJHT", "interval": 1, "expires_in": "90",
            "verification_uri": "https://op.example/device",
            "verification_uri_complete": "https://op.example/device?user_code=WDJB-MJHT",
        })
    }

    #[test]
    fn answers() {
        let login = read(answer().to_string().as_bytes()).unwrap();
        assert_eq!((login.expires_in, login.interval), (90, 1));
        assert_eq!(login.user_code, "WDJB-MJHT");
        assert!(login.verification_uri_complete.is_some());
        let bare =
            json!({"device_code": "d", "user_code": "u", "verification_url": "https://g.example"});
        let login = read(bare.to_string().as_bytes()).unwrap();
        assert_eq!((login.expires_in, login.interval), (600, 5));
        assert_eq!(login.verification_uri, "https://g.example");
    }

    #[test]
    fn answers_that_are_none() {
        for (name, value, lacks) in [
            ("device_code", json!(""), "device_code"),
            ("device_code", json!(1), "device_code"),
            ("user_code", json!("a\u{1b}[2J"), "user_code"),
            (
                "verification_uri",
                json!("file:///etc/passwd"),
                "verification_uri",
            ),
            (
                "verification_uri",
                json!("https://op.example/\u{1b}"),
                "verification_uri",
            ),
            (
                "verification_uri",
                json!("x".repeat(3000)),
                "verification_uri",
            ),
        ] {
            let mut answer = answer();
            answer[name] = value;
            let error = read(answer.to_string().as_bytes()).unwrap_err();
            assert_eq!(error, LoginError::Device(lacks));
        }
        assert_eq!(
            read(b"<html>").unwrap_err(),
            LoginError::Device("JSON object")
        );
        let mut odd = answer();
        odd["verification_uri_complete"] = json!("javascript:alert(1)");
        odd["interval"] = json!(0);
        odd["expires_in"] = json!(1e300);
        let login = read(odd.to_string().as_bytes()).unwrap();
        assert_eq!(
            (
                login.verification_uri_complete,
                login.interval,
                login.expires_in
            ),
            (None, 1, LONGEST)
        );
    }
}
