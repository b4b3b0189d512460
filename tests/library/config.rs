//! What valid configurations come out as, and what follows from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bearerd::config::{
    BodyFormat, ClientAuth, ClientSecret, Config, Endpoint, Environment, FileFormat, HmacAlg,
    OnExpiry, SecretRef, TokenConfig, load,
};
use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Grant, RefreshAt};
use tempfile::TempDir;

const CLIENT: &str = r#"
[client.c]
token_endpoint = "https://sso.example.org:8443/token?x=1"
client_id = "c"
connect_timeout = "2s"
timeout = "10s"
[client.c.auth.client_secret_post]
client_secret = { file = "/etc/bearerd/secrets/c" }
"#;

const TOKEN: &str = r#"
[token.t]
client = "c"
scope = ["a", "b"]
[token.t.grant.password]
username = "u"
password = { credential = "p" }
"#;

fn parsed(text: &str) -> Config {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("bearerd.toml");
    fs::write(&path, text).unwrap();
    load(&path, &Environment::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn token(text: &str) -> Arc<TokenConfig> {
    let config = parsed(text);
    Arc::clone(&config.tokens[&TokenName::parse("t").unwrap()])
}

#[test]
fn defaults() {
    let token = token(&format!(
        "{CLIENT}{TOKEN}[[token.t.file]]\npath = \"/run/t\"\n[[token.t.hook]]\ncommand = [\"true\"]\n"
    ));
    assert_eq!(token.refresh_at, RefreshAt::Permille(750));
    assert!(token.required);
    assert_eq!(token.assume_lifetime, None);
    let file = &token.files[0];
    assert_eq!((&file.format, file.mode), (&FileFormat::Raw, 0o600));
    assert_eq!((file.owner, file.group), (None, None));
    assert_eq!(file.on_expiry, OnExpiry::Keep);
    assert_eq!(token.hooks[0].timeout, Duration::from_secs(30));

    let config = parsed(
        "[client.d]\nissuer = \"http://127.0.0.1:8080/realms/x\"\nclient_id = \"d\"\n[client.d.auth.none]\n",
    );
    let client = &config.clients["d"];
    assert_eq!(client.auth, ClientAuth::None);
    assert_eq!(client.connect_timeout, Duration::from_secs(10));
    assert_eq!(client.timeout, Duration::from_secs(30));
    assert_eq!(client.body, BodyFormat::Form);
    assert_eq!(client.limits.max_in_flight, 32);
    assert_eq!(client.limits.requests_per_minute, None);
    let Endpoint::Issuer(issuer) = &client.endpoint else {
        panic!("{:?}", client.endpoint);
    };
    assert_eq!(issuer.text, "http://127.0.0.1:8080/realms/x");
}

#[test]
fn the_same_written_in_other_ways() {
    let plain = token(&format!(
        "{CLIENT}{TOKEN}[[token.t.file]]\npath = \"/run/t\"\nowner = 0\ngroup = \"0\"\n"
    ));
    let dotted = "token.t.client = \"c\"\ntoken.t.scope = [\"a\", 'b',]\n\
         token.t.grant = { password = { username = \"u\", password.credential = \"p\" } }\n\
         token.t.file = [{ path = \"/run/t\", owner = \"root\", group = \"root\" }]\n";
    let crlf = format!("\u{feff}{dotted}{CLIENT}").replace('\n', "\r\n");
    let apart = format!(
        "[\"token\".'t']\nclient = \"c\"\nscope = [\"a\", \"b\"]\n{CLIENT}\n\
         [ token . t . grant . password ]\nusername = \"u\"\npassword = {{ credential = \"p\" }}\n\
         [client.other]\nissuer = \"https://other.example.org\"\nclient_id = \"o\"\nauth.none = {{}}\n\
         [[token.t.file]]\npath = \"/run/t\"\nowner = \"root\"\ngroup = \"root\"\n"
    );
    for text in [crlf, format!("{dotted}{CLIENT}"), apart] {
        assert_eq!(token(&text), plain, "{text}");
    }
}

#[test]
fn drop_ins_belong_to_it() {
    let dir = TempDir::new().unwrap();
    let main = dir.path().join("bearerd.toml");
    let drop_ins = dir.path().join("conf.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::write(&main, TOKEN).unwrap();
    fs::write(drop_ins.join("20-client.toml"), CLIENT).unwrap();
    fs::write(
        drop_ins.join("10-daemon.toml"),
        "[daemon]\nlog = \"bearerd::oauth=debug,warn\"\n",
    )
    .unwrap();
    fs::write(drop_ins.join("notes.txt"), "not read").unwrap();
    fs::write(drop_ins.join(".#20-client.toml"), "not read either").unwrap();
    let environment = [("STATE_DIRECTORY", "/s"), ("RUNTIME_DIRECTORY", "/r")].into();
    let config = load(&main, &environment).unwrap();
    assert_eq!((config.clients.len(), config.tokens.len()), (1, 1));
    assert_eq!(config.daemon.log, "bearerd::oauth=debug,warn");
    assert_eq!(config.daemon.state_dir, Path::new("/s"));
    assert_eq!(config.daemon.runtime_dir, Path::new("/r"));
    let expected: Vec<PathBuf> = vec![
        main,
        drop_ins.clone(),
        drop_ins.join("10-daemon.toml"),
        drop_ins.join("20-client.toml"),
    ];
    assert_eq!(config.read_from, expected);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = TempDir::new().unwrap();
    let main = dir.path().join("bearerd.toml");
    let drop_ins = dir.path().join("conf.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::create_dir(drop_ins.join("dir.toml")).unwrap();
    let bad = drop_ins.join("encoding.toml");
    fs::write(&bad, b"[daemon]\nlog = \"\xff\"\n").unwrap();
    let errors = load(&main, &Environment::default()).unwrap_err();
    let shown = errors.to_string();
    assert_eq!(errors.problems().len(), 3, "{shown}");
    assert!(shown.contains("conf.d/dir.toml: cannot be read: Is a directory"));
    assert!(shown.contains("conf.d/encoding.toml: line 2 is not UTF-8"));
    assert!(shown.contains("bearerd.toml: cannot be read: No such file"));
}

#[test]
fn policy() {
    let policy = token(&format!("{CLIENT}{TOKEN}")).policy();
    assert_eq!(&*policy.server.0, "https://sso.example.org:8443");
    assert_eq!(policy.grant, Grant::Password);
    assert_eq!(policy.deadline, Duration::from_secs(4 * 10 + 5));
}

#[test]
fn documents_have_their_time_before_the_request() {
    let document = r#"
[http.d]
url = "https://mock.example.org/d"
timeout = "40s"
"#;
    let given = "client_id = \"c\"";
    let referring = "client_id = { http = \"d\", pointer = \"/id\" }";
    let client = CLIENT.replace(given, referring);
    let policy = token(&format!("{client}{document}{TOKEN}")).policy();
    assert_eq!(policy.deadline, Duration::from_secs(2 * (40 + 4 * 10) + 5));
}

#[test]
fn the_identity_is_what_is_obtained_and_nothing_else() {
    let text = format!("{CLIENT}{TOKEN}");
    let identity = |text: &str| token(text).policy().identity;
    let before = identity(&text);
    let same = [
        ("secrets/c", "secrets/d"),
        ("credential = \"p\"", "credential = \"q\""),
        ("timeout = \"10s\"", "timeout = \"11s\""),
        (
            "[token.t.grant",
            "[token.t.refresh]\nat = 0.5\n[token.t.grant",
        ),
        ("client_secret_post", "client_secret_basic"),
    ];
    for (from, to) in same {
        assert_eq!(identity(&text.replace(from, to)), before, "{to}");
    }
    let other = [
        ("/token?x=1", "/token?x=2"),
        ("token_endpoint", "issuer"),
        ("client_id = \"c\"", "client_id = \"d\""),
        ("[\"a\", \"b\"]", "[\"ab\"]"),
        ("[\"a\", \"b\"]", "[\"a\"]\naudience = \"b\""),
        ("[\"a\", \"b\"]", "[\"a\", \"b\"]\nresource = \"urn:x\""),
        ("\"u\"", "\"v\""),
        (
            "[token.t.grant",
            "[token.t.params]\nx = \"1\"\n[token.t.grant",
        ),
        (
            "[token.t.grant",
            "[token.t.params]\nx1 = \"\"\n[token.t.grant",
        ),
    ];
    let mut identities = vec![before];
    for (from, to) in other {
        let text = text.replace("?x=1", if from == "token_endpoint" { "" } else { "?x=1" });
        identities.push(identity(&text.replace(from, to)));
    }
    let count = identities.len();
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), count);
}

#[test]
fn inputs() {
    let text = format!(
        "{CLIENT}[client.c.tls]\nca = \"/k/ca\"\ncertificate = \"/k/crt\"\nkey = {{ file = \"/k/key\" }}\n\
         [client.c.refresh_auth.private_key_jwt]\nalg = \"ES512\"\nkey = {{ file = \"/k/pem\" }}\ncertificate = \"/k/x5t\"\nx5t = true\n\
         {TOKEN}[[token.t.file]]\npath = \"/run/t\"\nformat = \"headers\"\nheaders = {{ A = \"b\", K = {{ file = \"/k/api\" }} }}\n\
         [[token.t.file]]\npath = \"/run/u\"\nformat = \"template\"\ntemplate = \"/k/j2\"\n"
    );
    let token = token(&text);
    let environment = [("CREDENTIALS_DIRECTORY", "/creds")].into();
    let clients = [
        "/etc/bearerd/secrets/c",
        "/k/ca",
        "/k/crt",
        "/k/key",
        "/k/pem",
        "/k/x5t",
    ];
    assert_eq!(
        token.client.as_ref().unwrap().inputs(&environment),
        clients.map(PathBuf::from)
    );
    let mut all = clients.to_vec();
    all.push("/creds/p");
    all.sort_unstable();
    let all: Vec<_> = all.into_iter().map(PathBuf::from).collect();
    assert_eq!(token.inputs(&environment), all);
    let outputs = ["/k/api", "/k/j2"].map(PathBuf::from);
    assert_eq!(token.output_inputs(&environment), outputs);
}

#[test]
fn units() {
    let file = |settings: &str| {
        let text = format!("{CLIENT}{TOKEN}[[token.t.file]]\npath = \"/run/t\"\n{settings}\n");
        token(&text).files[0].clone()
    };
    for (text, mode) in [
        ("0640", 0o640),
        ("640", 0o640),
        ("0444", 0o444),
        ("0660", 0o660),
    ] {
        assert_eq!(file(&format!("mode = \"{text}\"")).mode, mode);
    }
    for (text, millis) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("1h30m", 5_400_000),
        ("1d 2h", 93_600_000),
        ("1.5h", 5_400_000),
    ] {
        let token = token(&format!(
            "{CLIENT}{TOKEN}[token.t.refresh]\nbefore_expiry = \"{text}\"\n"
        ));
        let expected = RefreshAt::BeforeExpiry(Duration::from_millis(millis));
        assert_eq!(token.refresh_at, expected, "{text}");
    }
    for (text, permille) in [("0.001", 1), ("0.999", 999), ("0.8", 800), ("2.5e-1", 250)] {
        let token = token(&format!("{CLIENT}{TOKEN}[token.t.refresh]\nat = {text}\n"));
        assert_eq!(token.refresh_at, RefreshAt::Permille(permille), "{text}");
    }
    let loopback = [
        "http://localhost:1/",
        "http://127.9.9.9/",
        "http://[::1]:8/t",
    ];
    for url in loopback {
        let text = CLIENT.replace("https://sso.example.org:8443/token?x=1", url);
        let config = parsed(&text);
        assert!(
            matches!(&config.clients["c"].endpoint, Endpoint::TokenEndpoint(u) if u.text == url)
        );
    }
}

#[test]
fn client_authentication() {
    let auth = |text: &str| {
        let text = format!(
            "[client.c]\nissuer = \"https://sso.example.org\"\nclient_id = \"c\"\n[client.c.auth.{text}\n\
             [client.c.tls]\ncertificate = \"/k/crt\"\nkey = {{ file = \"/k/key\" }}\n"
        );
        parsed(&text).clients["c"].auth.clone()
    };
    assert_eq!(auth("tls_client_auth]"), ClientAuth::TlsClientAuth);
    assert_eq!(
        auth("self_signed_tls_client_auth]"),
        ClientAuth::TlsClientAuth
    );
    let client_secret = ClientSecret::Secret(SecretRef::Env("S".into()));
    assert_eq!(
        auth("client_secret_basic_raw]\nclient_secret = { env = \"S\" }"),
        ClientAuth::ClientSecretBasicRaw { client_secret }
    );
    let ClientAuth::ClientSecretJwt { alg, .. } =
        auth("client_secret_jwt]\nclient_secret = { env = \"S\" }")
    else {
        panic!();
    };
    assert_eq!(alg, HmacAlg::HS256);
    let ClientAuth::PrivateKeyJwt { assertion, .. } = auth(
        "private_key_jwt]\nkey = { env = \"S\" }\nalg = \"EdDSA\"\nclaims = { a = [1, 2.5, true], b = { c = \"d\" } }",
    ) else {
        panic!();
    };
    let claims = serde_json::to_value(&assertion.claims).unwrap();
    assert_eq!(
        claims,
        serde_json::json!({ "a": [1, 2.5, true], "b": { "c": "d" } })
    );
    assert_eq!(
        (assertion.typ.as_str(), assertion.lifetime.as_secs()),
        ("JWT", 60)
    );
}

/// A daemon that is brought up to date goes on with the tokens that its predecessor left: the identity of a
/// configuration stays as it is.
#[test]
fn the_identity_of_each_grant_stays() {
    let alone = |grant: &str| token(&format!("[token.t.grant.{grant}")).policy().identity;
    let of_client = |grant: &str| {
        let token_table = "[token.t]\nclient = \"c\"\nscope = [\"a\"]\n[token.t.grant.";
        token(&format!("{LOGIN_CLIENT}{token_table}{grant}"))
            .policy()
            .identity
    };
    let found = CLIENT_GRANTS.into_iter().map(of_client);
    let found = found.chain(LONE_GRANTS.map(alone));
    let found = found.map(|identity| format!("{:032x}", u128::from_be_bytes(identity)));
    assert_eq!(found.collect::<Vec<_>>(), IDENTITIES);
}

const LOGIN_CLIENT: &str = r#"
[client.c]
token_endpoint = "https://sso.example.org/token"
authorization_endpoint = "https://sso.example.org/authorize"
device_authorization_endpoint = "https://sso.example.org/device"
client_id = "c"
[client.c.auth.none]
[token.p]
client = "c"
[token.p.grant.client_credentials]
"#;

/// The grants of a client, with every key that counts.
const CLIENT_GRANTS: [&str; 9] = [
    "authorization_code]\nmock_identity_provider = true\nauthorization_params = { prompt = \"login\" }\n\
     form_login = { user = \"u\", word = { file = \"/k/word\" } }",
    "client_credentials]",
    "device_code]",
    "jwt_bearer]\nassertion = { token = \"p\" }",
    "jwt_bearer]\nkey = { file = \"/k/key\" }\nalg = \"ES256\"\nissuer = \"i\"\nsubject = \"s\"\n\
     audience = \"a\"\nclaims = { x = 1, y = \"z\" }",
    "password]\nusername = \"u\"\npassword = { env = \"P\" }",
    "refresh_token]\nrefresh_token = { env = \"R\" }",
    "token_exchange]\nsubject_token = { token = \"p\" }",
    "token_exchange]\nsubject_token = { file = \"/k/s\" }\nactor_token = { token = \"p\" }\n\
     requested_token_type = \"urn:x\"",
];

/// The grants that are no token request.
const LONE_GRANTS: [&str; 4] = [
    "command]\ncommand = [\"/bin/token\", \"a\"]\nenvironment = [\"V\"]",
    "github_app]\nclient_id = \"Iv1\"\ninstallation_id = 7\nkey = { file = \"/k/key\" }\nrepositories = [\"r\"]\n\
     permissions = { contents = \"read\" }",
    "http]\nurl = \"https://x.example.org/t\"\ntoken = \"/t\"",
    "http]\nurl = \"https://x.example.org/t\"\ntoken = \"/t\"\nbearer = { file = \"/k/b\" }\n\
     headers = { A = \"b\", K = { file = \"/k/h\" } }\nbody = { a = 1 }",
];

const IDENTITIES: [&str; 13] = [
    "a69720b52c4f2d8685ca9933e49a17af",
    "9fe9507ed9c16441147bbccca5fe4393",
    "73aef765e55d0991492a95aacc7c98a3",
    "c0d60188afb80ff9c481a24ad46750f5",
    "d9fe8bded051426eb73d7ff8877a10e2",
    "b7f4a267c745228d4b0a2dceccf63bfe",
    "e2441a39ef27c2350caceaff69494d7e",
    "7520ae278d55297fa9bf1fa48b71f80f",
    "3362b0bfee2b19517e7dad3d5d893675",
    "8c74d3222ca8c44cd56da31bcd8ac65f",
    "8f52ee34ebc7ef1380319e14b766f94f",
    "f15c6aa7f077e22ee86d0ba89f7912b8",
    "f11328923a9543aca574c4f64386ef96",
];
