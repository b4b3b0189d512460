//! `[token.NAME.grant.http]`: an HTTP request of no standard.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bearerd_core::refresh::Grant;

use super::super::keys::{Field, Keys};
use super::super::references::{
    HeaderValue, TokenRef, header_secrets, json, request_headers, token_ref,
};
use super::super::transport::Transport;
use super::super::units::{HttpsUrl, https_url, one_of, pointer};
use super::profile::Profile;
use super::signed::SignedAssertion;

/// `[token.NAME.grant.http]`: a request, and where in the JSON of its answer the token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpGrant {
    /// How the request gets to the server.
    pub transport: Transport,
    /// `GET`, or `POST` where there is a body.
    pub method: HttpMethod,
    /// Where the request goes. It is used byte for byte.
    pub url: HttpsUrl,
    /// The headers of the request.
    pub headers: BTreeMap<String, HeaderValue>,
    /// The `Authorization: Bearer` header of the request.
    pub authorization: Option<Authorization>,
    /// The JSON body of the request.
    pub body: Option<serde_json::Value>,
    /// JSON pointer (RFC 6901) to the token.
    pub token: String,
    /// JSON pointer to the time at which the token expires.
    pub expires_at: Option<String>,
    /// JSON pointer to the number of seconds after which the token expires.
    pub expires_in: Option<String>,
}

impl HttpGrant {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let url = keys.required(
            "url",
            "where the token is: `url = \"https://…\"`",
            https_url,
        );
        let method = keys.optional("method", |method| one_of(method, &METHODS));
        let headers = keys.optional("headers", request_headers);
        let bearer = keys.optional("bearer", token_ref);
        let body = keys.optional("body", body);
        let token = keys.required("token", POINTER_HINT, pointer);
        let expires_at = keys.optional("expires_at", pointer);
        let expires_in = keys.optional("expires_in", pointer);
        let transport = Transport::read(&mut keys);
        let default = match body {
            Some(_) => HttpMethod::Post,
            None => HttpMethod::Get,
        };
        keys.finish();
        Some(Self {
            transport,
            method: method.unwrap_or(default),
            url: url?,
            headers: headers.unwrap_or_default(),
            authorization: bearer.map(Authorization::Bearer),
            body,
            token: token?,
            expires_at,
            expires_in,
        })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        let mut secrets: Vec<_> = header_secrets(&self.headers).collect();
        let (mut carried, mut certificate) = (Vec::new(), None);
        match &self.authorization {
            Some(Authorization::Bearer(token)) => carried.push(("bearer", token)),
            Some(Authorization::Signed(signed)) => {
                secrets.push(("key", &signed.key));
                certificate = signed.assertion.certificate.as_ref();
            }
            None => {}
        }
        Profile {
            identity: self.identity(),
            secrets,
            carried,
            certificate,
            tls: Some(&self.transport.tls),
            origin: Some(self.url.url.origin().ascii_serialization()),
            longest: 2 * self.transport.timeout,
            ..Profile::new("http", Grant::ClientCredentials)
        }
    }

    fn identity(&self) -> Vec<Cow<'_, str>> {
        let mut identity = vec![
            Cow::from(format!("{:?}", self.method)),
            (&self.url.text).into(),
        ];
        for (name, value) in &self.headers {
            identity.push(name.into());
            if let HeaderValue::Plain(value) = value {
                identity.push(value.into());
            }
        }
        if let Some(Authorization::Signed(signed)) = &self.authorization {
            identity.extend(signed.identity());
        }
        let body = self.body.as_ref().map(ToString::to_string);
        identity.push(body.unwrap_or_default().into());
        identity.push((&self.token).into());
        identity
    }
}

/// Reads a body. What looks like a reference to a secret would be sent as it stands.
fn body(field: Field<'_>) -> Option<serde_json::Value> {
    let value = json(field)?;
    if holds_reference(&value) {
        return field.refuse(
            "`body` holds a reference to a secret, which is not resolved here",
            BODY_HINT,
        );
    }
    Some(value)
}

fn holds_reference(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(members) => {
            let one = members.len() == 1;
            one && REFERENCES.iter().any(|name| members.contains_key(*name))
                || members.values().any(holds_reference)
        }
        serde_json::Value::Array(values) => values.iter().any(holds_reference),
        _ => false,
    }
}

/// The method of an HTTP request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpMethod {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

/// What an HTTP request says in `Authorization: Bearer`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authorization {
    /// A token from elsewhere.
    Bearer(TokenRef),
    /// A JWT without audience, signed for each request.
    Signed(SignedAssertion),
}

const REFERENCES: [&str; 3] = ["credential", "env", "file"];
const BODY_HINT: &str = "put the secret into `headers` or `bearer`, where references are read";
const METHODS: [(&str, HttpMethod); 2] = [("GET", HttpMethod::Get), ("POST", HttpMethod::Post)];
const POINTER_HINT: &str =
    "where in the answer it is, as a JSON pointer (RFC 6901): `token = \"/access_token\"`";
