//! What happens between SIGTERM and the end.

use std::time::Duration;

use rustix::process::Signal;
use support::{Daemon, Fault, Host, Server, Settings, System};

const SOON: Duration = Duration::from_secs(15);

/// The first use of a seed spends it as any refresh does: without the answer a person would have to log in.
#[test]
fn the_answer_to_a_seed_is_waited_for() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.nhs_user(&server));
    server.queue_fault(System::Nhs, Fault::LateReply);
    let daemon = host.start();
    server.wait_issued(System::Nhs, 1, SOON);
    assert_eq!(daemon.stop().code(), Some(0));
    let issued = server.log(|log| log.last_issued(System::Nhs).unwrap().access_token.clone());
    assert_eq!(host.token("nhs_user"), Some(issued));
}

/// More outputs than their reports find room for, when nobody reads reports any more.
#[test]
fn many_outputs_end() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let hook = "[[token.ardengem.hook]]\ncommand = [\"true\"]\n";
    host.configure(&(host.ardengem(&server) + &hook.repeat(100)));
    let mut daemon = Daemon::start(&host, &["--once"]);
    assert_eq!(daemon.wait_exit(Duration::from_secs(60)).code(), Some(0));
    assert!(!daemon.logged().contains("outputs have not ended"));
}

/// A removed token's files go, also when the end comes before its last hook has ended.
#[test]
fn a_removed_tokens_files_are_gone() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let hook = "[[token.ardengem.hook]]\ncommand = [\"sleep\", \"2\"]\n";
    host.configure(&(host.ardengem(&server) + hook));
    let mut daemon = host.start_ready();
    assert!(host.token("ardengem.headers").is_some());
    host.configure("");
    daemon.reload();
    daemon.signal(Signal::TERM);
    daemon.wait_exit(SOON);
    assert_eq!(host.token("ardengem.headers"), None);
}

/// A file that never answers, as on a network file system that is gone: here a pipe without a writer.
#[test]
fn a_read_that_never_ends_does_not_keep_the_process() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    let mut mkfifo = std::process::Command::new("mkfifo");
    assert!(mkfifo.arg(host.path("pipe")).status().unwrap().success());
    let file = "[[token.ardengem.file]]\npath = \"@/tokens/other\"\nformat = \"template\"\ntemplate = \"@/pipe\"\n";
    host.configure(&(host.ardengem(&server) + file));
    let mut daemon = host.start();
    support::eventually("the first file", SOON, || host.token("ardengem.headers"));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait_exit(Duration::from_secs(20)).code(), Some(0));
}
