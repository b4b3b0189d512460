//! The program as its users see it: the real daemon and the real commands, and servers on loopback.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may fail by panicking, and have files and tables of their own"
)]

mod activation;
mod api;
mod aws;
mod canary;
mod check;
mod cli;
mod consumers;
mod credential_helper;
mod credentials;
mod documents;
mod events;
mod exchange;
mod exec;
mod faults;
mod git;
mod grants;
mod in_the_wild;
mod journal;
mod keygen;
mod limits;
mod login;
mod login_ends;
mod logout;
mod metrics;
mod oidc_agent;
mod once;
mod reload;
mod reload_consumers;
mod restart;
mod sinks;
mod socket;
mod stop;
mod support_self;
mod systemd_notify;
