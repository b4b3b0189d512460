//! Entries of systemd's journal with fields of their own: `journalctl TOKEN=lev`.
//!
//! The message holds the values, too: `systemctl status` and `journalctl` show only the message,
//! and "not obtained" alone does not say which token it was. `tracing-journald` sends only the
//! constant text, and is therefore not used.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The socket that journald listens at.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Returns the `PRIORITY` of a level (`syslog(3)`).
pub(super) const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Sends each event as one datagram (systemd's JOURNAL_NATIVE_PROTOCOL).
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Sends to the socket at `path`. Fails when there is none.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        // This only tests the path. Each datagram names the path, so that a restarted journal is
        // found again.
        UnixDatagram::unbound()?.connect(path)?;
        let path = path.to_owned();
        Ok(Self { socket, path })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let priority = priority(*event.metadata().level());
        entry.put("PRIORITY", &priority.to_string());
        entry.put("SYSLOG_IDENTIFIER", "bearerd");
        entry.put("TARGET", event.metadata().target());
        let message = entry.message.clone() + &entry.values;
        entry.put("MESSAGE", &message);
        if self.socket.send_to(&entry.fields, &self.path).is_err() {
            // The entry is too long for a datagram, or the journal is away or stuck. Stderr takes
            // lines.
            let line = message.replace('\n', " | ");
            let _ = writeln!(io::stderr(), "<{priority}>{line}");
        }
    }
}

/// How long a journal with a full queue may hold up the daemon.
const PATIENCE: Duration = Duration::from_millis(100);

/// One entry of the journal.
#[derive(Default)]
struct Entry {
    message: String,
    /// The text ` name=value` for each field.
    values: String,
    fields: Vec<u8>,
}

impl Entry {
    fn put(&mut self, name: &str, value: &str) {
        self.fields.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.fields.push(b'\n');
            let length = u64::try_from(value.len()).unwrap_or_default();
            self.fields.extend_from_slice(&length.to_le_bytes());
        } else {
            self.fields.push(b'=');
        }
        self.fields.extend_from_slice(value.as_bytes());
        self.fields.push(b'\n');
    }

    fn value(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if name == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        // The journal takes no names that begin with an underscore: they are reserved for its own
        // fields.
        let upper = name.trim_start_matches('_').to_ascii_uppercase();
        self.put(&upper.replace('.', "_"), value);
        let plain = !value.contains(|c: char| c.is_whitespace() || c == '"');
        // Writing to a String does not fail.
        let _ = match plain {
            true => write!(self.values, " {name}={value}"),
            false => write!(self.values, " {name}={value:?}"),
        };
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.value(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The protocol as its reader sees it.
    fn parse(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|b| *b == b'\n').unwrap();
            let line = std::str::from_utf8(&entry[..end]).unwrap();
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let length = entry[end + 1..end + 9].try_into().unwrap();
                    let length = usize::try_from(u64::from_le_bytes(length)).unwrap();
                    let value = entry[end + 9..end + 9 + length].to_vec();
                    entry = &entry[9 + length..];
                    (line, String::from_utf8(value).unwrap())
                }
            };
            let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(
                name.chars().all(allowed) && !name.starts_with('_'),
                "{name}"
            );
            fields.insert(name.to_owned(), value);
            entry = &entry[end + 1..];
        }
        fields
    }

    #[test]
    fn fields_arrive() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        assert!(Journal::at(&path).is_err());
        let socket = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let (uid, unit) = (Some(33_u32), None::<&str>);
            tracing::warn!(
                token = "lev",
                uid,
                unit,
                error = "no such\nhost",
                "not obtained"
            );
        });
        let mut entry = [0; 4096];
        let length = socket.recv(&mut entry).unwrap();
        let fields = parse(&entry[..length]);
        let field = |name: &str| fields.get(name).map(String::as_str);
        assert_eq!(field("TOKEN"), Some("lev"));
        assert_eq!(field("UID"), Some("33"));
        assert_eq!(field("UNIT"), None);
        assert_eq!(field("ERROR"), Some("no such\nhost"));
        assert_eq!(field("PRIORITY"), Some("4"));
        assert_eq!(field("SYSLOG_IDENTIFIER"), Some("bearerd"));
        let message = r#"not obtained token=lev uid=33 error="no such\nhost""#;
        assert_eq!(field("MESSAGE"), Some(message));
    }
}
