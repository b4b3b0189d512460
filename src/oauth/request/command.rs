//! A token that a program prints.
//!
//! Its output is taken for what it looks like: a token and nothing else, or a JSON object in one of
//! the shapes that such programs have.

use std::process::{ExitStatus, Stdio};

use bearerd_core::refresh::{Delivery, Failure, FailureKind};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::clock;
use crate::config::{CommandGrant, Environment, TokenConfig};
use crate::oauth::failure::failed;
use crate::oauth::response::ReplyProblem;
use crate::oauth::response::token_response::{self, Granted, Request};
use crate::program::{self, Ended, ProgramError};

/// Why a program brought no token. Nothing of what it wrote is in here.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It ended with another status than 0.
    #[error("{program}: {status}")]
    Exit {
        /// The program's name.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// What it printed is of no use.
    #[error("{program}: its output is of no use: {problem}")]
    Output {
        /// The program's name.
        program: String,
        /// What is wrong with it.
        problem: ReplyProblem,
    },
    /// It printed that it has failed (`"success": false`).
    #[error("{program}: it reports a failure")]
    Reported {
        /// The program's name.
        program: String,
    },
    /// It did not come to its end.
    #[error(transparent)]
    Run(#[from] ProgramError),
    /// It printed too much.
    #[error("{program}: its output is longer than 64 KiB")]
    TooLong {
        /// The program's name.
        program: String,
    },
}

impl CommandError {
    /// What it means for the schedule.
    #[must_use]
    pub fn failure(&self) -> Failure {
        failed(self.kind(), Delivery::Answered)
    }

    fn kind(&self) -> FailureKind {
        match self {
            // What it wants may be out of reach for now: only persistence tells.
            Self::Exit { .. } | Self::Reported { .. } => FailureKind::Unrecognized,
            Self::Run(ProgramError::NotRun { .. }) => FailureKind::Misconfigured,
            Self::Run(ProgramError::TimedOut { .. }) => FailureKind::Unavailable,
            Self::Output { .. } | Self::TooLong { .. } => FailureKind::Unrecognized,
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exit { .. } | Self::Reported { .. } => {
                Some("run it by hand as bearerd's user: what it writes to stderr is not kept")
            }
            Self::Output { .. } | Self::TooLong { .. } => {
                Some("let it print the token alone, or JSON with access_token and expires_in")
            }
            Self::Run(_) => None,
        }
    }
}

pub(in crate::oauth) async fn obtain(
    token: &TokenConfig,
    grant: &CommandGrant,
    environment: &Environment,
) -> Result<Granted, CommandError> {
    let sent_at = clock::now();
    let named = grant.environment.iter().map(String::as_str);
    let variables: Vec<_> = ["HOME", "LANG"].into_iter().chain(named).collect();
    let mut command = program::command(&grant.command, environment, &variables);
    // What it writes to stderr may hold secrets: nobody reads it.
    command.stdout(Stdio::piped());
    let Ended { status, stdout, .. } = program::run(command, grant.timeout, MAX_OUTPUT + 1).await?;
    let program = || grant.command.first().cloned().unwrap_or_default();
    if !status.success() {
        let program = program();
        return Err(CommandError::Exit { program, status });
    }
    if stdout.len() > MAX_OUTPUT {
        return Err(CommandError::TooLong { program: program() });
    }
    let unusable = |problem| CommandError::Output {
        program: program(),
        problem,
    };
    let mut members = match members(&stdout).map_err(unusable)? {
        Some(members) => members,
        None => return Err(CommandError::Reported { program: program() }),
    };
    // Nobody here could use it.
    members.remove("refresh_token");
    let request = Request {
        sent_at,
        unix_now: clock::unix_now(),
        assume_lifetime: token.assume_lifetime,
        refresh_token: None::<&SecretString>,
        secrets: &[],
    };
    token_response::granted(members, &request).map_err(unusable)
}

/// The output as the members of a token response (RFC 6749 section 5.1); `None` when it says that
/// there is none.
fn members(output: &[u8]) -> Result<Option<Map<String, Value>>, ReplyProblem> {
    let text = std::str::from_utf8(output).map_err(|_| ReplyProblem::NoKnownFormat)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(ReplyProblem::Empty);
    }
    if !text.starts_with('{') {
        return Ok(Some(Map::from_iter([("access_token".into(), text.into())])));
    }
    let mut found: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| ReplyProblem::NotAnObject)?;
    if found.get("success") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    let mut status = match found.get_mut("status").map(Value::take) {
        // Kubernetes' ExecCredential.
        Some(Value::Object(status)) => status,
        _ => Map::new(),
    };
    if found.contains_key("SecretAccessKey") {
        // AWS: no bearer token. Whole, it is what `credential_process` wants.
        let expires_at = found.get("Expiration").cloned().unwrap_or_default();
        let whole = Value::Object(found).to_string();
        return Ok(Some(Map::from_iter([
            ("access_token".into(), whole.into()),
            ("expires_at".into(), expires_at),
        ])));
    }
    for (name, theirs) in [
        ("access_token", "token"),
        ("expires_at", "expirationTimestamp"),
    ] {
        if let Some(value) = status.remove(theirs) {
            found.insert(name.into(), value);
        }
    }
    // Azure's command line; Google's executable-sourced credentials.
    for (name, theirs) in [
        ("access_token", "accessToken"),
        ("access_token", "id_token"),
        ("access_token", "saml_response"),
        ("expires_at", "expiration_time"),
    ] {
        if !found.contains_key(name)
            && let Some(value) = found.get(theirs).cloned()
        {
            found.insert(name.into(), value);
        }
    }
    if found.contains_key("expiration_time") {
        // There, `token_type` is a URN that says which of them it is.
        found.remove("token_type");
    }
    Ok(Some(found))
}

const MAX_OUTPUT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    /// The token and the seconds that it lives.
    fn understood(output: &str) -> Result<(String, u64), ReplyProblem> {
        let request = Request {
            sent_at: bearerd_core::instant::Instant::BOOT,
            unix_now: NOW,
            assume_lifetime: Some(Duration::from_secs(7)),
            refresh_token: None,
            secrets: &[],
        };
        let members = members(output.as_bytes())?.expect("no failure");
        let token = token_response::granted(members, &request)?.token;
        let lifetime = token.validity.expires_at - token.validity.obtained_at;
        let text = token.access_token.expose_secret().to_owned();
        Ok((text, lifetime.as_secs()))
    }

    #[test]
    fn what_programs_print() {
        let aws = r#"{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"s","SessionToken":"t","Expiration":"2023-11-14T22:14:20Z"}"#;
        let spaced = aws.replace(",", ", ").replace("{", "{\n  ");
        for (output, token, lifetime) in [
            ("tok-1", "tok-1", 7),
            ("  tok-1\r\n", "tok-1", 7),
            (r#"{"access_token":"tok-2","expires_in":"60"}"#, "tok-2", 60),
            // Azure: az account get-access-token
            (
                r#"{"accessToken":"tok-3","expiresOn":"2023-11-14 23:13:20.000000","expires_on":1700000090,"tokenType":"Bearer"}"#,
                "tok-3",
                90,
            ),
            // Kubernetes: aws eks get-token
            (
                r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{},"status":{"expirationTimestamp":"2023-11-14T22:15:00Z","token":"k8s-aws-v1.x"}}"#,
                "k8s-aws-v1.x",
                100,
            ),
            // Google: executable-sourced credentials
            (
                r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"tok-4","expiration_time":1700000050}"#,
                "tok-4",
                50,
            ),
            (
                r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"tok-5","expiration_time":1700000050}"#,
                "tok-5",
                50,
            ),
        ] {
            let (found, lives) = understood(output).unwrap();
            assert_eq!((&*found, lives), (token, lifetime), "{output}");
        }
        let (whole, lives) = understood(&spaced).unwrap();
        assert_eq!(lives, 60);
        let value: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(aws).unwrap());
    }

    #[test]
    fn what_is_no_token() {
        for (output, problem) in [
            ("", ReplyProblem::Empty),
            (" \n", ReplyProblem::Empty),
            ("two words", ReplyProblem::AccessTokenCharacters),
            ("two\nlines", ReplyProblem::AccessTokenCharacters),
            ("{", ReplyProblem::NotAnObject),
            ("{}", ReplyProblem::NoAccessToken),
            (r#"{"status":{}}"#, ReplyProblem::NoAccessToken),
            (r#"{"access_token":""}"#, ReplyProblem::NoAccessToken),
            (
                r#"{"access_token":"x","token_type":"DPoP"}"#,
                ReplyProblem::TokenType,
            ),
        ] {
            assert_eq!(understood(output).unwrap_err(), problem, "{output}");
        }
        assert_eq!(members(b"\xff"), Err(ReplyProblem::NoKnownFormat));
        let failure = br#"{"version":1,"success":false,"code":"401","message":"secret"}"#;
        assert_eq!(members(failure), Ok(None));
    }
}
