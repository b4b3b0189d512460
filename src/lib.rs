//! bearerd keeps OAuth 2.0 bearer tokens fresh.
//!
//! The core decides, the shell does. [`bearerd_core`] is the core, a crate of its own: given the time
//! and what happened, it says what to do next. Everything here is the shell around it:
//!
//! | module | duty |
//! |---|---|
//! | [`config`] | TOML files to a checked [`config::Config`] |
//! | [`oauth`] | one token request to an authorization server |
//! | [`store`] | current tokens by name; their durable state |
//! | [`format`](mod@format) | a token as raw bytes, headers, JSON, ... |
//! | [`sink`] | files and hooks that follow a token |
//! | [`api`] | HTTP over the Unix socket, server and client |
//! | [`daemon`] | owns the scheduler and the store; the only `select!` loop |
//! | [`cli`] | one file per command |
//! | [`clock`] | the only reader of clocks |
//! | [`atomic_file`] | the only writer of files |
//! | [`error_chain`] | one line for an error and its causes |
//! | [`program`] | runs hooks, and programs that print tokens |
//! | [`failpoint`] | where the crash test kills the daemon |
//! | [`signals`], [`systemd`], [`watch`], [`logging`] | what the names say |

pub mod api;
pub mod atomic_file;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod error_chain;
pub mod failpoint;
pub mod format;
pub mod logging;
pub mod oauth;
pub mod program;
pub mod signals;
pub mod sink;
pub mod store;
pub mod systemd;
pub mod token;
pub mod watch;
