//! `bearerd check --explain UID|UNIT TOKEN`: says whether a user or a unit may read the token
//! through the socket and log in for it, and why.

use bearerd_core::credential::TokenName;
use bearerd_core::refresh::ErrorState;

use crate::api::access::{Grounds, Peer, Right, authorize};
use crate::api::code::Code;
use crate::cli::output::{OutputError, printable, write};
use crate::config::{Config, TokenConfig, User};

/// Why the answer is no, or why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ExplainError {
    /// It may not, for the reason that this sentence names.
    #[error("{0}")]
    Denied(String),
    #[error("no token is named {0}")]
    NoSuchToken(String),
    #[error("there is no user {0}; hint: a unit's name ends with its kind, such as .service")]
    NoSuchUser(String),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl ExplainError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Denied(_) => Code::State(ErrorState::Denied).exit_code(),
            Self::NoSuchToken(_) => Code::NotFound.exit_code(),
            Self::NoSuchUser(_) => Code::Usage.exit_code(),
            Self::Output(error) => error.exit_code(),
        }
    }
}

/// Decides as the daemon would, and prints the rule. The exit code says whether it may read the
/// token.
pub(super) fn explain(config: &Config, who: &str, token: &str) -> Result<(), ExplainError> {
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
    write(printable(&format!("{line}\n")).as_bytes())?;
    Ok(())
}

/// Says in a sentence who has one right and why; the sentence is an error when the right is
/// missing.
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

/// Finds a user, who then has no unit, or makes up the process of a unit, which then has no user.
fn peer(who: &str) -> Result<(String, Peer), ExplainError> {
    let unit = KINDS.iter().any(|kind| who.ends_with(kind));
    let user = match unit {
        // No process has this id.
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

/// Returns the daemon's user, who owns its state. Before its first start, that is taken to be the
/// user who asks.
fn daemon_uid(config: &Config) -> u32 {
    let state = rustix::fs::stat(&config.daemon.state_dir);
    let asking = || rustix::process::geteuid().as_raw();
    state.map_or_else(|_| asking(), |stat| stat.st_uid)
}

/// How the names of units end that can be allowed.
const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
