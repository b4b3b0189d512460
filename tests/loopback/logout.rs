//! What a logout leaves behind: nothing that works, neither here nor at the server.

use std::fs;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::{Daemon, Fault, Host, Log, Server, Settings, System, eventually};

/// A daemon whose user has logged in, at a server that publishes its metadata.
struct Site {
    server: Server,
    host: Host,
    tables: String,
}

impl Site {
    fn new() -> Self {
        let server = Server::start(Settings::default());
        let host = Host::new();
        let issuer = format!("issuer = \"{}\"", server.lev_issuer());
        let tables = host.lev_user(&server).replace(
            &format!(
                "token_endpoint = \"{}/protocol/openid-connect/token\"",
                server.lev_issuer()
            ),
            &issuer,
        );
        let tables = format!("{tables}on_expiry = \"remove\"\n");
        assert!(tables.contains(&issuer));
        host.configure(&tables);
        Self {
            server,
            host,
            tables,
        }
    }

    fn state(&self) -> Vec<String> {
        let entries = fs::read_dir(self.host.path("state/tokens")).expect("a directory");
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".json")).collect()
    }

    /// The revocations that the server was asked for: the hint, and the token.
    fn revocations(&self) -> Vec<(String, String)> {
        let of = |log: &Log| {
            let revocations = log.requests.iter().filter(|request| request.revokes());
            let seen = revocations.map(|request| {
                let param = |name| request.param(name).to_owned();
                (param("token_type_hint"), param("token"))
            });
            seen.collect()
        };
        self.server.log(of)
    }

    /// What the server issued last: refresh token and access token.
    fn issued(&self) -> (String, String) {
        self.server.log(|log| {
            let issued = log.last_issued(System::Lev).expect("a token");
            let refresh_token = issued.refresh_token.clone().expect("a refresh token");
            (refresh_token, issued.access_token.clone())
        })
    }
}

fn logout(daemon: &Daemon, name: &str) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = daemon.client(&["logout", name]);
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn status(daemon: &Daemon) -> Value {
    daemon.status_json()["tokens"][0].clone()
}

#[track_caller]
fn needs_login(daemon: &Daemon, reason: &str) {
    let status = eventually("the want of a login", SOON, || {
        let status = status(daemon);
        (status["state"] == "needs_login").then_some(status)
    });
    assert_eq!(status["reason"], reason, "{status}");
}

#[test]
fn a_logout_revokes_and_forgets() {
    let site = Site::new();
    let daemon = site.host.start_ready();
    let (refresh_token, access_token) = site.issued();
    assert_eq!(site.host.token("user").as_ref(), Some(&access_token));
    assert_eq!(site.state(), ["user.json"]);

    assert_eq!(
        logout(&daemon, "user"),
        (Some(0), "user: logged out\n".into())
    );
    let expected = [
        ("refresh_token".to_owned(), refresh_token.clone()),
        ("access_token".to_owned(), access_token.clone()),
    ];
    assert_eq!(site.revocations(), expected);
    assert!(!site.server.check(&access_token));
    assert_eq!(site.state(), Vec::<String>::new());
    needs_login(&daemon, "login_required");
    eventually("the file's removal", SOON, || {
        site.host.token("user").is_none().then_some(())
    });
    for secret in [&refresh_token, &access_token] {
        assert!(!daemon.logged().contains(secret), "a secret in the log");
    }
    let (code, said) = logout(&daemon, "user");
    assert_eq!(
        (code, said.contains("nobody was logged in")),
        (Some(0), true)
    );

    // The next login is the second token, and its file has it.
    let issued = site.server.issued(System::Lev);
    site.host.secret("seed", &site.server.seed_lev());
    site.server.wait_issued(System::Lev, issued + 1, SOON);
    let newest = site.issued().1;
    eventually("the next token's file", SOON, || {
        (site.host.token("user")? == newest).then_some(())
    });
    assert_eq!(status(&daemon)["generation"], 2);
    daemon.assert_sound();
}

/// What a refresh under way brings is revoked with the rest.
#[test]
fn a_logout_waits_for_the_refresh_under_way() {
    let site = Site::new();
    let daemon = site.host.start_ready();
    let first = site.issued();
    site.server.queue_fault(System::Lev, Fault::LateReply);
    let asked = site.server.requests(System::Lev);
    daemon.signal(Signal::USR1);
    site.server.wait_requests(System::Lev, asked + 1, SOON);
    assert_eq!(logout(&daemon, "user").0, Some(0));
    let (refresh_token, access_token) = site.issued();
    assert_ne!(first.0, refresh_token);
    let revoked = site.revocations();
    assert_eq!(revoked[0].1, refresh_token);
    assert!(!site.server.check(&access_token));
    assert_eq!(site.state(), Vec::<String>::new());
}

#[test]
fn nobody_is_logged_in_after_a_restart_either() {
    let site = Site::new();
    let daemon = site.host.start_ready();
    assert_eq!(logout(&daemon, "user").0, Some(0));
    daemon.kill();
    // Nobody waits for what cannot come.
    let key = "[token.user]\nrequired = false\n";
    let tables = site.tables.replace("[token.user]\n", key);
    site.host.configure(&tables);
    let daemon = site.host.start_ready();
    // The seed is all that is left, and the server has ended what it began.
    needs_login(&daemon, "refresh_token_refused");
    assert_eq!(site.server.issued(System::Lev), 1);
}

#[test]
fn what_the_server_cannot_revoke_now_is_kept() {
    let site = Site::new();
    let daemon = site.host.start_ready();
    let access_token = site.host.token("user");
    site.server.fault_of(System::Lev, Some(&Fault::Status(503)));
    let (code, said) = logout(&daemon, "user");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("answered 503"), "{said}");
    assert_eq!(status(&daemon)["state"], "fresh");
    assert_eq!(site.host.token("user"), access_token);
    assert_eq!(site.state(), ["user.json"]);
    site.server.fault_of(System::Lev, None);
    assert_eq!(logout(&daemon, "user").0, Some(0));
    assert_eq!(site.state(), Vec::<String>::new());
}

#[test]
fn without_a_revocation_endpoint_it_is_forgotten_and_said() {
    let site = Site::new();
    site.server
        .change(|settings| settings.lev.revocation = false);
    let daemon = site.host.start_ready();
    let (code, said) = logout(&daemon, "user");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("names no revocation endpoint"), "{said}");
    assert_eq!(site.state(), Vec::<String>::new());
    needs_login(&daemon, "login_required");
}

#[test]
fn without_a_person_there_is_nothing_to_log_out_of() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    let (code, said) = logout(&daemon, "lev");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("without a person") && said.contains("hint: "),
        "{said}"
    );
    assert_eq!(status(&daemon)["state"], "fresh");
    assert_eq!(logout(&daemon, "other").0, Some(7));
}

#[test]
fn a_removed_token_is_revoked_where_that_is_wanted() {
    for wanted in [false, true] {
        let site = Site::new();
        let key = format!("[token.user]\nrevoke_on_removal = {wanted}\n");
        let tables = site.tables.replace("[token.user]\n", &key);
        site.host.configure(&tables);
        let daemon = site.host.start_ready();
        let access_token = site.host.token("user").expect("a token");
        let without = site.tables.split_once("[token.user]").unwrap().0;
        site.host.configure(without);
        daemon.reload();
        if wanted {
            eventually("both revocations", SOON, || {
                (site.revocations().len() == 2).then_some(())
            });
            assert!(!site.server.check(&access_token));
            eventually("the state's removal", SOON, || {
                site.state().is_empty().then_some(())
            });
        } else {
            assert_eq!(site.state(), ["user.json"]);
            assert!(site.server.check(&access_token));
            assert_eq!(site.revocations(), []);
        }
        daemon.assert_sound();
    }
}

const SOON: Duration = Duration::from_secs(15);
