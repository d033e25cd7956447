//! The `probebook` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    probebook_kernel::cli::main()
}
