//! The `ijepa` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ijepa_cli::run(std::env::args_os()).into()
}
