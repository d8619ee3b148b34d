//! The program `e2e`: the product's verbs for the project in the current directory.

use std::process::ExitCode;

fn main() -> ExitCode {
    e2e_cli::main::<e2e_cli::Product>(std::path::Path::new("."))
}
