//! Modules of the library from outside: configuration, token requests and answers, ID tokens, state, files.

mod atomic_file;
mod config;
mod config_errors;
mod config_mutations;
mod config_scale;
mod id_token;
mod source;
mod state;
mod token_response;
