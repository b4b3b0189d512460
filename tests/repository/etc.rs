//! The configuration files that are shipped, read as the daemon reads them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bearerd::config::{
    ClientAuth, Config, Environment, FileFormat, GrantConfig, HeaderValue, JwtBearer, SecretRef,
    load,
};
use bearerd_core::credential::TokenName;
use bearerd_core::refresh::{Part, RefreshAt};

fn loaded(path: &Path) -> Config {
    load(path, &Environment::default()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn example(name: &str) -> Config {
    let config = loaded(&Path::new("etc/examples").join(name));
    assert_eq!(config.clients.len(), config.tokens.len());
    assert_ne!(config.tokens.len(), 0);
    config
}

#[test]
fn the_default_starts_idle() {
    let config = loaded(Path::new("etc/bearerd.toml"));
    assert!(config.clients.is_empty() && config.tokens.is_empty());
    assert_eq!(config.daemon.log, "info");
    let names: Vec<_> = config
        .read_from
        .iter()
        .map(|path| path.file_name().unwrap())
        .collect();
    assert_eq!(names, ["bearerd.toml", "conf.d"]);
}

/// The default file with the single hashes taken away: what stands behind two is prose, or excludes another.
fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with('#') => setting,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n")
}

fn load_text(text: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bearerd.toml");
    fs::write(&path, text).unwrap();
    loaded(&path)
}

#[test]
fn every_commented_setting_of_the_default_is_valid() {
    let text = fs::read_to_string("etc/bearerd.toml").unwrap();
    let config = load_text(&uncommented(&text));
    assert_eq!((config.clients.len(), config.tokens.len()), (4, 10));
    let token = &config.tokens[&TokenName::parse("example").unwrap()];
    assert_eq!((token.files.len(), token.hooks.len()), (7, 2));
    assert!(matches!(token.grant, GrantConfig::Password(_)));
    assert!(token.client.as_ref().unwrap().tls.identity.is_some());

    // The two settings that exclude their neighbour stand behind two hashes.
    let text = text
        .replace("#at = 0.75", "")
        .replace("##before_expiry", "#before_expiry")
        .replace("#issuer =", "## issuer =")
        // An ID token is for clients with an issuer.
        .replace("#scope = [\"openid\"]", "")
        .replace("##token_endpoint", "#token_endpoint");
    let config = load_text(&uncommented(&text));
    let token = &config.tokens[&TokenName::parse("example").unwrap()];
    assert!(matches!(token.refresh_at, RefreshAt::BeforeExpiry(_)));
}

/// Whoever adds a key documents it: the hint for an unknown key lists the known ones.
#[test]
fn the_default_documents_every_key() {
    let text = uncommented(&fs::read_to_string("etc/bearerd.toml").unwrap());
    let tables = [
        "daemon",
        "daemon.notify",
        "client.example",
        "client.example.tls",
        "client.example.limits",
        "client.signed.auth.private_key_jwt",
        "http.registrations",
        "client.federated.auth.client_assertion",
        "token.example",
        "token.example.refresh",
        "token.example.socket",
        "token.example.grant.password",
        "token.seeded.grant.refresh_token",
        "token.person.grant.authorization_code",
        "token.derived.grant.token_exchange",
        "token.asserted.grant.jwt_bearer",
        "token.github.grant.github_app",
        "token.fetched.grant.http",
        "token.printed.grant.command",
    ];
    for table in tables {
        let header = format!("[{table}]\n");
        assert!(text.contains(&header), "{table}");
        check_documented(
            &text,
            &text.replace(&header, &format!("{header}zzzzzzzzzzzz = 1\n")),
        );
    }
    for table in ["[[token.example.file]]\n", "[[token.example.hook]]\n"] {
        check_documented(
            &text,
            &text.replacen(table, &format!("{table}zzzzzzzzzzzz = 1\n"), 1),
        );
    }
}

fn check_documented(text: &str, with_unknown_key: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bearerd.toml");
    fs::write(&path, with_unknown_key).unwrap();
    let errors = load(&path, &Environment::default()).unwrap_err();
    let [problem] = errors.problems() else {
        panic!("{errors}");
    };
    let hint = problem.hint.as_deref().unwrap();
    let known = hint.strip_prefix("known here: ").unwrap();
    for key in known.split(", ") {
        let quoted = format!("\"{key}\" = ");
        let ways = [
            format!("\n{key} = "),
            format!("\n##{key} = "),
            format!(".{key}]"),
            format!(".{key}."),
            format!("\n{quoted}"),
        ];
        assert!(
            ways.iter().any(|way| text.contains(way)),
            "{key} is not documented"
        );
    }
}

#[test]
fn lev() {
    let config = example("lev.toml");
    let token = config.tokens.values().next().unwrap();
    assert_eq!(token.files[1].format, FileFormat::Curl);
    assert_eq!(token.files[0].mode, 0o640);
    let GrantConfig::Password(grant) = &token.grant else {
        panic!("{:?}", token.grant);
    };
    assert_eq!(grant.password, SecretRef::Credential("lev-password".into()));
}

#[test]
fn ardengem() {
    let config = example("ardengem.toml");
    let token = config.tokens.values().next().unwrap();
    assert_eq!(token.refresh_at, RefreshAt::Permille(750));
    let key = &token.files[0].headers["Ocp-Apim-Subscription-Key"];
    assert!(matches!(key, HeaderValue::Secret(SecretRef::File(_))));
    assert_eq!(
        &*token.policy().server.0,
        "https://login.microsoftonline.com"
    );
}

#[test]
fn nhs_signed_jwt() {
    let config = example("nhs-signed-jwt.toml");
    let client = config.clients.values().next().unwrap();
    let ClientAuth::PrivateKeyJwt { assertion, .. } = &client.auth else {
        panic!("{:?}", client.auth);
    };
    assert_eq!(assertion.kid.as_deref(), Some("test-1"));
    assert_eq!(assertion.lifetime.as_secs(), 60);
    assert_eq!(client.limits.requests_per_minute, Some(300));
}

#[test]
fn cis2() {
    let config = example("cis2.toml");
    let [login, made] =
        ["cis2", "nhs_user"].map(|name| &config.tokens[&TokenName::parse(name).unwrap()]);
    let GrantConfig::AuthorizationCode(grant) = &login.grant else {
        panic!("{:?}", login.grant);
    };
    assert!(grant.form_login.is_some() && !login.required && !made.required);
    let [parent] = &made.parents()[..] else {
        panic!("{:?}", made.parents());
    };
    assert_eq!((parent.name.as_str(), parent.part), ("cis2", Part::IdToken));
    assert!(made.client.as_ref().unwrap().refresh_auth.is_some());
    let client = login.client.as_ref().unwrap();
    let places: Vec<_> = client
        .document_places()
        .map(|place| &*place.pointer)
        .collect();
    assert_eq!(places, ["/cis2/client_id", "/cis2/client_secret"]);
}

/// So are those of the manual for logins.
#[test]
fn the_configurations_of_docs_login_are_valid() {
    let text = fs::read_to_string("docs/login.md").unwrap();
    let blocks = text.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let by_code = blocks[0].replace("operators", "root");
    load_text(&by_code);
    let (client, token) = by_code
        .split_once("[token.person.grant.authorization_code]")
        .unwrap();
    let (_, socket) = token.split_once("[token.person.socket]").unwrap();
    load_text(&format!(
        "{client}{}[token.person.socket]{socket}",
        blocks[1]
    ));
}

/// A newcomer's way to the CIS2 chain, as docs/login.md shows it, but for the places.
#[test]
fn the_chain_is_set_up_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    let here = |text: &str| {
        let etc = directory.path().to_str().unwrap();
        text.replace("/etc/bearerd", etc)
            .replace("/usr/share/doc/bearerd/examples", "etc/examples")
            .replace("install -o bearerd", "install -D")
            .replace("/dev/stdin", "<(echo secret)")
            .replace("/run/bearerd", etc)
    };
    let page = fs::read_to_string("docs/login.md").unwrap();
    let (_, section) = page.split_once("\n## NHS CIS2").unwrap();
    let (_, commands) = section.split_once("```sh\n").unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    let (commands, last) = commands.split_once("bearerd check").unwrap();
    assert_eq!(last.trim(), "&& systemctl reload bearerd");
    let commands = here(commands)
        .replace(
            "bearerd keygen",
            concat!(env!("CARGO_BIN_EXE_bearerd"), " keygen"),
        )
        .replace("chown bearerd ", "test -f ");
    // Of the package.
    for made in ["keys", "conf.d"] {
        fs::create_dir(directory.path().join(made)).unwrap();
    }
    let done = Command::new("bash")
        .args(["-euc", &commands])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let chain = directory.path().join("conf.d/cis2.toml");
    let text = here(&fs::read_to_string(&chain).unwrap());
    assert!(text.contains("client_id = \"YOUR_API_KEY\""), "{text}");
    fs::write(&chain, text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    let checked = check
        .args(["check", "--config"])
        .arg(&chain)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn google_service_account() {
    let config = example("google-service-account.toml");
    let token = config.tokens.values().next().unwrap();
    let GrantConfig::JwtBearer(grant) = &token.grant else {
        panic!("{:?}", token.grant);
    };
    let JwtBearer::Signed(signed) = &**grant else {
        panic!("{grant:?}");
    };
    assert_eq!(signed.assertion.lifetime.as_secs(), 3600);
    assert!(token.scope.is_empty() && signed.assertion.claims.contains_key("scope"));
}

#[test]
fn entra_federated() {
    let config = example("entra-federated.toml");
    let client = config.clients.values().next().unwrap();
    assert!(matches!(client.auth, ClientAuth::ClientAssertion { .. }));
    let token = config.tokens.values().next().unwrap();
    let file = "/var/run/secrets/azure/tokens/azure-identity-token";
    let inputs = token.inputs(&Environment::default());
    assert_eq!(inputs, [Path::new(file)]);
}

#[test]
fn github_app() {
    let config = loaded(Path::new("etc/examples/github-app.toml"));
    assert!(config.clients.is_empty());
    let token = config.tokens.values().next().unwrap();
    let GrantConfig::Http(grant) = &token.grant else {
        panic!("{:?}", token.grant);
    };
    assert_eq!(
        grant.url.text,
        "https://api.github.com/app/installations/12345678/access_tokens"
    );
    assert_eq!(&*token.policy().server.0, "https://api.github.com");
    let inputs = token.inputs(&Environment::default());
    assert_eq!(inputs, [Path::new("/etc/bearerd/keys/github-app.pem")]);
}

/// With programs of the same names that write down what they are given.
#[test]
fn the_hooks_tell_where_to_log_in() {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    for name in ["mail", "notify-send"] {
        let script =
            "#!/bin/sh\necho \"$@\" >\"$SAID\"\n[ \"${0##*/}\" != mail ] || cat >>\"$SAID\"\n";
        let stub = directory.path().join(name);
        fs::write(&stub, script).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let path = format!(
        "{}:{}",
        directory.path().display(),
        std::env::var("PATH").unwrap()
    );
    let url = "https://op.example/auth?state=x";
    for (hook, argument) in [("mail", Some("ops@example.org")), ("desktop", None)] {
        for (url, code) in [("", ""), (url, ""), (url, "WDJB-MJHT")] {
            let status = Command::new(format!("etc/hooks/{hook}"))
                .args(argument)
                .env("PATH", &path)
                .env("SAID", &said)
                .envs([("BEARERD_TOKEN", "person"), ("BEARERD_REASON", "login_due")])
                .envs([("BEARERD_UNTIL", "1800000000"), ("BEARERD_STATE", "fresh")])
                .env("BEARERD_LOGIN", "bearerd login person")
                .envs([("BEARERD_URL", url), ("BEARERD_USER_CODE", code)])
                .status()
                .unwrap();
            assert!(status.success(), "{hook}");
            let text = fs::read_to_string(&said).unwrap();
            for word in ["person", "bearerd login person", url, code] {
                assert!(text.contains(word), "{hook}: {word}: {text}");
            }
        }
    }
}

/// The README's configurations are what people copy.
#[test]
fn the_configurations_of_the_readme_are_valid() {
    let text = fs::read_to_string("README.md").unwrap();
    let blocks: Vec<_> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 4, "one for each system");
    for block in blocks {
        // The group is the reader's own.
        let config = load_text(&block.replace("nhs-clients", "root"));
        assert_eq!(config.clients.len(), config.tokens.len());
        assert_ne!(config.tokens.len(), 0);
    }
}
