//! The one binary: see [`bearerd`] for the map of modules.

use std::process::ExitCode;

fn main() -> ExitCode {
    bearerd::cli::main()
}
