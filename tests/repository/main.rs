//! What the repository promises of itself: its layout, the shipped files and units, the manual pages.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests may fail by panicking, and have files and tables of their own"
)]

mod architecture;
mod etc;
mod imports;
mod man;
mod units;
