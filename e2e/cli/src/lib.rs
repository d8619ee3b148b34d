//! The product's verbs, one file each with its `Args` and a `run`. The program `e2e` is [`main`] over [`Product`]; `cargo xtask` adds
//! the repository's chores.

mod compare;
mod directories;
mod doctor;
mod down;
pub mod failure;
mod gc;
mod history;
mod images;
mod init;
pub mod interrupts;
mod load;
mod logs;
mod mutate;
pub mod options;
mod pipe;
mod plan;
mod redeploy;
mod report;
mod run;
mod scale;
mod simulate;
mod status;
mod stdin;
mod trigger;
mod up;

use std::{path::Path, process::ExitCode as ProcessExitCode};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use e2e_load::{agent, load::Registry};
use e2e_run::{Options, exit::ExitCode, reaper};

/// The verbs of a program.
pub trait Verbs: Subcommand {
    /// Runs the verb for a project.
    ///
    /// # Errors
    ///
    /// Any failure; [`main`] prints it and chooses the exit code.
    fn run(self, project: &Options) -> anyhow::Result<ExitCode>;
}

/// The product's verbs.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each verb's help is the documentation of its arguments")]
#[expect(private_interfaces, reason = "only clap makes them")]
pub enum Product {
    #[command(visible_alias = "e2e")]
    Run(Box<run::Args>),
    Init(init::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Logs(logs::Args),
    Redeploy(redeploy::Args),
    Trigger(trigger::Args),
    Images(images::Args),
    Load(load::Args),
    /// Generate a share of the load for the parent process.
    #[command(hide = true)]
    Agent,
    Plan(plan::Args),
    Report(report::Args),
    Compare(compare::Args),
    History(history::Args),
    Scale(scale::Args),
    Mutate(mutate::Args),
    Doctor(doctor::Args),
    Simulate(simulate::Args),
    Gc(gc::Args),
}

impl Verbs for Product {
    fn run(self, project: &Options) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(args) => run::run(&args, project),
            Self::Init(args) => init::run(&args, project),
            Self::Up(args) => up::run(&args, project),
            Self::Down(args) => down::run(&args, project),
            Self::Status(args) => status::run(&args, project),
            Self::Logs(args) => logs::run(&args, project),
            Self::Redeploy(args) => redeploy::run(&args, project),
            Self::Trigger(args) => trigger::run(&args, project),
            Self::Images(args) => images::run(&args, project),
            Self::Load(args) => load::run(&args, project),
            Self::Agent => load::serve_parent(),
            Self::Plan(args) => plan::run(&args, project),
            Self::Report(args) => report::run(&args, project),
            Self::Compare(args) => compare::run(&args, project),
            Self::History(args) => history::run(&args, project),
            Self::Scale(args) => scale::run(&args, project),
            Self::Mutate(args) => mutate::run(&args, project),
            Self::Doctor(args) => doctor::run(&args, project),
            Self::Simulate(args) => simulate::run(&args, project),
            Self::Gc(args) => gc::run(&args, project),
        }
    }
}

/// Bring up the system described by your manifests, test it under load, and report problems with their causes.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli<V: Verbs> {
    #[command(flatten)]
    project: options::ProjectArgs,
    #[command(subcommand)]
    verb: VerbOrCompletions<V>,
}

#[derive(Debug, Subcommand)]
enum VerbOrCompletions<V: Verbs> {
    #[command(flatten)]
    Verb(V),
    /// Print shell completions.
    Completions {
        /// Shell to print them for.
        shell: clap_complete::Shell,
    },
}

/// Parses the command line and runs its verb, for the project in `root` unless a flag names another one.
#[must_use]
pub fn main<V: Verbs>(root: &Path) -> ProcessExitCode {
    if agent::is_asked_for() {
        return agent::main(&Registry::default());
    }
    if reaper::is_asked_for() {
        return reaper::main();
    }
    e2e_run::leave_cargo();
    let program = e2e_report::command::program();
    let matches = command::<V>(program).get_matches();
    let Cli { project, verb } = Cli::<V>::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let run = |project: Options| match verb {
        VerbOrCompletions::Verb(verb) => verb.run(&project),
        VerbOrCompletions::Completions { shell } => {
            let file = program.replace(' ', "-");
            clap_complete::generate(shell, &mut command::<V>(program), file, &mut std::io::stdout());
            Ok(ExitCode::Pass)
        }
    };
    pipe::quietly(|| match project.options(root).and_then(run) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {}", failure::describe(&error));
            failure::exit_code(&error).into()
        }
    })
}

/// The program name in the source of the examples.
const XTASK: &str = "cargo xtask";

/// The command line, with examples under `program`'s name.
fn command<V: Verbs>(program: &'static str) -> Command {
    let examples = |help: String| match program {
        XTASK => help,
        name => help.replace(&format!("{XTASK} e2e"), &format!("{name} run")).replace(XTASK, name),
    };
    let command = Cli::<V>::command().name(program).bin_name(program);
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, |verb| match verb.get_after_help().map(ToString::to_string) {
            Some(help) => verb.after_help(examples(help)),
            None => verb,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verb's arguments.
    pub(crate) fn parsed<A: clap::Args>(line: &[&str]) -> A {
        let matches = A::augment_args(Command::new("verb")).try_get_matches_from(line).expect("a line");
        A::from_arg_matches(&matches).expect("arguments")
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command::<Product>("e2e").debug_assert();
    }

    /// What clap says of a command line that it refuses.
    fn refusal(line: &[&str]) -> String {
        let arguments = std::iter::once("e2e").chain(line.iter().copied());
        command::<Product>("e2e").try_get_matches_from(arguments).expect_err("a refusal").to_string()
    }

    #[rstest::rstest]
    #[case(&["run", "--at-most", "8m"])]
    #[case(&["run", "--block", "1s"])]
    #[case(&["run", "--line", "3%"])]
    fn a_flag_of_a_comparison_wants_one(#[case] line: &[&str]) {
        let said = refusal(line);
        assert!(said.contains("required arguments were not provided") && said.contains("--against <REF>"), "{said}");
        let arguments = ["e2e"].iter().chain(line).chain(&["--against", "main"]);
        command::<Product>("e2e").try_get_matches_from(arguments).expect("a comparison");
    }

    #[test]
    fn a_malformed_secret_is_not_shown() {
        let takes_sets = |verb: &&Command| verb.get_arguments().any(|argument| argument.get_id() == "set");
        let command = command::<Product>("e2e");
        let verbs: Vec<&str> = command.get_subcommands().filter(takes_sets).map(Command::get_name).collect();
        assert_eq!(verbs, ["run", "up", "plan", "scale"]);
        for verb in verbs {
            let said = refusal(&[verb, "--set", "backend.PASSWORD=s3cret"]);
            assert!(said.contains("--set") && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn examples_use_the_programs_own_name() {
        let mut command = command::<Product>("e2e");
        let help = command.find_subcommand_mut("run").expect("the main verb").render_long_help().to_string();
        assert!(help.contains("e2e run --target local") && !help.contains("cargo xtask"), "{help}");
    }
}
