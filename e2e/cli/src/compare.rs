//! `cargo xtask compare`: finished runs, side by side.

use std::path::Path;

use anyhow::Result;
use e2e_report::{compare::Comparison, schema};
use e2e_run::{
    Options,
    comparison::{self, COMPARISON_HTML, COMPARISON_MARKDOWN},
    exit::ExitCode,
};

use crate::{
    directories::run_directory,
    options::{Format, print_json},
};

/// Compare runs, and show which differences exceed the noise.
///
/// Each argument is one side: run ids or run directories, separated by commas. With a single run per side, only the noise of
/// requests per second is known, from within the run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask compare 20261123-214501-3f9c 20261123-215203-b1e0
  cargo xtask compare before-1,before-2,before-3 after-1,after-2,after-3
  cargo xtask e2e --target docker,local   # run both targets alternately and compare them")]
pub(crate) struct Args {
    /// The baseline.
    #[arg(value_name = "RUN_A[,RUN..]", required_unless_present = "schema")]
    first: Option<String>,
    /// What to compare with the baseline.
    #[arg(value_name = "RUN_B[,RUN..]", required_unless_present = "schema")]
    others: Vec<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the JSON Schema of comparison.json instead.
    #[arg(long)]
    schema: bool,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    if args.schema {
        println!("{}", schema::<Comparison>());
        return Ok(ExitCode::Pass);
    }
    let mut sides = Vec::new();
    for side in args.first.iter().chain(&args.others) {
        let runs = side.split(',').filter(|run| !run.is_empty());
        sides.push(runs.map(|run| run_directory(Some(Path::new(run)), project)).collect::<Result<Vec<_>>>()?);
    }
    let (comparison, directory) = comparison::compare(project, &sides)?;
    show(&comparison, &directory, args.format)?;
    Ok(ExitCode::Pass)
}

/// Prints a comparison, and says where its page is.
pub(crate) fn show(comparison: &Comparison, directory: &Path, format: Format) -> Result<()> {
    match format {
        Format::Text => print!("{}", std::fs::read_to_string(directory.join(COMPARISON_MARKDOWN))?),
        Format::Json => print_json(comparison)?,
    }
    eprintln!("comparison: {}", directory.join(COMPARISON_HTML).display());
    Ok(())
}
