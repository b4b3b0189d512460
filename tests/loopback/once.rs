//! `bearerd run --once`: everything obtained and published once, and an exit code that says so.

use std::time::Duration;

use support::{Daemon, Fault, Host, Server, Settings, SigningKey, System};

const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn all_fresh_is_0() {
    let key = SigningKey::rsa();
    let server = Server::start(Settings::with_key(&key));
    let host = Host::new();
    let tables = host.lev(&server) + &host.ardengem(&server) + &host.nhs(&server, "test-1", &key);
    host.configure(&tables);
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(0));
    for name in ["lev", "ardengem.headers", "nhs"] {
        let text = host.token(name).unwrap();
        assert!(server.check(support::reader::bearer(&text)), "{name}");
    }
    let headers = host.token("ardengem.headers").unwrap();
    assert!(headers.contains("Ocp-Apim-Subscription-Key: subscription-key-0123456789"));
    for system in System::ALL {
        assert_eq!(server.log(|log| log.token_requests(system)), 1);
    }
}

/// `/run` is empty after every boot: what is missing of it is made, and of nothing else.
#[test]
fn directories_below_the_runtime_directory_are_made() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    let elsewhere = |directory: &str| {
        let path = format!("\"@/{directory}/ardengem.headers\"");
        host.configure(&tables.replace("\"@/tokens/ardengem.headers\"", &path));
    };
    elsewhere("run/tokens/deep");
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(0));
    let directory = host.path("run/tokens/deep");
    assert!(directory.join("ardengem.headers").exists());
    assert_eq!(support::host::mode(&directory), 0o755);

    elsewhere("run-not/tokens");
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_ne!(status.code(), Some(0));
    assert!(!host.path("run-not").exists());
}

#[test]
fn a_server_that_is_down_is_3() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    server.outage(true);
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_fault_of_the_server_is_3() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    server.fault(Some(&Fault::Status(503)));
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(3));
}

#[test]
fn a_wrong_secret_is_5() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.ardengem(&server));
    host.secret("ardengem", "another one");
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(5));
}

#[test]
fn a_directory_that_cannot_be_used_is_5() {
    let host = Host::new();
    host.configure("");
    std::fs::remove_dir(host.path("state")).unwrap();
    host.write("state", "a file");
    let mut daemon = Daemon::start(&host, &["--once"]);
    assert_eq!(daemon.wait_exit(TIMEOUT).code(), Some(5));
    assert!(daemon.logged().contains("/state"), "{}", daemon.logged());
}

#[test]
fn a_broken_configuration_is_5() {
    let host = Host::new();
    host.configure("[token.x]\nclient = \"nobody\"\n");
    let mut daemon = Daemon::start(&host, &["--once"]);
    assert_eq!(daemon.wait_exit(TIMEOUT).code(), Some(5));
    assert!(
        daemon.logged().contains("bearerd.toml:"),
        "{}",
        daemon.logged()
    );
}

/// Refreshing with a dead refresh token is not all that can be tried.
#[test]
fn a_refused_refresh_token_falls_back_to_the_password() {
    let server = Server::start(Settings::default().lifetime(Duration::from_secs(1)));
    let host = Host::new();
    host.configure(&host.lev(&server));
    host.start_ready().kill();
    support::pause(Duration::from_secs(1));
    server.queue_fault(System::Lev, Fault::InvalidGrant);
    let before = server.issued(System::Lev);
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(0));
    assert!(server.issued(System::Lev) > before);
}

/// A token of an older configuration is served meanwhile; it is not what was asked for.
#[test]
fn a_token_of_another_configuration_is_replaced() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let tables = host.ardengem(&server);
    let (tables, _file) = tables.split_once("[[token.ardengem.file]]").unwrap();
    host.configure(tables);
    host.start_ready().kill();
    server.change(|settings| settings.entra.client_id = "67890".into());
    host.configure(&tables.replace("\"12345\"", "\"67890\""));
    let status = Daemon::start(&host, &["--once"]).wait_exit(TIMEOUT);
    assert_eq!(status.code(), Some(0));
    assert_eq!(server.issued(System::Entra), 2);
}
