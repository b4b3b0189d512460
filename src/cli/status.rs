//! `bearerd status`: shows how tokens stand.

mod watch;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use clap::Args;
use comfy_table::{Table, presets};

use super::ask::{self, AskError};
use super::output::{self, OutputError, in_words, printable};
use crate::api::client::{self, Call};
use crate::api::code::{Code, EXIT_FRESH, State};
use crate::api::pages::status::{DaemonStatus, StatusPage, TokenStatus};
use crate::error_chain::error_chain;

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// One token's name; all tokens and the daemon without
    #[arg(value_parser = TokenName::parse)]
    name: Option<TokenName>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Show it again every second
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

struct Page {
    daemon: Option<DaemonStatus>,
    tokens: Vec<TokenStatus>,
    /// The page as the daemon sent it.
    json: Vec<u8>,
}

/// Why the status is not shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum StatusError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl StatusError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Output(error) => error.exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::Output(_) => None,
        }
    }
}

/// Shows the status. The exit code is that of the worst state shown.
pub(super) fn run(args: &StatusArgs, socket: &Path) -> Result<u8, StatusError> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = io::stdout().is_terminal() && !no_color;
    let shown = |page: &Page| {
        let plain = printable(&text(page.daemon.as_ref(), &page.tokens));
        if coloured {
            colour(&plain, &page.tokens)
        } else {
            plain
        }
    };
    if args.watch {
        return watch::watch(|| match page(args, socket) {
            Ok(page) => Ok(shown(&page)),
            // A daemon that does not answer is a state to watch, too.
            Err(AskError::Client(error)) => {
                Ok(printable(&format!("bearerd: {}\n", error_chain(&error))))
            }
            Err(error @ AskError::Answer) => Err(error.into()),
        });
    }
    let page = page(args, socket)?;
    if args.json {
        output::write(&page.json)?;
    } else {
        output::write(shown(&page).as_bytes())?;
    }
    Ok(exit_code(page.daemon.as_ref(), &page.tokens))
}

fn page(args: &StatusArgs, socket: &Path) -> Result<Page, AskError> {
    let get = |target: &str| {
        client::call(
            socket,
            Call {
                method: "GET",
                target,
                body: "",
                wait: Duration::ZERO,
            },
        )
    };
    let Some(name) = &args.name else {
        let json = get("/v1/status")?;
        let page: StatusPage = ask::parse(&json)?;
        return Ok(Page {
            daemon: Some(page.daemon),
            tokens: page.tokens,
            json,
        });
    };
    let json = get(&format!("/v1/status/{name}"))?;
    let token = ask::parse(&json)?;
    Ok(Page {
        daemon: None,
        tokens: vec![token],
        json,
    })
}

/// Paints the states: the table's lines are those that begin with a token's name.
fn colour(text: &str, tokens: &[TokenStatus]) -> String {
    let mut tokens = tokens.iter().peekable();
    let mut coloured = String::new();
    for line in text.lines() {
        let row = tokens.next_if(|token| {
            let rest = line.strip_prefix(token.name.as_str());
            rest.is_some_and(|rest| rest.trim_start().starts_with(token.state.as_str()))
        });
        match row {
            Some(token) => {
                let state = token.state.as_str();
                let (name, rest) = line.split_at(token.name.len());
                let painted = format!("\u{1b}[{}m{state}\u{1b}[0m", paint(token.state));
                coloured += &format!("{name}{}", rest.replacen(state, &painted, 1));
            }
            None => coloured += line,
        }
        coloured.push('\n');
    }
    coloured
}

/// Returns the SGR parameter for green, yellow or red.
const fn paint(state: State) -> u8 {
    match state {
        State::Fresh => 32,
        State::Pending | State::Failing(ErrorState::Transient) => 33,
        State::Failing(ErrorState::Denied | ErrorState::FixConfig | ErrorState::NeedsLogin) => 31,
    }
}

fn exit_code(daemon: Option<&DaemonStatus>, tokens: &[TokenStatus]) -> u8 {
    let configuration = daemon.and_then(|daemon| daemon.configuration_error.as_ref());
    let states = tokens.iter().filter_map(|token| token.state.code());
    states
        .chain(configuration.map(|_| Code::State(ErrorState::FixConfig)))
        .map(Code::exit_code)
        .max()
        .unwrap_or(EXIT_FRESH)
}

fn text(daemon: Option<&DaemonStatus>, tokens: &[TokenStatus]) -> String {
    let mut text = String::new();
    if let Some(daemon) = daemon {
        let ready = if daemon.ready { "ready" } else { "not ready" };
        text += &format!("bearerd {}: {ready}\n", daemon.version);
        if let Some(error) = &daemon.configuration_error {
            text += &format!("configuration not in force: {error}\n");
        }
        for warning in &daemon.warnings {
            text += &format!("warning: {warning}\n");
        }
        text += "\n";
    }
    text += &table(tokens);
    text.push('\n');
    let mut notes = String::new();
    for token in tokens {
        if !token.made_from.is_empty() {
            notes += &format!("{}: made from {}\n", token.name, token.made_from.join(", "));
        }
        for error in &token.output_errors {
            notes += &format!("{}: not delivered: {error}\n", token.name);
        }
    }
    // One token has room for the whole story.
    if let [token] = tokens {
        for (title, line) in [("error", &token.last_error), ("hint", &token.hint)] {
            if let Some(line) = line {
                notes += &format!("{title}: {line}\n");
            }
        }
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    text + &notes
}

fn table(tokens: &[TokenStatus]) -> String {
    if tokens.is_empty() {
        return "no tokens are configured".into();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "NAME",
        "STATE",
        "EXPIRES IN",
        "NEXT REFRESH",
        "LAST ERROR",
    ]);
    for token in tokens {
        let expires_in = token.expires_in.map_or_else(|| "-".into(), in_words);
        let next_refresh = match token.next_refresh_in {
            _ if token.in_flight => "under way".into(),
            Some(seconds) => format!("in {}", in_words(seconds)),
            None => "-".into(),
        };
        table.add_row([
            token.name.clone(),
            token.state.as_str().into(),
            expires_in,
            next_refresh,
            error_in_short(token),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn error_in_short(token: &TokenStatus) -> String {
    let error = match (&token.last_error, &token.reason) {
        (Some(error), None) => error.clone(),
        (Some(error), Some(reason)) => format!("{reason}: {error}"),
        (None, Some(reason)) => reason.to_string(),
        (None, None) => return "-".into(),
    };
    let first_line = error.lines().next().unwrap_or_default();
    match first_line.char_indices().nth(MAX_ERROR) {
        Some((end, _)) => format!("{}…", &first_line[..end]),
        None => first_line.into(),
    }
}

/// A line of the table has room for so many characters of an error.
const MAX_ERROR: usize = 72;
