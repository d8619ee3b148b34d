//! `cargo xtask report`: rebuilds a report from a run's evidence.

use std::path::PathBuf;

use anyhow::{Result, bail};
use e2e_report::{
    command,
    evidence::PODS,
    report::{Report, Verdict, markdown, summary},
    run_dir,
};
use e2e_run::{Options, exit::ExitCode, load, progress::wants_colour, report_again};

use crate::{directories::run_directory, failure::bad_input, options::print_json};

/// Rebuild a run's report from its evidence, or check it against the evidence.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask report                      # the latest run, as Markdown
  cargo xtask report --check              # recompute every figure and sentence and compare
  cargo xtask report 20261123-214501-3f9c --format json")]
pub(crate) struct Args {
    /// Run id or directory [default: the latest run].
    run: Option<PathBuf>,
    /// Recompute the report, and fail if report.json or report.md differs.
    #[arg(long)]
    check: bool,
    /// Output format.
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

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    if args.schema {
        println!("{}", e2e_report::schema::<e2e_report::report::Report>());
        return Ok(ExitCode::Pass);
    }
    let directory = run_directory(args.run.as_deref(), project)?;
    if !directory.join(PODS).exists() {
        let text = format!(
            "the run {} left no evidence; name another run with `{}`, or make one with `{}`",
            directory.id(),
            command::line("report RUN"),
            command::line("run")
        );
        return bad_input(text);
    }
    if args.check {
        let report = Report::new(&load(&directory)?);
        let written: Report = directory.read_json(run_dir::REPORT_JSON)?;
        if report != written || markdown::render(&report) != directory.read(run_dir::REPORT_MARKDOWN)? {
            bail!(
                "the report of {} does not match its evidence; rebuild it with `{}`",
                directory.id(),
                command::line(&format!("report {}", directory.id()))
            );
        }
        eprintln!("the report of {} matches its evidence", directory.id());
        return Ok(ExitCode::Pass);
    }
    let report = report_again(&directory)?;
    match args.format {
        Format::Markdown => print!("{}", markdown::render(&report)),
        Format::Json => print_json(&report)?,
        Format::Summary => {
            println!("{}", summary::render(&report, wants_colour()));
        }
    }
    Ok(match report.verdict {
        Verdict::Pass => ExitCode::Pass,
        Verdict::Fail => ExitCode::Fail,
        Verdict::Incomplete => ExitCode::Incomplete,
    })
}
