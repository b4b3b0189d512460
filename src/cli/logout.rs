//! `bearerd logout`: ends what a login has brought.

use std::io::{self, Write};
use std::path::Path;

use bearerd_core::credential::TokenName;
use clap::Args;

use super::ask::{self, AskError};
use crate::api::client::Call;
use crate::api::code::EXIT_FRESH;
use crate::api::pages::logout::{LIMIT, LogoutBody};

#[derive(Args, Debug)]
pub(super) struct LogoutArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
}

/// Revokes and forgets what a login has brought.
pub(super) fn run(args: &LogoutArgs, socket: &Path) -> Result<u8, AskError> {
    let name = &args.name;
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/logout"),
        body: "",
        wait: LIMIT,
    };
    let answer: LogoutBody = ask::ask(socket, call)?;
    // For people, hence on standard error; failing to write it does not undo the logout.
    let _ = match answer.detail {
        None => writeln!(io::stderr(), "{name}: logged out"),
        Some(why) => writeln!(io::stderr(), "{name}: logged out on this host alone: {why}"),
    };
    Ok(EXIT_FRESH)
}
