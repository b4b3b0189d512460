//! What a token request says. Pure: configuration and secrets in, parameters and bytes out.

use secrecy::{ExposeSecret, SecretString};
use serde::ser::{Serialize, SerializeMap, Serializer};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::grant::GrantRequest;
use super::proof::Proof;
use crate::config::{BodyFormat, GrantConfig, TokenConfig};
use crate::oauth::transport::EncodingError;

/// The parameters in their order on the wire: the grant's, the token's, the client's.
pub(in crate::oauth) struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    /// Collects the parameters.
    ///
    /// A refresh asks for what the first request asked for: without `resource` or `audience` some
    /// servers answer with a token for another API (RFC 8707 section 2.2), and without `scope` some
    /// refuse.
    pub(in crate::oauth) fn new(
        token: &'a TokenConfig,
        grant: &'a GrantRequest,
        (client_id, proof): (&'a str, &'a Proof<'_>),
        scope: &'a str,
    ) -> Self {
        let mut list = granting(token, grant);
        // What a login asked for was said when it began; only `resource` may be said again (RFC
        // 8707).
        let follows_login = matches!(
            grant,
            GrantRequest::AuthorizationCode(_) | GrantRequest::DeviceCode(_)
        );
        if !scope.is_empty() && !follows_login {
            list.push(("scope", scope));
        }
        if !follows_login {
            list.extend(token.audience.iter().map(|value| ("audience", &**value)));
        }
        list.extend(token.resource.iter().map(|value| ("resource", &**value)));
        if !matches!(grant, GrantRequest::DeviceAuthorization) {
            list.extend(token.params.iter().map(|(name, value)| (&**name, &**value)));
        }
        list.extend(client(client_id, proof));
        Self(list)
    }

    /// Collects the parameters of a revocation (RFC 7009 section 2.1).
    pub(in crate::oauth) fn revocation(
        token: &'a SecretString,
        hint: &'a str,
        (client_id, proof): (&'a str, &'a Proof<'_>),
    ) -> Self {
        let mut list = vec![("token", token.expose_secret()), ("token_type_hint", hint)];
        list.extend(client(client_id, proof));
        Self(list)
    }

    /// The body. Its buffer is as large as it can get from the start, so that no copy of a secret
    /// is left behind by growing, and is wiped when dropped.
    pub(in crate::oauth) fn encode(
        &self,
        format: BodyFormat,
    ) -> Result<Zeroizing<Vec<u8>>, EncodingError> {
        let size: usize = self
            .0
            .iter()
            .map(|(n, v)| 3 * (n.len() + v.len()) + 6)
            .sum();
        match format {
            BodyFormat::Form => {
                let mut form = form_urlencoded::Serializer::new(String::with_capacity(size));
                form.extend_pairs(&self.0);
                Ok(Zeroizing::new(form.finish().into_bytes()))
            }
            BodyFormat::Json => {
                // A control character takes six bytes in JSON, at worst.
                let mut body = Zeroizing::new(Vec::with_capacity(2 * size + 2));
                serde_json::to_writer(&mut *body, self).map_err(|_| EncodingError)?;
                Ok(body)
            }
        }
    }
}

impl Serialize for Parameters<'_> {
    /// A parameter given several times becomes an array.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            if self.0[..index].iter().any(|(earlier, _)| earlier == name) {
                continue;
            }
            let values: Vec<&str> = self
                .0
                .iter()
                .filter_map(|(other, value)| (other == name).then_some(*value))
                .collect();
            if values.len() == 1 {
                object.serialize_entry(name, value)?;
            } else {
                object.serialize_entry(name, &values)?;
            }
        }
        object.end()
    }
}

/// The parameters of the grant itself.
fn granting<'a>(token: &'a TokenConfig, grant: &'a GrantRequest) -> Vec<(&'a str, &'a str)> {
    let mut list = Vec::new();
    match grant {
        GrantRequest::AuthorizationCode(redemption) => {
            list.push(("grant_type", "authorization_code"));
            list.push(("code", redemption.code.expose_secret()));
            list.push(("redirect_uri", &redemption.redirect_uri));
            list.push(("code_verifier", redemption.code_verifier.expose_secret()));
        }
        GrantRequest::DeviceAuthorization => {}
        GrantRequest::DeviceCode(device_code) => {
            list.push(("grant_type", DEVICE_CODE));
            list.push(("device_code", device_code.expose_secret()));
        }
        GrantRequest::ClientCredentials => list.push(("grant_type", "client_credentials")),
        GrantRequest::JwtBearer(assertion) => {
            list.push(("grant_type", JWT_BEARER_GRANT));
            list.push(("assertion", assertion.expose_secret()));
        }
        GrantRequest::ToSign(_) => list.push(("grant_type", JWT_BEARER_GRANT)),
        GrantRequest::Password { username, password } => {
            list.push(("grant_type", "password"));
            list.push(("username", username));
            list.push(("password", password.expose_secret()));
        }
        GrantRequest::RefreshToken(refresh_token) => {
            list.push(("grant_type", "refresh_token"));
            list.push(("refresh_token", refresh_token.expose_secret()));
        }
        GrantRequest::TokenExchange {
            subject_token,
            actor_token,
        } => {
            list.push(("grant_type", TOKEN_EXCHANGE));
            list.extend(exchanged(token, subject_token, actor_token.as_ref()));
        }
    }
    list
}

/// What of the client's proof goes into the body.
fn client<'a>(client_id: &'a str, proof: &'a Proof<'_>) -> Vec<(&'a str, &'a str)> {
    let client_id = ("client_id", client_id);
    match proof {
        Proof::Basic(_) | Proof::Nothing => Vec::new(),
        Proof::Id => vec![client_id],
        Proof::Post(secret) => vec![client_id, ("client_secret", secret.expose_secret())],
        Proof::Assertion(assertion) => vec![
            client_id,
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.expose_secret()),
        ],
    }
}

/// What is exchanged, and for what (RFC 8693 section 2.1).
fn exchanged<'a>(
    token: &'a TokenConfig,
    subject_token: &'a SecretString,
    actor_token: Option<&'a SecretString>,
) -> Vec<(&'a str, &'a str)> {
    let GrantConfig::TokenExchange(exchange) = &token.grant else {
        return Vec::new();
    };
    let mut list = vec![
        ("subject_token", subject_token.expose_secret()),
        ("subject_token_type", &*exchange.subject.token_type),
    ];
    if let (Some(actor), Some(actor_token)) = (&exchange.actor, actor_token) {
        list.push(("actor_token", actor_token.expose_secret()));
        list.push(("actor_token_type", &actor.token_type));
    }
    let requested = exchange.requested_token_type.as_deref();
    list.extend(requested.map(|requested| ("requested_token_type", requested)));
    list
}

/// `grant_type` (RFC 8693 section 2.1).
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// `grant_type` (RFC 8628 section 3.4).
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// `grant_type` (RFC 7523 section 2.1).
const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `client_assertion_type` (RFC 7523 section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use bearerd_core::credential::TokenName;
    use bearerd_core::refresh::{Limits, RefreshAt};

    use super::*;
    use crate::config::{
        ClientAuth, ClientConfig, ClientId, Endpoint, HttpsUrl, PasswordGrant, RefreshTokenGrant,
        SecretRef, TlsConfig,
    };

    fn token(grant: GrantConfig) -> TokenConfig {
        let text = "https://as.example/token";
        let client = ClientConfig {
            name: "c".into(),
            login_endpoints: Default::default(),
            endpoint: Endpoint::TokenEndpoint(HttpsUrl {
                text: text.into(),
                url: text.parse().unwrap(),
            }),
            revocation_endpoint: None,
            client_id: ClientId::Given("the id".into()),
            auth: ClientAuth::None,
            refresh_auth: None,
            tls: TlsConfig::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            body: BodyFormat::Form,
            limits: Limits {
                max_in_flight: 1,
                requests_per_minute: None,
            },
            rotation_grace: Duration::ZERO,
        };
        TokenConfig {
            name: TokenName::parse("t").unwrap(),
            client: Some(Arc::new(client)),
            scope: vec!["openid".into(), "api://x/.default".into()],
            audience: vec!["a1".into(), "a2".into()],
            resource: vec!["urn:r".into()],
            params: BTreeMap::from([
                ("zeta".into(), "1&2".into()),
                ("alpha".into(), "\u{fc} +".into()),
            ]),
            grant,
            refresh_at: RefreshAt::Permille(750),
            assume_lifetime: None,
            required: true,
            files: Vec::new(),
            hooks: Vec::new(),
            allow: Vec::new(),
            login: Vec::new(),
            follow_source: false,
            revoke_on_removal: false,
            inactivity: None,
            login_notice: Duration::from_secs(900),
            identity: [0; 16],
        }
    }

    fn encoded(
        grant: GrantConfig,
        request: &GrantRequest,
        proof: &Proof<'_>,
        format: BodyFormat,
    ) -> String {
        let token = token(grant);
        let scope = token.scope.join(" ");
        let body = Parameters::new(&token, request, ("the id", proof), &scope)
            .encode(format)
            .unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn password() -> (GrantConfig, GrantRequest) {
        let config = GrantConfig::Password(PasswordGrant {
            username: "u".into(),
            password: SecretRef::Env("P".into()),
        });
        let request = GrantRequest::Password {
            username: "u".into(),
            password: SecretString::from("p%+ \u{fc}"),
        };
        (config, request)
    }

    const REST: &str = "scope=openid+api%3A%2F%2Fx%2F.default&audience=a1&audience=a2&resource=urn%3Ar&alpha=%C3%BC+%2B&zeta=1%262";

    #[test]
    fn parameters_and_their_order() {
        let secret = SecretString::from("s&c");
        let form = BodyFormat::Form;
        let primary = GrantRequest::ClientCredentials;
        for (proof, tail) in [
            (Proof::Id, "&client_id=the+id"),
            (Proof::Basic(&secret), ""),
            (
                Proof::Post(&secret),
                "&client_id=the+id&client_secret=s%26c",
            ),
            (
                Proof::Assertion(SecretString::from("a.b.c")),
                "&client_id=the+id&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c",
            ),
        ] {
            let body = encoded(GrantConfig::ClientCredentials, &primary, &proof, form);
            assert_eq!(body, format!("grant_type=client_credentials&{REST}{tail}"));
        }
        let (config, request) = password();
        let body = encoded(config, &request, &Proof::Basic(&secret), form);
        let grant = "grant_type=password&username=u&password=p%25%2B+%C3%BC";
        assert_eq!(body, format!("{grant}&{REST}"));
    }

    #[test]
    fn a_refresh_asks_for_what_the_first_request_asked_for() {
        let refresh = GrantRequest::RefreshToken(SecretString::from("r/1"));
        let secret = SecretString::from("s");
        let (config, _) = password();
        let body = encoded(config, &refresh, &Proof::Post(&secret), BodyFormat::Form);
        let bare = "grant_type=refresh_token&refresh_token=r%2F1";
        let client = "client_id=the+id&client_secret=s";
        assert_eq!(body, format!("{bare}&{REST}&{client}"));

        let seeded = GrantConfig::RefreshToken(RefreshTokenGrant {
            refresh_token: SecretRef::Env("R".into()),
        });
        let body = encoded(seeded, &refresh, &Proof::Basic(&secret), BodyFormat::Form);
        assert_eq!(body, format!("{bare}&{REST}"));
    }

    #[test]
    fn json_with_arrays_for_repeated_parameters() {
        let (config, request) = password();
        let secret = SecretString::from("s\"\n");
        let body = encoded(config, &request, &Proof::Post(&secret), BodyFormat::Json);
        assert_eq!(
            body,
            r#"{"grant_type":"password","username":"u","password":"p%+ ü","scope":"openid api://x/.default","audience":["a1","a2"],"resource":"urn:r","alpha":"ü +","zeta":"1&2","client_id":"the id","client_secret":"s\"\n"}"#
        );
    }

    #[test]
    fn the_buffer_never_grows() {
        let hostile = "\u{1}\u{fc}\"".repeat(500);
        let request = GrantRequest::Password {
            username: "u".into(),
            password: SecretString::from(hostile),
        };
        let (config, _) = password();
        let token = token(config);
        let proof = Proof::Id;
        for format in [BodyFormat::Form, BodyFormat::Json] {
            let parameters = Parameters::new(&token, &request, ("the id", &proof), "");
            let size: usize = parameters.0.iter().map(|(n, v)| n.len() + v.len()).sum();
            let body = parameters.encode(format).unwrap();
            // A buffer that had grown would have another capacity than was asked for.
            let asked = 3 * size + 6 * parameters.0.len();
            let asked = match format {
                BodyFormat::Form => asked,
                BodyFormat::Json => 2 * asked + 2,
            };
            assert_eq!(body.capacity(), asked);
        }
    }
}
