//! `bearerd login`.

mod loopback;
mod qr;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bearerd_core::credential::TokenName;
use clap::Args;
use url::Url;

use super::error::CliError;
use super::output::{in_words, printable};
use crate::api::client::{self, Call, ClientError};
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

/// An address that the browser ended at.
enum Answer {
    Browser(String),
    Pasted(String),
    /// Standard input has ended.
    NoMore,
}

pub(super) fn run(args: &LoginArgs, socket: &Path) -> Result<u8, CliError> {
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
                // One that is registered, or of a login that has begun before.
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

fn begin(socket: &Path, name: &TokenName, port: Option<u16>) -> Result<Begun, CliError> {
    let body = serde_json::to_string(&BeginBody { port }).map_err(|_| CliError::Answer)?;
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/login"),
        body: &body,
        wait: BEGIN_WAIT,
    };
    let answer = client::call(socket, call)?;
    serde_json::from_slice(&answer).map_err(|_| CliError::Answer)
}

fn complete(
    socket: &Path,
    name: &TokenName,
    response: Option<String>,
    wait: Duration,
) -> Result<Completed, CliError> {
    let body = CompleteBody { response };
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/login/complete?wait={}s", wait.as_secs()),
        body: &serde_json::to_string(&body).map_err(|_| CliError::Answer)?,
        wait,
    };
    let answer = client::call(socket, call)?;
    serde_json::from_slice(&answer).map_err(|_| CliError::Answer)
}

/// Whichever comes first: the browser at our port, or somebody who pastes.
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
) -> Result<u8, CliError> {
    let deadline = clock::now() + expires_in;
    loop {
        let response = match answers.recv_timeout(deadline - clock::now()) {
            Ok(Answer::Browser(address) | Answer::Pasted(address)) => address,
            // With a listener, the browser may still come.
            Ok(Answer::NoMore) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err(CliError::NoAddress),
            Err(RecvTimeoutError::Timeout) => return Err(CliError::LoginExpired),
        };
        match complete(socket, name, Some(response), COMPLETE_WAIT) {
            Ok(completed) => return done(name, completed),
            // Of another login, or not what was asked for: the right one may follow.
            Err(CliError::Client(ClientError::Problem(problem))) if problem.code == Code::Usage => {
                let hint = problem.hint.as_deref().unwrap_or_default();
                tell(&format!("{}\nhint: {hint}", problem.detail));
            }
            Err(error) => return Err(error),
        }
    }
}

fn by_device(socket: &Path, name: &TokenName, expires_in: Duration) -> Result<u8, CliError> {
    let deadline = clock::now() + expires_in;
    while clock::now() < deadline {
        match complete(socket, name, None, POLL_WAIT) {
            Ok(completed) => return done(name, completed),
            Err(CliError::Client(ClientError::Problem(problem))) if problem.detail == PENDING => {}
            Err(error) => return Err(error),
        }
    }
    Err(CliError::LoginExpired)
}

fn done(name: &TokenName, completed: Completed) -> Result<u8, CliError> {
    let Completed {
        generation,
        expires_in,
    } = completed;
    let expires = in_words(expires_in);
    tell(&format!(
        "{name}: logged in, generation {generation}, expires in {expires}"
    ));
    Ok(EXIT_FRESH)
}

/// The address alone goes to standard output.
fn show_url(url: &str, listening: bool) -> Result<(), CliError> {
    tell("Log in with a browser, on any machine, at:\n");
    super::output::write(format!("{}\n", printable(url)).as_bytes())?;
    tell(match listening {
        true => {
            "\nThe browser's last page is answered here. Where it cannot be reached, paste that page's address:"
        }
        false => "\nThe last page may be empty or an error: paste its address here:",
    });
    Ok(())
}

fn show_device(uri: &str, complete: Option<&str>, user_code: &str) -> Result<(), CliError> {
    tell("Log in with a browser, on any machine, at:\n");
    super::output::write(format!("{}\n", printable(uri)).as_bytes())?;
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

/// Only where somebody sits in front of a display.
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

/// For people, hence on standard error.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

const BEGIN_WAIT: Duration = Duration::from_secs(90);
const COMPLETE_WAIT: Duration = Duration::from_secs(60);
const POLL_WAIT: Duration = Duration::from_secs(60);
const MAX_ADDRESS: u64 = 16 * 1024;
