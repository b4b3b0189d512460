//! Says where log lines go and how they look.

mod journal;

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as layer};

use journal::{Journal, SOCKET, priority};

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For the journal: with fields of their own where stderr is the journal, else with a priority
    /// prefix (`sd-daemon(3)`) on stderr; no time of our own.
    Journal,
    /// For people.
    Text,
}

/// A log filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("log filter `{0}`: expected levels such as `info` or `bearerd::oauth=debug,info`")]
pub struct InvalidFilter(String);

impl LogFormat {
    /// Returns `Journal` when stderr goes to the journal, else `Text`.
    #[must_use]
    pub fn detect(journal_stream: Option<&str>) -> Self {
        if is_journal(journal_stream) {
            Self::Journal
        } else {
            Self::Text
        }
    }
}

/// Whether stderr has the device and inode that `$JOURNAL_STREAM` names (`systemd.exec(5)`). It has
/// others where a program in between has redirected it.
fn is_journal(journal_stream: Option<&str>) -> bool {
    let stderr = rustix::fs::fstat(io::stderr());
    let stderr = stderr.map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    journal_stream.is_some_and(|stream| stderr.is_ok_and(|stderr| stderr == stream))
}

/// Checks a filter such as `info` or `bearerd::oauth=debug,info`.
///
/// # Errors
/// [`InvalidFilter`], which names the filter.
pub fn parse_filter(filter: &str) -> Result<Targets, InvalidFilter> {
    filter.parse().map_err(|_| InvalidFilter(filter.to_owned()))
}

/// Sends log lines to stderr, or to the journal where stderr is the journal, from now on. Only the
/// first call in a process has an effect.
///
/// # Errors
/// [`InvalidFilter`], which names the filter.
pub fn start(
    log_format: LogFormat,
    journal_stream: Option<&str>,
    filter: &str,
) -> Result<(), InvalidFilter> {
    let filter = parse_filter(filter)?;
    let lines = match log_format {
        LogFormat::Json => layer::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .boxed(),
        LogFormat::Journal => {
            let journal = is_journal(journal_stream).then(|| Journal::at(Path::new(SOCKET)));
            match journal {
                Some(Ok(journal)) => journal.boxed(),
                Some(Err(_)) | None => layer::layer()
                    .event_format(JournalLine)
                    .with_writer(io::stderr)
                    .boxed(),
            }
        }
        LogFormat::Text => layer::layer()
            .with_target(false)
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_writer(io::stderr)
            .boxed(),
    };
    // Only the first subscriber of a process can be installed: a second start changes nothing.
    let _first_wins = Registry::default()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(())
}

/// Writes `<6>message field=value`: the journal takes the level from the prefix and adds the time
/// itself.
struct JournalLine;

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: format::Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = priority(*event.metadata().level());
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert!(parse_filter("info").is_ok());
        assert!(parse_filter("bearerd::oauth=debug,warn").is_ok());
        assert!(parse_filter("bearerd=loud").is_err());
    }
}
