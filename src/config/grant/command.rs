//! `[token.NAME.grant.command]`: a program prints the token.

use std::time::Duration;

use bearerd_core::refresh::Grant;

use super::super::keys::Keys;
use super::super::units::{COMMAND_HINT, all, command, timeout, variable};
use super::profile::Profile;

/// `[token.NAME.grant.command]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandGrant {
    /// The program and its arguments. No shell is used.
    pub command: Vec<String>,
    /// How long the program may run before it is killed.
    pub timeout: Duration,
    /// The variables that it gets beside `PATH`, `HOME` and `LANG`.
    pub environment: Vec<String>,
}

impl CommandGrant {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let command = keys.required("command", COMMAND_HINT, command);
        let timeout = keys.optional("timeout", timeout);
        let environment = keys.optional("environment", |field| {
            all(field.elements("a list of variables' names", "")?, variable)
        });
        keys.finish();
        Some(Self {
            command: command?,
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
            environment: environment.unwrap_or_default(),
        })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        let texts = self.command.iter().chain(&self.environment);
        Profile {
            identity: texts.map(Into::into).collect(),
            longest: self.timeout,
            ..Profile::new("command", Grant::ClientCredentials)
        }
    }
}
