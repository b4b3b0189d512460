//! git's credential protocol (gitcredentials(7), git-credential(1)).

use std::path::Path;
use std::process::{Command, Stdio};

use bearerd_core::credential::TokenName;
use clap::Args;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::error::HelperError;
use super::question::{ask, question};
use crate::api::code::EXIT_FRESH;
use crate::cli::output;

#[derive(Args, Debug)]
pub(super) struct GitArgs {
    /// The token's name [default: as `git config bearerd.URL.token` says]
    #[arg(long, value_name = "NAME", value_parser = TokenName::parse)]
    token: Option<TokenName>,
    /// The user's name where the server takes the token as a password
    #[arg(long, value_name = "USER", default_value = "oauth2")]
    username: String,
    /// What git wants: get, store, erase
    operation: String,
}

/// Answers git. Without a token for its server the answer is empty, and git asks the next helper.
pub(super) fn run(args: &GitArgs, socket: &Path) -> Result<u8, HelperError> {
    // The daemon keeps tokens itself, and operations of later git versions have to be ignored, too.
    if args.operation != "get" {
        return Ok(EXIT_FRESH);
    }
    let text = question()?;
    let question = Question::parse(&text);
    // A bearer token is never sent in the clear (RFC 6750 section 5.3).
    if question.protocol != "https" && !question.is_loopback() {
        return Err(HelperError::ClearText(question.host.into()));
    }
    let name = match &args.token {
        Some(name) => name.clone(),
        None => match configured(&question)? {
            Some(name) => name,
            None => return Ok(EXIT_FRESH),
        },
    };
    let token = ask(socket, &name)?;
    let secret = token.access_token.expose_secret();
    let mut answer = Zeroizing::new(if question.takes_bearer {
        format!("capability[]=authtype\nauthtype=Bearer\ncredential={secret}\nephemeral=1\n")
    } else {
        let username = question.username.unwrap_or(&args.username);
        format!("username={username}\npassword={secret}\n")
    });
    answer.push_str(&format!("password_expiry_utc={}\n", token.expires_at));
    output::write(answer.as_bytes())?;
    Ok(EXIT_FRESH)
}

/// What git asks for.
#[derive(Default)]
struct Question<'a> {
    protocol: &'a str,
    host: &'a str,
    path: &'a str,
    username: Option<&'a str>,
    /// Whether git can send any scheme (2.46 and later), and the server has offered `Bearer`.
    takes_bearer: bool,
}

impl<'a> Question<'a> {
    fn parse(text: &'a str) -> Self {
        let mut question = Self::default();
        let (mut capable, mut offered) = (false, false);
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "protocol" => question.protocol = value,
                "host" => question.host = value,
                "path" => question.path = value,
                "username" => question.username = Some(value),
                "capability[]" => capable |= value == "authtype",
                "wwwauth[]" => {
                    let scheme = value.split(' ').next().unwrap_or_default();
                    offered |= scheme.eq_ignore_ascii_case("bearer");
                }
                _ => {}
            }
        }
        question.takes_bearer = capable && offered;
        question
    }

    fn is_loopback(&self) -> bool {
        let host = match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => self.host,
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// Returns the most specific `bearerd.URL.token` of git's configuration.
fn configured(question: &Question<'_>) -> Result<Option<TokenName>, HelperError> {
    let url = format!(
        "{}://{}/{}",
        question.protocol, question.host, question.path
    );
    let output = Command::new("git")
        .args(["config", "--get-urlmatch", "bearerd.token", &url])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(HelperError::GitConfig)?;
    let name = String::from_utf8_lossy(&output.stdout);
    if name.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(TokenName::parse(name.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let asks = |text: &str| Question::parse(text).takes_bearer;
        let capable = "capability[]=authtype\nprotocol=https\nhost=a\n";
        assert!(asks(&format!("{capable}wwwauth[]=Bearer realm=x\n")));
        assert!(!asks(&format!(
            "{capable}wwwauth[]=Basic realm=\"Bearer\"\n"
        )));
        assert!(!asks(capable));
        assert!(!asks("wwwauth[]=Bearer\n"));
        for (host, expected) in [
            ("127.0.0.1:80", true),
            ("127.0.0.1", true),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("[::1]", true),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org:1", false),
            ("", false),
        ] {
            let question = Question {
                host,
                ..Question::default()
            };
            assert_eq!(question.is_loopback(), expected, "{host}");
        }
    }
}
