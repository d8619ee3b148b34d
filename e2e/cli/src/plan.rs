//! `cargo xtask plan`: what would run. Nothing is started, and no Secret, engine, cluster or earlier run is needed.

mod text;

use anyhow::Result;
use e2e_plan::{Plan, Warning, target::Target};
use e2e_run::{Options, exit::ExitCode};
use serde_json::{Value, json};

use crate::options::{ChangeArgs, ManifestArgs, print_json};

/// Show what would run on a target, which fields it would not honour, and the objects with all changes applied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask plan --target docker
  cargo xtask plan --manifests deploy/overlays/dev --format yaml
  helm template deploy/chart | cargo xtask plan --manifests - --target k8s

Exit codes: 0 the plan is valid, 2 the manifests are invalid (prints each error with its file and line)")]
pub(crate) struct Args {
    /// Target to plan for.
    #[arg(long, default_value = "docker", value_name = "docker|local|k8s")]
    target: Target,
    #[command(flatten)]
    manifests: ManifestArgs,
    #[command(flatten)]
    changes: ChangeArgs,
    /// Output format: a summary, the objects as YAML with warnings as comments, or everything as JSON. Never shows the values of
    /// Secrets.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Yaml,
    Json,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let options = args.changes.options(args.manifests.options(project)?);
    let plan = e2e_run::plan(&options)?;
    let warnings = e2e_run::unhonoured(&options, &plan, args.target)?;
    match args.format {
        Format::Text => print!("{}", text::render(&plan, args.target, &warnings)),
        Format::Yaml => print!("{}", yaml(&plan, args.target, &warnings)?),
        Format::Json => print_json(&json(&plan, args.target, &warnings))?,
    }
    Ok(ExitCode::Pass)
}

fn json(plan: &Plan, target: Target, warnings: &[Warning]) -> Value {
    json!({
        "target": target.to_string(),
        "components": plan.components,
        "services": plan.services,
        "warnings": warnings,
        "missing": plan.missing,
        "objects": objects(plan).collect::<Vec<_>>(),
    })
}

fn yaml(plan: &Plan, target: Target, warnings: &[Warning]) -> Result<String> {
    let mut text = String::new();
    for line in text::lines(plan, target, warnings) {
        text += &format!("# {line}\n");
    }
    for object in objects(plan) {
        let object = serde_saphyr::to_string(&object)?;
        text += &format!("---\n{}\n", object.trim_end());
    }
    Ok(text)
}

/// The objects for a cluster, without the values of Secrets.
fn objects(plan: &Plan) -> impl Iterator<Item = Value> + '_ {
    plan.objects.iter().map(|object| plan.shown(object))
}
