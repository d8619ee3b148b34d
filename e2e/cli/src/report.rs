//! `cargo xtask report`: a report again, from what a run left behind.

use std::path::PathBuf;

use anyhow::{Result, bail};
use e2e_report::{
    evidence::PODS,
    report::{Report, Verdict, markdown, summary},
    run_dir,
};
use e2e_run::{
    exit::ExitCode,
    progress::wants_colour,
    run::{load, report_again},
};

use crate::options::{BadInput, run_directory};

/// Make the report of a run again from its evidence, or check that it follows from it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask report                      # the latest run, as Markdown
  cargo xtask report --check              # recompute every figure and sentence, and compare
  cargo xtask report 20261123-214501-3f9c --format json")]
pub(crate) struct Args {
    /// Id or directory of the run; the latest one unless given.
    run: Option<PathBuf>,
    /// Recompute the report and fail when report.json or report.md says anything else.
    #[arg(long)]
    check: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// Print the JSON Schema of report.json instead.
    #[arg(long)]
    schema: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Markdown,
    Json,
    Summary,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.schema {
        println!("{}", e2e_report::report::schema());
        return Ok(ExitCode::Pass);
    }
    let directory = run_directory(args.run.as_deref())?;
    if !directory.join(PODS).exists() {
        let text =
            "left no evidence; `cargo xtask e2e` makes a run that does, and `cargo xtask report RUN` names another one";
        return Err(BadInput(format!("the run {} {text}", directory.id())).into());
    }
    if args.check {
        let report = Report::new(&load(&directory)?);
        let written: Report = directory.read_json(run_dir::REPORT_JSON)?;
        if report != written || markdown::render(&report) != directory.read(run_dir::REPORT_MARKDOWN)? {
            bail!(
                "the report of {} does not follow from its evidence; `cargo xtask report {0}` makes it again",
                directory.id()
            );
        }
        eprintln!("the report of {} follows from its evidence", directory.id());
        return Ok(ExitCode::Pass);
    }
    let report = report_again(&directory)?;
    match args.format {
        Format::Markdown => print!("{}", markdown::render(&report)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Summary => {
            let duration = std::time::Duration::from_millis(report.duration_ms);
            println!("{}", summary::render(&report, &e2e_plan::duration::human(duration), wants_colour()));
        }
    }
    Ok(match report.verdict {
        Verdict::Pass => ExitCode::Pass,
        Verdict::Fail => ExitCode::Fail,
        Verdict::Incomplete => ExitCode::Incomplete,
    })
}
