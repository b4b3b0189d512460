//! `bearerd logout`.

use std::io::{self, Write};
use std::path::Path;

use bearerd_core::credential::TokenName;
use clap::Args;

use super::error::CliError;
use crate::api::client::{self, Call};
use crate::api::code::EXIT_FRESH;
use crate::api::pages::logout::{LIMIT, LogoutBody};

#[derive(Args, Debug)]
pub(super) struct LogoutArgs {
    /// The token's name
    #[arg(value_parser = TokenName::parse)]
    name: TokenName,
}

pub(super) fn run(args: &LogoutArgs, socket: &Path) -> Result<u8, CliError> {
    let name = &args.name;
    let call = Call {
        method: "POST",
        target: &format!("/v1/tokens/{name}/logout"),
        body: "",
        wait: LIMIT,
    };
    let answer = client::call(socket, call)?;
    let answer: LogoutBody = serde_json::from_slice(&answer).map_err(|_| CliError::Answer)?;
    // For people, hence on standard error; failing to write it does not undo the logout.
    let _ = match answer.detail {
        None => writeln!(io::stderr(), "{name}: logged out"),
        Some(why) => writeln!(io::stderr(), "{name}: logged out on this host alone: {why}"),
    };
    Ok(EXIT_FRESH)
}
