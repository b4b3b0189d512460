//! Modules of the library from outside: configuration, token requests and answers, ID tokens, state, files.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "tests may fail by panicking, and have files and tables of their own"
)]

mod atomic_file;
mod config;
mod config_errors;
mod config_mutations;
mod config_scale;
mod id_token;
mod oauth;
mod state;
mod token_response;
