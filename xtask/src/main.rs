//! The project's commands: `cargo xtask <verb>`. Each verb is a file with its `Args` and a `run`.

mod bench;
mod compare;
mod doctor;
mod down;
mod e2e;
mod gc;
mod images;
mod interrupts;
mod load;
mod options;
mod report;
mod scale;
mod simulate;
mod status;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Brings the system of manifests/ up, tests it, and says what is wrong and why.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(flatten)]
    project: options::ProjectArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    E2e(e2e::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Images(images::Args),
    Load(load::Args),
    /// Make a share of a load for the process that started this one.
    #[command(hide = true)]
    Agent,
    Report(report::Args),
    Compare(compare::Args),
    Scale(scale::Args),
    Doctor(doctor::Args),
    Simulate(simulate::Args),
    Bench(bench::Args),
    Gc(gc::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    /// Print completions for a shell.
    ///
    /// Example: cargo xtask completions bash > ~/.local/share/bash-completion/completions/cargo-xtask
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    ::e2e::run::leave_cargo();
    let Cli { project, verb } = Cli::parse();
    let result = project.set().and_then(|()| run(verb));
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {}", options::describe(&error));
            options::exit_code(&error).into()
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<::e2e::exit::ExitCode> {
    match verb {
        Verb::E2e(args) => e2e::run(&args),
        Verb::Up(args) => up::run(&args),
        Verb::Down(args) => down::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Images(args) => images::run(&args),
        Verb::Load(args) => load::run(&args),
        Verb::Agent => load::serve_parent(),
        Verb::Report(args) => report::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Scale(args) => scale::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Simulate(args) => simulate::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Gc(args) => gc::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Tidy(args) => tidy::run(&args),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "cargo-xtask", &mut std::io::stdout());
            Ok(::e2e::exit::ExitCode::Pass)
        }
    }
}
