//! The project's commands: `cargo xtask <verb>`. This crate has the repository's own commands, one file each with its `Args` and a
//! `run`; every other verb is the product's.

mod bench;
mod test;
mod tidy;
mod walls;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use e2e_cli::{Product, Verbs};

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "the process has a single instance")]
enum Verb {
    #[command(flatten)]
    Product(Product),
    Bench(bench::Args),
    Test(test::Args),
    Tidy(tidy::Args),
}

impl Verbs for Verb {
    fn run(self, project: &e2e_run::Options) -> anyhow::Result<e2e_run::exit::ExitCode> {
        match self {
            Self::Product(verb) => verb.run(project),
            Self::Bench(args) => bench::run(&args),
            Self::Test(args) => test::run(&args, project),
            Self::Tidy(args) => tidy::run(&args),
        }
    }
}

fn main() -> ExitCode {
    e2e_cli::main::<Verb>(root())
}

/// The repository's root.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
