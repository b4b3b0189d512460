//! What the journal gets of the real daemon: in a mount namespace with a journal of the test's own.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use support::{Fault, Host, Server, Settings, System};

/// In a mount namespace whose journal is this directory.
fn runs_with(host: &mut Host, journal: &Path) {
    let script = format!(
        "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && \
         mount --bind {} /run/systemd/journal && exec \"$@\"",
        journal.display()
    );
    let program = std::mem::take(&mut host.program);
    host.program = ["unshare", "-m", "sh", "-c", &script, "sh"]
        .map(Into::into)
        .to_vec();
    host.program.extend(program);
    // Its stderr is the file "log": that is what $JOURNAL_STREAM names here.
    let log = std::fs::File::create(host.path("log"))
        .unwrap()
        .metadata()
        .unwrap();
    host.variable("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
}

#[test]
fn the_journal_gets_fields() {
    let here = std::process::Command::new("unshare")
        .args(["-m", "true"])
        .status();
    if !here.is_ok_and(|status| status.success()) {
        println!("NOT TESTED: no mount namespace of one's own");
        return;
    }
    let server = Server::start(Settings::default());
    server.queue_fault(System::Lev, Fault::Status(503));
    let mut host = Host::new();
    host.configure(&host.lev(&server));
    let journal = host.path("journal");
    std::fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    runs_with(&mut host, &journal);
    let reader = std::thread::spawn(move || {
        let mut entry = [0; 65536];
        let mut until = |message: &str| loop {
            let length = socket.recv(&mut entry).unwrap();
            let text = String::from_utf8_lossy(&entry[..length]).into_owned();
            if text.contains(message) {
                break text;
            }
        };
        (until("MESSAGE=not obtained"), until("MESSAGE=obtained"))
    });
    let daemon = host.start();
    let (failed, published) = reader.join().unwrap();
    for line in ["TOKEN=lev\n", "STATE=transient\n", "PRIORITY=4\n"] {
        assert!(failed.contains(line), "{failed}");
    }
    for line in [
        "TOKEN=lev\n",
        "CLIENT=lev\n",
        "PRIORITY=6\n",
        "SYSLOG_IDENTIFIER=bearerd\n",
    ] {
        assert!(published.contains(line), "{published}");
    }
    assert!(
        !daemon.logged().contains("obtained"),
        "twice: {}",
        daemon.logged()
    );
}
