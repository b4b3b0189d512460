//! `bearerd login`: has a person log in for a token.

mod loopback;
mod qr;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;
use clap::Args;
use url::Url;

use super::ask::{self, AskError};
use super::output::{self, OutputError, in_words, printable};
use crate::api::client::{Call, ClientError};
use crate::api::code::{Code, EXIT_FRESH};
use crate::api::pages::login::{BeginBody, CompleteBody, Completed, PENDING};
use crate::api::requests::{Begun, Redirect};
use crate::clock;
use crate::config::Environment;
use loopback::Loopback;

#[derive(Args, Debug)]
pub(super) struct LoginArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
    /// Do not open a browser, even where there is a display
    #[arg(long)]
    no_browser: bool,
}

/// Where the address that the browser ended at comes from.
enum Answer {
    Browser(String),
    Pasted(String),
    /// Standard input has ended.
    NoMore,
}

/// Why the login was not completed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the login was not completed in time")]
    Expired,
    #[error("no address on standard input")]
    NoAddress,
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl LoginError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Ask(error) => error.exit_code(),
            Self::Expired | Self::NoAddress => Code::State(ErrorState::NeedsLogin).exit_code(),
            Self::Output(error) => error.exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Ask(error) => error.hint(),
            Self::NoAddress => {
                Some("the login stays open for ten minutes: the same command goes on with it")
            }
            Self::Expired | Self::Output(_) => None,
        }
    }
}

/// Begins a login, shows a person where to log in, and waits until it is completed.
pub(super) fn run(args: &LoginArgs, socket: &Path) -> Result<u8, LoginError> {
    let mut listener = Loopback::bind(0);
    let port = listener.as_ref().map(Loopback::port);
    let begun = begin(socket, &args.name, port)?;
    match begun {
        Begun::AuthorizationCode {
            url,
            redirect,
            redirect_uri,
            expires_in,
        } => {
            if redirect == Redirect::Paste {
                listener = None;
            } else if let Some(wanted) = Url::parse(&redirect_uri).ok().and_then(|url| url.port())
                && port != Some(wanted)
            {
                // The port is registered, or belongs to a login that has begun before.
                listener = Loopback::bind(wanted);
            }
            show_url(&url, listener.is_some())?;
            if !args.no_browser {
                open_browser(&url);
            }
            let answers = answers(listener, &redirect_uri);
            by_answer(
                socket,
                &args.name,
                &answers,
                Duration::from_secs(expires_in),
            )
        }
        Begun::DeviceCode {
            verification_uri,
            verification_uri_complete,
            user_code,
            expires_in,
        } => {
            let complete = verification_uri_complete.as_deref();
            show_device(&verification_uri, complete, &user_code)?;
            by_device(socket, &args.name, Duration::from_secs(expires_in))
        }
    }
}

fn begin(socket: &Path, name: &TokenName, port: Option<u16>) -> Result<Begun, AskError> {
    let body = ask::body(&BeginBody { port })?;
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/login"),
        body: &body,
        wait: BEGIN_WAIT,
    };
    ask::ask(socket, call)
}

fn complete(
    socket: &Path,
    name: &TokenName,
    response: Option<String>,
    wait: Duration,
) -> Result<Completed, AskError> {
    let body = CompleteBody { response };
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/login/complete?wait={}s", wait.as_secs()),
        body: &ask::body(&body)?,
        wait,
    };
    ask::ask(socket, call)
}

/// Receives addresses from the browser at our port and from somebody who pastes them, in the order
/// that they come in.
fn answers(listener: Option<Loopback>, redirect_uri: &str) -> Receiver<Answer> {
    let (sender, answers) = channel();
    if let (Some(listener), Ok(url)) = (listener, Url::parse(redirect_uri)) {
        let sender = sender.clone();
        std::thread::spawn(move || {
            listener.serve(&url, |address| {
                sender.send(Answer::Browser(address)).is_ok()
            });
        });
    }
    std::thread::spawn(move || pasted(&sender));
    answers
}

fn pasted(sender: &Sender<Answer>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = String::new();
        let mut limited = io::Read::take(&mut stdin, MAX_ADDRESS);
        match limited.read_line(&mut line) {
            Ok(1..) if line.trim().is_empty() => {}
            Ok(1..) => {
                if sender.send(Answer::Pasted(line)).is_err() {
                    return;
                }
            }
            _ => {
                let _ = sender.send(Answer::NoMore);
                return;
            }
        }
    }
}

fn by_answer(
    socket: &Path,
    name: &TokenName,
    answers: &Receiver<Answer>,
    expires_in: Duration,
) -> Result<u8, LoginError> {
    let deadline = clock::now() + expires_in;
    loop {
        let response = match answers.recv_timeout(deadline - clock::now()) {
            Ok(Answer::Browser(address) | Answer::Pasted(address)) => address,
            // Where there is a listener, the browser may still come.
            Ok(Answer::NoMore) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(LoginError::NoAddress),
            Err(RecvTimeoutError::Timeout) => return Err(LoginError::Expired),
        };
        match complete(socket, name, Some(response), COMPLETE_WAIT) {
            Ok(completed) => return Ok(done(name, completed)),
            // The address is of another login, or of another page: the right one may follow.
            Err(AskError::Client(ClientError::Problem(problem))) if problem.code == Code::Usage => {
                let hint = problem.hint.as_deref().unwrap_or_default();
                tell(&format!("{}\nhint: {hint}", problem.detail));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn by_device(socket: &Path, name: &TokenName, expires_in: Duration) -> Result<u8, LoginError> {
    let deadline = clock::now() + expires_in;
    while clock::now() < deadline {
        match complete(socket, name, None, POLL_WAIT) {
            Ok(completed) => return Ok(done(name, completed)),
            Err(AskError::Client(ClientError::Problem(problem))) if problem.detail == PENDING => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LoginError::Expired)
}

/// Tells the person that the login is completed, and returns the exit code.
fn done(name: &TokenName, completed: Completed) -> u8 {
    let Completed {
        generation,
        expires_in,
    } = completed;
    let expires = in_words(expires_in);
    tell(&format!(
        "{name}: logged in, generation {generation}, expires in {expires}"
    ));
    EXIT_FRESH
}

/// Writes the address to standard output, and all other words to standard error.
fn show_url(url: &str, listening: bool) -> Result<(), OutputError> {
    tell("Log in with a browser, on any machine, at:\n");
    output::write(format!("{}\n", printable(url)).as_bytes())?;
    tell(match listening {
        true => {
            "\nThe browser's last page is answered here. \
             Where it cannot be reached, paste that page's address:"
        }
        false => "\nThe last page may be empty or an error: paste its address here:",
    });
    Ok(())
}

fn show_device(uri: &str, complete: Option<&str>, user_code: &str) -> Result<(), OutputError> {
    tell("Log in with a browser, on any machine, at:\n");
    output::write(format!("{}\n", printable(uri)).as_bytes())?;
    tell(&format!("\nand enter the code {user_code}"));
    let (shown, what) = match complete {
        Some(complete) => (complete, "this, which has the code in it"),
        None => (uri, "the address"),
    };
    if io::stderr().is_terminal()
        && let Some(code) = qr::draw(shown)
    {
        tell(&format!("\nor scan {what}:\n\n{code}"));
    }
    Ok(())
}

/// Opens a browser, but only where somebody sits in front of a display.
fn open_browser(url: &str) {
    let environment = Environment::of_process();
    let display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| environment.var(name).is_some_and(|value| !value.is_empty()));
    if display && io::stdout().is_terminal() {
        let mut command = Command::new("xdg-open");
        command
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The address is on the screen, too.
        let _ = command.spawn();
    }
}

/// Tells a person something, hence on standard error.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

const BEGIN_WAIT: Duration = Duration::from_secs(90);
const COMPLETE_WAIT: Duration = Duration::from_secs(60);
const POLL_WAIT: Duration = Duration::from_secs(60);
const MAX_ADDRESS: u64 = 16 * 1024;
