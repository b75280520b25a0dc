//! The meshpack command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    meshpack_cli::main()
}
