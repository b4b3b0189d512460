//! `bearerd check --explain UID|UNIT TOKEN`: may it read the token through the socket, and log in for it; and why.

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;

use crate::api::access::{Grounds, Peer, Right, authorize};
use crate::api::code::Code;
use crate::cli::error::CliError;
use crate::cli::output::{printable, write};
use crate::config::{Config, TokenConfig, User};

/// Why the answer is no, or there is none.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ExplainError {
    /// The sentence that says so.
    #[error("{0}")]
    Denied(String),
    #[error("no token is named {0}")]
    NoSuchToken(String),
    #[error("there is no user {0}; hint: a unit's name ends with its kind, such as .service")]
    NoSuchUser(String),
}

impl ExplainError {
    pub(in crate::cli) const fn code(&self) -> Code {
        match self {
            Self::Denied(_) => Code::State(ErrorState::Denied),
            Self::NoSuchToken(_) => Code::NotFound,
            Self::NoSuchUser(_) => Code::Usage,
        }
    }
}

/// Decides as the daemon would, and prints the rule. Whether it may read the token is what the exit code says.
pub(super) fn explain(config: &Config, who: &str, token: &str) -> Result<(), CliError> {
    let no_such = || ExplainError::NoSuchToken(token.to_owned());
    let name = TokenName::parse(token).map_err(|_| no_such())?;
    let token = config.tokens.get(&name).ok_or_else(no_such)?;
    let (who, peer) = peer(who)?;
    let decide = |right| decision(&who, &peer, daemon_uid(config), token, right);
    if token.is_login() {
        let line = decide(Right::LogIn).unwrap_or_else(|line| line);
        write(printable(&format!("{line}\n")).as_bytes())?;
    }
    let line = decide(Right::Read).map_err(ExplainError::Denied)?;
    write(printable(&format!("{line}\n")).as_bytes())
}

/// A sentence on one right; an error where it is missing.
fn decision(
    who: &str,
    peer: &Peer,
    own_uid: u32,
    token: &TokenConfig,
    right: Right,
) -> Result<String, String> {
    let (verb, list) = match right {
        Right::Read => ("read", "allow"),
        Right::LogIn => ("log in for", "login"),
    };
    let rules = right.rules(token);
    let name = &token.name;
    match authorize(peer, own_uid, rules) {
        Some(grounds) => {
            let by = match grounds {
                Grounds::Rule(written) => format!("`{list}` has {written}"),
                Grounds::OwnUser | Grounds::Root => format!("it is {}", grounds.as_str()),
            };
            Ok(format!("{who} may {verb} token {name}: {by}"))
        }
        None => {
            let why = match rules.is_empty() {
                true => format!("it has no `[token.NAME.socket]` with `{list}`"),
                false => format!("nothing in its `{list}` names it"),
            };
            Err(format!("{who} may not {verb} token {name}: {why}"))
        }
    }
}

/// A user without a unit, or a unit without a user.
fn peer(who: &str) -> Result<(String, Peer), ExplainError> {
    let unit = KINDS.iter().any(|kind| who.ends_with(kind));
    let user = match unit {
        // The id that no process has.
        true => User {
            uid: u32::MAX,
            groups: Vec::new(),
        },
        false => User::find(who).ok_or_else(|| ExplainError::NoSuchUser(who.to_owned()))?,
    };
    let words = match unit {
        true => format!("unit {who}"),
        false => format!("user {who} (uid {}, groups {:?})", user.uid, user.groups),
    };
    let peer = Peer {
        uid: user.uid,
        pid: None,
        groups: user.groups,
        unit: unit.then(|| who.to_owned()),
        uncertain: None,
    };
    Ok((words, peer))
}

/// The daemon's user owns its state; before its first start, it is taken to be who asks.
fn daemon_uid(config: &Config) -> u32 {
    let state = rustix::fs::stat(&config.daemon.state_dir);
    let asking = || rustix::process::geteuid().as_raw();
    state.map_or_else(|_| asking(), |stat| stat.st_uid)
}

const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
