//! Where log lines go and how they look.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as layer};

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For the journal: a priority prefix (`sd-daemon(3)`), no time of our own.
    Journal,
    /// For people.
    Text,
}

/// A log filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("log filter `{0}`: expected levels such as `info` or `bearerd::source=debug,info`")]
pub struct InvalidFilter(String);

impl LogFormat {
    /// `Journal` when stderr goes to the journal, else `Text`.
    #[must_use]
    pub fn detect(journal_stream: Option<&str>) -> Self {
        match journal_stream {
            Some(_) if !io::stderr().is_terminal() => Self::Journal,
            _ => Self::Text,
        }
    }
}

/// Checks a filter such as `info` or `bearerd::source=debug,info`.
///
/// # Errors
/// [`InvalidFilter`] naming it.
pub fn parse_filter(filter: &str) -> Result<Targets, InvalidFilter> {
    filter.parse().map_err(|_| InvalidFilter(filter.to_owned()))
}

/// Sends log lines to stderr from here on; the first call wins.
///
/// # Errors
/// [`InvalidFilter`].
pub fn start(log_format: LogFormat, filter: &str) -> Result<(), InvalidFilter> {
    let filter = parse_filter(filter)?;
    let lines = match log_format {
        LogFormat::Json => layer::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .boxed(),
        LogFormat::Journal => layer::layer()
            .event_format(JournalLine)
            .with_writer(io::stderr)
            .boxed(),
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

/// `<6>message field=value`: the journal takes the level from the prefix and adds the time itself.
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
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
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
        assert!(parse_filter("bearerd::source=debug,warn").is_ok());
        assert!(parse_filter("bearerd=loud").is_err());
    }
}
