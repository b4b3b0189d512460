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
fn a_refresh_after_another_grant_is_bare() {
    let refresh = GrantRequest::RefreshToken(SecretString::from("r/1"));
    let secret = SecretString::from("s");
    let (config, _) = password();
    let body = encoded(config, &refresh, &Proof::Post(&secret), BodyFormat::Form);
    let bare = "grant_type=refresh_token&refresh_token=r%2F1";
    assert_eq!(body, format!("{bare}&client_id=the+id&client_secret=s"));

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
