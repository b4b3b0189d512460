//! Logins with the real binary: by form, in a browser that is a script, on another device.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use serde_json::json;
use support::provider::{CLIENT_ID, CLIENT_SECRET, browse};
use support::{Daemon, Host, Provider, eventually, pause};
use url::Url;

const SOON: Duration = Duration::from_secs(15);
const ELSEWHERE: &str = "https://example.org";

fn configure(host: &Host, provider: &Provider, grant: &str) {
    host.secret("client-secret", CLIENT_SECRET);
    host.secret("password", &provider.op().password);
    host.configure(&format!(
        r#"
[client.op]
issuer = "{}"
client_id = "{CLIENT_ID}"
timeout = "5s"
[client.op.auth.client_secret_post]
client_secret = {{ file = "@/secrets/client-secret" }}
[token.me]
client = "op"
scope = ["openid", "profile"]
required = false
{grant}
[[token.me.file]]
path = "@/tokens/me"
"#,
        provider.origin
    ));
}

fn by_form(redirect_uri: &str) -> String {
    format!(
        "[token.me.grant.authorization_code]\nredirect_uri = \"{redirect_uri}\"\n\
         mock_identity_provider = true\n\
         form_login = {{ username = \"656005750104\", password = {{ file = \"@/secrets/password\" }} }}\n"
    )
}

fn by_code(redirect_uri: &str) -> String {
    format!("[token.me.grant.authorization_code]\nredirect_uri = \"{redirect_uri}\"\n")
}

const BY_DEVICE: &str = "[token.me.grant.device_code]\n";

fn token(host: &Host) -> String {
    eventually("the token's file", SOON, || host.token("me"))
}

fn failing(daemon: &Daemon, state: &str) -> String {
    eventually(state, SOON, || {
        let status = daemon.status_json();
        let token = &status["tokens"][0];
        let error = token["last_error"].as_str().unwrap_or_default();
        let said = !error.is_empty() || state == "needs_login";
        (token["state"] == *state && said).then(|| error.to_owned())
    })
}

/// `bearerd login me` under way.
struct Login {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Login {
    fn begin(host: &Host) -> Self {
        let mut command = support::daemon::command(host);
        command.args(["login", "me", "--socket"]).arg(host.socket());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self {
            child,
            stdin,
            stdout,
        }
    }

    /// The first line of standard output.
    fn url(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn paste(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{text}").expect("an open pipe");
    }

    /// Exit code and standard error.
    fn end(mut self) -> (i32, String) {
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut text).expect("text");
        drop(self.stdin);
        let status = self.child.wait().expect("a child of ours");
        (status.code().unwrap_or(-1), text)
    }
}

/// What a browser does at the redirect URI.
fn get(url: &str) -> String {
    let url: Url = url.parse().expect("a URL");
    let address = url.socket_addrs(|| None).expect("an address");
    let mut stream = TcpStream::connect(&address[..]).expect("a listener");
    let target = &url[url::Position::BeforePath..];
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_form_is_filled_in_and_the_token_kept_fresh() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().lifetime = 4;
    provider.op().detour = Some("/detour".into());
    let host = Host::new();
    configure(&host, &provider, &by_form(ELSEWHERE));
    let daemon = host.start_ready();
    let first = token(&host);
    let redeemed = provider.token_requests("authorization_code");
    assert_eq!(redeemed.len(), 1);
    // the same bytes at both endpoints: no slash is added
    assert_eq!(redeemed[0]["redirect_uri"], ELSEWHERE);
    assert!(!redeemed[0].contains_key("scope"));
    // each cookie where it belongs
    let cookies = provider.op().cookies.clone();
    let sent = |path: &str| {
        let found = cookies.iter().find(|(at, _)| at == path);
        found.map_or("", |(_, cookie)| cookie.as_str()).to_owned()
    };
    assert_eq!(sent("/page"), "KC_RESTART=x");
    assert!(
        sent("/login/submit").contains("AUTH=") && sent("/login/submit").contains("KC_RESTART")
    );
    assert_eq!(sent("/token"), "");
    let second = eventually("the refreshed token", SOON, || {
        host.token("me").filter(|token| *token != first)
    });
    assert_ne!(first, second);
    assert!(!provider.token_requests("refresh_token").is_empty());
    assert_eq!(provider.requests("POST", "/login/submit"), 1);
    let warnings = daemon.status_json()["daemon"]["warnings"].to_string();
    assert!(warnings.contains("form_login"), "{warnings}");
    daemon.assert_sound();
}

#[test]
fn a_refused_form_is_not_sent_again() {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, &by_form(ELSEWHERE));
    host.secret("password", "wrong");
    let daemon = host.start_ready();
    let error = failing(&daemon, "fix_config");
    assert!(error.contains("the login form was refused"), "{error}");
    let output = daemon.client(&["refresh", "me", "--wait", "2s"]);
    assert_eq!(output.status.code(), Some(5));
    pause(Duration::from_secs(2));
    assert!(provider.requests("POST", "/login/submit") <= 2);
    host.secret("password", &provider.op().password);
    token(&host);
}

#[test]
fn what_is_wrong_with_a_login_by_form() {
    let host = Host::new();
    for (change, state, words) in [
        (
            json!({"nonce": "other"}),
            "",
            "its nonce is not the one that was sent",
        ),
        (
            json!({"aud": "other"}),
            "",
            "its aud does not name this client",
        ),
        (json!({"iss": "https://other.example"}), "", "its iss is"),
        (json!({"at_hash": "AAAA"}), "", "its at_hash does not fit"),
        (
            json!("access_denied"),
            "denied",
            "the server answered access_denied",
        ),
        (
            json!("invalid_scope"),
            "fix_config",
            "the server answered invalid_scope",
        ),
        (json!(1), "fix_config", "its iss is not the issuer"),
        (json!(2), "fix_config", "answered 400"),
        (json!(3), "fix_config", "neither https nor loopback"),
    ] {
        let provider = Provider::start(if change == 2 {
            "https://example.org/"
        } else {
            ELSEWHERE
        });
        match &change {
            serde_json::Value::Object(_) => provider.op().claims = change.clone(),
            serde_json::Value::String(error) => provider.op().error = Some(error.clone().leak()),
            _ if change == 1 => provider.op().iss = Some("https://other.example".into()),
            _ if change == 3 => provider.op().detour = Some("http://192.0.2.1/x".into()),
            _ => {}
        }
        configure(&host, &provider, &by_form(ELSEWHERE));
        let daemon = host.start_ready();
        let state = if state.is_empty() { "transient" } else { state };
        let error = failing(&daemon, state);
        assert!(error.contains(words), "{change}: {error}");
        assert_eq!(host.token("me"), None, "{change}");
        daemon.stop();
    }
}

#[test]
fn a_pasted_address_completes_a_login_even_after_a_restart() {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, &by_code(ELSEWHERE));
    let daemon = host.start_ready();
    failing(&daemon, "needs_login");
    let mut login = Login::begin(&host);
    let url = login.url();
    let end = browse(&provider, &url);
    daemon.kill();
    drop(login);

    let daemon = host.start_ready();
    failing(&daemon, "needs_login");
    let mut login = Login::begin(&host);
    // the same login goes on
    assert_eq!(login.url(), url);
    login.paste("");
    login.paste("what is this");
    login.paste(&end.replace("state=", "state=x"));
    login.paste(&format!("  {end}  "));
    let (code, text) = login.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("me: logged in, generation 1"), "{text}");
    assert!(
        text.contains("its state is another") && text.contains("does not begin with"),
        "{text}"
    );
    assert!(token(&host).contains("cAnArYat"));
    // a code counts once
    let mut again = Login::begin(&host);
    assert_ne!(again.url(), url);
    again.paste(&end);
    drop(again.stdin.take());
    let (code, text) = again.end();
    assert_eq!(code, 4, "{text}");
    daemon.assert_sound();
}

#[test]
fn a_browser_on_this_host_completes_a_login() {
    let provider = Provider::start("");
    let host = Host::new();
    configure(&host, &provider, "[token.me.grant.authorization_code]\n");
    let daemon = host.start_ready();
    let mut login = Login::begin(&host);
    let end = browse(&provider, &login.url());
    assert!(get(&end.replace("/?", "/other?")).starts_with("HTTP/1.1 404"));
    assert!(get(&end.replace("state=", "state=x")).starts_with("HTTP/1.1 200"));
    let answer = get(&end);
    assert!(answer.contains("You can close this page"), "{answer}");
    let (code, text) = login.end();
    assert_eq!(code, 0, "{text}");
    token(&host);
    daemon.assert_sound();
}

#[test]
fn a_denied_login_ends_with_its_code() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().error = Some("access_denied");
    let host = Host::new();
    configure(&host, &provider, &by_code(ELSEWHERE));
    let _daemon = host.start_ready();
    let mut login = Login::begin(&host);
    let end = browse(&provider, &login.url());
    login.paste(&end);
    let (code, text) = login.end();
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("access_denied"), "{text}");
}

#[test]
fn another_device_completes_a_login_even_after_a_restart() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().device_answers = vec!["authorization_pending"; 1000];
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let daemon = host.start_ready();
    let mut login = Login::begin(&host);
    assert_eq!(login.url(), format!("{}/verify", provider.origin));
    let polled = "urn:ietf:params:oauth:grant-type:device_code";
    eventually("a poll", SOON, || {
        (provider.token_requests(polled).len() >= 2).then_some(())
    });
    daemon.kill();
    drop(login);
    let before = provider.token_requests(polled).len();
    let _daemon = host.start_ready();
    eventually("a poll", SOON, || {
        (provider.token_requests(polled).len() > before).then_some(())
    });
    let login = Login::begin(&host);
    provider.op().device_answers = vec!["authorization_pending"];
    let (code, text) = login.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("WDJB-MJHT"), "{text}");
    assert_eq!(provider.requests("POST", "/device"), 1);
    token(&host);
}

#[test]
fn a_device_that_says_no() {
    for (answer, code) in [("access_denied", 6), ("expired_token", 4)] {
        let provider = Provider::start(ELSEWHERE);
        provider.op().device_answers = vec![answer; 5];
        let host = Host::new();
        configure(&host, &provider, BY_DEVICE);
        let _daemon = host.start_ready();
        let (ended, text) = Login::begin(&host).end();
        assert_eq!(ended, code, "{text}");
    }
}

/// A login at whose end the browser stands: that address is still to be pasted.
fn browsed() -> (Provider, Host, Daemon, Login, String) {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, &by_code(ELSEWHERE));
    let daemon = host.start_ready();
    let mut login = Login::begin(&host);
    let end = browse(&provider, &login.url());
    (provider, host, daemon, login, end)
}

/// Nobody has to log in twice because a server is out for a moment.
#[test]
fn a_login_outlasts_a_short_outage() {
    for out in ["/token", "/jwks"] {
        let (provider, host, _daemon, mut login, end) = browsed();
        provider.op().out = Some((out, 2));
        login.paste(&end);
        let (code, text) = login.end();
        assert_eq!(code, 0, "{out}: {text}");
        assert_eq!(provider.op().out, Some((out, 0)));
        token(&host);
    }
}

/// A server that is out says when to come again (RFC 9110 section 10.2.3): nobody comes sooner, or waits for one
/// that stays out for long.
#[test]
fn a_login_heeds_retry_after() {
    for (after, outcome) in [(3, 0), (21, 3)] {
        let (provider, _host, _daemon, mut login, end) = browsed();
        provider.op().out = Some(("/token", 1));
        provider.op().retry_after = Some(after);
        let begun = bearerd::clock::now();
        login.paste(&end);
        let (code, text) = login.end();
        let took = (bearerd::clock::now() - begun).as_secs();
        assert_eq!(code, outcome, "{text}");
        assert_eq!((3..10).contains(&took), outcome == 0, "{took} s");
        assert!(took < 10, "{took} s");
    }
}

/// A login on another device outlasts a restart while the server is out, discovery included.
#[test]
fn a_device_login_outlasts_an_outage() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().device_answers = vec!["authorization_pending"; 1000];
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let daemon = host.start_ready();
    let mut login = Login::begin(&host);
    login.url();
    daemon.kill();
    drop(login);
    provider.op().out = Some(("/.well-known/openid-configuration", 2));
    let _daemon = host.start_ready();
    eventually("the outage to be over", SOON, || {
        (provider.op().out?.1 == 0).then_some(())
    });
    let login = Login::begin(&host);
    provider.op().device_answers.clear();
    let (code, text) = login.end();
    assert_eq!(
        (code, provider.requests("POST", "/device")),
        (0, 1),
        "{text}"
    );
}

/// What a login that was replaced comes to is nothing to the one in its place.
#[test]
fn a_device_login_that_was_replaced_is_forgotten() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().device_answers = vec!["authorization_pending"; 1000];
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let daemon = host.start_ready();
    let mut first = Login::begin(&host);
    first.url();
    let config = std::fs::read_to_string(host.config_path()).unwrap();
    host.write("bearerd.toml", &config.replace("\"profile\"", "\"email\""));
    eventually("the end of the first login's file", SOON, || {
        (!host.path("state/logins/me.json").exists()).then_some(())
    });
    let outdated = bearerd::clock::now();
    let (code, text) = first.end();
    assert_eq!(code, 4, "who waits for it is told: {text}");
    let took = bearerd::clock::now() - outdated;
    assert!(took < Duration::from_secs(10), "at once, not in {took:?}");
    let mut second = Login::begin(&host);
    second.url();
    let codes = |provider: &Provider| {
        let polls = provider.token_requests("urn:ietf:params:oauth:grant-type:device_code");
        polls
            .iter()
            .map(|poll| poll["device_code"].clone())
            .collect::<Vec<_>>()
    };
    let before = codes(&provider).len();
    eventually("polls", SOON, || {
        (codes(&provider).len() >= before + 3).then_some(())
    });
    let polled = codes(&provider);
    assert!(
        polled[before + 1..]
            .iter()
            .all(|code| Some(code) == polled.last())
    );
    provider.op().device_answers.clear();
    let (code, text) = second.end();
    assert_eq!(code, 0, "{text}");
    daemon.stop();
}

/// A client that proves itself by another token of ours does so when somebody logs in, too.
#[test]
fn a_login_of_a_client_without_a_secret() {
    for grant in [&by_code(ELSEWHERE), BY_DEVICE, &by_form(ELSEWHERE)] {
        let host = Host::new();
        let provider = Provider::start(ELSEWHERE);
        provider.op().client_assertion = Some("cAnArY-workload".into());
        let workload = "[token.workload]\nassume_lifetime = \"1h\"\n[token.workload.grant.command]\n\
                        command = [\"echo\", \"cAnArY-workload\"]\n";
        configure(&host, &provider, &format!("{grant}{workload}"));
        let config = std::fs::read_to_string(host.config_path()).unwrap();
        let secret = "client_secret_post]\nclient_secret = { file = \"";
        let (before, rest) = config.split_once(secret).unwrap();
        let after = rest.split_once("\" }").unwrap().1;
        let ours = "client_assertion]\nclient_assertion = { token = \"workload\", field = \"access_token\" }";
        host.write("bearerd.toml", &format!("{before}{ours}{after}"));
        let daemon = host.start_ready();
        if !grant.contains("form_login") {
            let mut login = Login::begin(&host);
            if grant != BY_DEVICE {
                let end = browse(&provider, &login.url());
                login.paste(&end);
            }
            let (code, text) = login.end();
            assert_eq!(code, 0, "{text}");
        }
        token(&host);
        daemon.stop();
    }
}

#[test]
fn a_device_login_that_cannot_begin() {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let config = std::fs::read_to_string(host.config_path()).unwrap();
    let unknown = config.replace(&format!("\"{CLIENT_ID}\""), "\"unknown\"");
    host.write("bearerd.toml", &unknown);
    let _daemon = host.start_ready();
    let (code, text) = Login::begin(&host).end();
    assert_eq!(code, 5, "{text}");
    let words = "the device authorization endpoint answered 401 invalid_client";
    assert!(text.contains(words), "{text}");
}

/// Such a token works until it ends, and whoever wants another is told at once.
#[test]
fn a_login_without_a_refresh_token_is_kept_and_not_replaced() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().refresh_tokens_are_given = false;
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let daemon = host.start_ready();
    assert_eq!(Login::begin(&host).end().0, 0);
    let held = token(&host);
    let asked = bearerd::clock::now();
    let hash = bearerd::api::tokens::RejectedHash::of(held.as_bytes()).to_hex();
    let rejected = format!("--rejected={hash}");
    for arguments in [
        &["refresh", "me"][..],
        &["refresh", "me", &rejected],
        &["get", "me", "--min-ttl", "299990ms", "--wait", "1m"],
    ] {
        let refused = daemon.client(arguments);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    }
    assert!(bearerd::clock::now() - asked < Duration::from_secs(5));
    assert!(daemon.client(&["get", "me"]).status.success());
    assert_eq!(daemon.status_json()["tokens"][0]["state"], "fresh");
}

/// Nobody waits for a request that cannot be made.
#[test]
fn a_wish_without_a_login() {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let daemon = host.start_ready();
    failing(&daemon, "needs_login");
    let asked = bearerd::clock::now();
    let refused = daemon.client(&["refresh", "me"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(bearerd::clock::now() - asked < Duration::from_secs(5));
}

/// RFC 8628 section 3.5: five seconds more between two polls, and all those after.
#[test]
fn a_server_that_is_polled_too_fast() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().device_answers = vec!["authorization_pending", "slow_down"];
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let _daemon = host.start_ready();
    let (code, text) = Login::begin(&host).end();
    assert_eq!(code, 0, "{text}");
    let polled_at = provider.op().polled_at.clone();
    let [first, second, third] = polled_at[..] else {
        panic!("three polls: {polled_at:?}");
    };
    let interval = second - first;
    assert!(interval >= Duration::from_secs(1) && interval < Duration::from_secs(3));
    assert!(third - second >= Duration::from_secs(6), "{polled_at:?}");
}

/// A refresh that suddenly speaks of somebody else is not taken; one that merely cannot be verified is.
#[test]
fn refreshes_go_on_from_the_login() {
    let host = Host::new();
    for (claims, goes_on) in [
        (json!({"sub": "somebody else"}), false),
        (json!({"aud": "x"}), true),
    ] {
        let provider = Provider::start(ELSEWHERE);
        configure(&host, &provider, &by_code(ELSEWHERE));
        let daemon = host.start_ready();
        let mut login = Login::begin(&host);
        let end = browse(&provider, &login.url());
        login.paste(&end);
        assert_eq!(login.end().0, 0);
        let first = token(&host);
        provider.op().claims = claims;
        let output = daemon.client(&["refresh", "me", "--wait", "15s"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), goes_on, "{text}");
        if goes_on {
            let newer = || host.token("me").filter(|token| *token != first);
            eventually("the new token", SOON, newer);
        } else {
            assert!(text.contains("its sub is not that of the login"), "{text}");
            assert_eq!(host.token("me"), Some(first));
        }
        daemon.stop();
    }
}

#[test]
fn no_secret_of_a_login_is_logged() {
    let provider = Provider::start(ELSEWHERE);
    let mut host = Host::new();
    host.credential("bearerd-state-key", "a-state-key-of-at-least-32-bytes-0123");
    configure(&host, &provider, &by_form(ELSEWHERE));
    let config = std::fs::read_to_string(host.config_path()).expect("the configuration");
    host.write(
        "bearerd.toml",
        &config.replace("log = \"debug\"", "log = \"trace\""),
    );
    let daemon = host.start_ready();
    token(&host);
    daemon.stop();
    configure(&host, &provider, &by_code(ELSEWHERE));
    let config = std::fs::read_to_string(host.config_path()).expect("the configuration");
    host.write(
        "bearerd.toml",
        &config.replace("log = \"debug\"", "log = \"trace\""),
    );
    let daemon = host.start_ready();
    let mut login = Login::begin(&host);
    let end = browse(&provider, &login.url());
    let kept = std::fs::read_to_string(host.path("state/logins/me.json")).expect("the login");
    let state = end
        .split("state=")
        .nth(1)
        .expect("a state")
        .split('&')
        .next()
        .unwrap_or_default();
    assert!(!kept.contains(state), "the login is sealed");
    login.paste(&end);
    let (code, text) = login.end();
    assert_eq!(code, 0, "{text}");
    eventually("the end of the login's file", SOON, || {
        (!host.path("state/logins/me.json").exists()).then_some(())
    });
    let log = daemon.logged() + &text;
    let verifiers = provider.token_requests("authorization_code");
    let secrets = verifiers.iter().map(|form| form["code_verifier"].as_str());
    for secret in secrets.chain(["cAnArY", state]) {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    assert!(log.lines().count() > 20, "a log worth searching: {log}");
}

/// The variables of the notice that the daemon gives when nobody has logged in.
fn told(host: &Host) -> BTreeMap<String, String> {
    let told = host.path("told");
    let notify = format!(
        "[daemon.notify]\ncommand = [\"sh\", \"-c\", \"env | grep ^BEARERD_ > {0}.new && mv {0}.new {0}\"]\n",
        told.display()
    );
    let config = std::fs::read_to_string(host.config_path()).expect("the configuration");
    host.write("bearerd.toml", &(config + &notify));
    let _daemon = host.start_ready();
    let told = eventually("the notice", SOON, || std::fs::read_to_string(&told).ok());
    let variables = told.lines().filter_map(|line| line.split_once('='));
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn people_are_told_that_somebody_has_to_log_in_and_where() {
    let provider = Provider::start(ELSEWHERE);
    let host = Host::new();
    configure(&host, &provider, &by_code(ELSEWHERE));
    let mut told = told(&host);
    let url = told.remove("BEARERD_URL").expect("a URL");
    let rest: Vec<_> = told
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        rest,
        [
            ("BEARERD_LOGIN", "bearerd login me"),
            ("BEARERD_REASON", "login_required"),
            ("BEARERD_STATE", "needs_login"),
            ("BEARERD_TOKEN", "me"),
            ("BEARERD_UNTIL", ""),
            ("BEARERD_USER_CODE", ""),
        ]
    );
    // Whoever has gone there completes the login that it belongs to, here after a restart.
    let end = browse(&provider, &url);
    let _daemon = host.start_ready();
    let mut login = Login::begin(&host);
    assert_eq!(login.url(), url);
    login.paste(&end);
    assert_eq!(login.end().0, 0);
    token(&host);
}

#[test]
fn people_are_told_what_to_type_in_on_another_device() {
    let provider = Provider::start(ELSEWHERE);
    provider.op().device_answers = vec!["authorization_pending"];
    let host = Host::new();
    configure(&host, &provider, BY_DEVICE);
    let told = told(&host);
    let url = format!("{}/verify", provider.origin);
    assert!(told["BEARERD_URL"].starts_with(&url), "{told:?}");
    assert_eq!(told["BEARERD_USER_CODE"], "WDJB-MJHT");
    // Nothing else has to be done on this host.
    let _daemon = host.start_ready();
    token(&host);
    assert_eq!(provider.requests("POST", "/device"), 1);
}

/// Only `bearerd login` could listen there.
#[test]
fn no_address_is_told_that_leads_back_to_this_host() {
    let provider = Provider::start("");
    let host = Host::new();
    configure(&host, &provider, &by_code("http://127.0.0.1/"));
    let told = told(&host);
    assert_eq!(told["BEARERD_URL"], "");
    assert_eq!(told["BEARERD_LOGIN"], "bearerd login me");
}
