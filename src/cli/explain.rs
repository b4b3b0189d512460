//! `bearerd check --explain UID|UNIT TOKEN`: may it read the token through the socket, and why.

use super::error::CliError;
use super::output::{printable, write};
use crate::api::code::Code;
use crate::api::peer::{Grounds, Peer, authorize};
use crate::config::{Config, User};
use crate::credential::TokenName;

/// Why the answer is no, or there is none.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ExplainError {
    #[error("{who} may not read token {token}: {why}")]
    Denied {
        who: String,
        token: String,
        why: &'static str,
    },
    #[error("no token is named {0}")]
    NoSuchToken(String),
    #[error("there is no user {0}; hint: a unit's name ends with its kind, such as .service")]
    NoSuchUser(String),
}

impl ExplainError {
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Denied { .. } => Code::Denied,
            Self::NoSuchToken(_) => Code::NotFound,
            Self::NoSuchUser(_) => Code::Usage,
        }
    }
}

/// Decides as the daemon would, and prints the rule.
pub(super) fn explain(config: &Config, who: &str, token: &str) -> Result<(), CliError> {
    let no_such = || ExplainError::NoSuchToken(token.to_owned());
    let name = TokenName::parse(token).map_err(|_| no_such())?;
    let allow = &config.tokens.get(&name).ok_or_else(no_such)?.allow;
    let (who, peer) = peer(who)?;
    match authorize(&peer, daemon_uid(config), allow) {
        Some(grounds) => {
            let by = match grounds {
                Grounds::Rule(written) => format!("`allow` has {written}"),
                Grounds::OwnUser | Grounds::Root => format!("it is {}", grounds.as_str()),
            };
            let line = format!("{who} may read token {name}: {by}\n");
            write(printable(&line).as_bytes())
        }
        None => {
            let why = match allow.is_empty() {
                true => "it has no `[token.NAME.socket]` with `allow`",
                false => "nothing in its `allow` names it",
            };
            let token = name.to_string();
            Err(ExplainError::Denied { who, token, why }.into())
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
