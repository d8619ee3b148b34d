//! `cargo xtask mutate`: a mutation score for manifests. Each mutant has one mistake; does anything notice it?

mod judge;
mod text;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use e2e_kubelet::lint::lint;
use e2e_load::load::Random;
use e2e_plan::{
    Plan,
    mutation::{Mutant, mutants},
    target::Target,
    words::counted,
};
use e2e_report::run_dir::new_run_id;
use e2e_run::{Options, against, exit::ExitCode, plan, progress::Progress};
use serde::Serialize;
use tokio::io::AsyncReadExt;

use self::judge::{Fate, Seen};
use crate::{
    directories::write,
    failure::{BadInput, Ended, describe},
    interrupts::{Interrupts, stop},
    options::{ClusterArgs, ManifestArgs, block_on},
};

/// Make one mistake at a time in the manifests, and check whether the plan, the linter or a run notices it.
///
/// A mutant that survives shows what the suites lack. Each mutant is an overlay, kept in target/e2e/mutation, so that any run can use
/// it. The unchanged system runs first and must pass.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask mutate --target local
  cargo xtask mutate --changed main           # only what differs from main
  cargo xtask mutate --only probe-path --only selector --at-most 10
  cargo xtask mutate --list                   # the mutants, and those that the plan and the linter notice; nothing runs

Exit codes: 0 measured; 1 the score is below --least; 4 interrupted (what was found is written); others as for run, of the
unchanged system.")]
pub(crate) struct Args {
    /// Target to run on.
    #[arg(long, default_value = "local", value_name = "docker|local|k8s")]
    target: Target,
    #[command(flatten)]
    manifests: ManifestArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Change only fields that differ from a branch, a tag or a commit.
    #[arg(long, value_name = "REF")]
    changed: Option<String>,
    /// Make only this kind of mistake, as --list names it; repeatable.
    #[arg(long, value_name = "OPERATOR")]
    only: Vec<String>,
    /// Run at most N mutants, chosen by --seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_most: Option<u32>,
    /// Seed for choosing mutants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Concurrent clients of each scenario.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// Length of each scenario.
    #[arg(long, default_value = "2s", value_parser = e2e_plan::duration::parse_positive)]
    duration: Duration,
    /// Fail if the score is below this.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    least: Option<u32>,
    /// List the mutants without running any.
    #[arg(long)]
    list: bool,
}

/// What a study found: `mutation.json`.
#[derive(Debug, Serialize)]
struct Study {
    target: Target,
    mutants: Vec<Judged>,
}

impl Study {
    /// Writes `mutation.json` and `mutation.md`, and returns the latter.
    fn write(&self, directory: &Path, is_list: bool) -> Result<String> {
        write(&directory.join("mutation.json"), &(serde_json::to_string_pretty(self)? + "\n"))?;
        let text = text::render(self, is_list);
        write(&directory.join("mutation.md"), &text)?;
        Ok(text)
    }
}

/// A mutant and what became of it.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    mutant: Mutant,
    /// The overlay that makes it.
    overlay: PathBuf,
    #[serde(flatten)]
    fate: Fate,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let options = args.manifests.options(project)?;
    let original = plan(&options)?;
    let chosen = args.chosen(&options, &original)?;
    if chosen.is_empty() {
        println!("These manifests have no field to make a mistake in.");
        return Ok(ExitCode::Pass);
    }
    let directory = options.runs().join("mutation").join(new_run_id());
    let mut study = Study { target: args.target, mutants: Vec::new() };
    for (number, mutant) in (1..).zip(chosen) {
        let overlay = directory.join(format!("{number:03}-{}", mutant.operator));
        write(&overlay.join("kustomization.yaml"), &mutant.kustomization())?;
        let fate = without_a_run(&options, &original, &mutant, &overlay, args.target);
        study.mutants.push(Judged { mutant, overlay, fate });
    }
    let place = Options { runs: Some(directory.clone()), ..options };
    let ended = if args.list { Ok(()) } else { block_on(args.run_each(&place, &mut study))? };
    // Whatever ended the runs: what they found until then counts.
    print!("{}", study.write(&directory, args.list)?);
    ended?;
    let is_low = |least: u32| text::score(&study).is_some_and(|score| score * 100.0 < f64::from(least));
    Ok(if !args.list && args.least.is_some_and(is_low) { ExitCode::Fail } else { ExitCode::Pass })
}

/// What the plan and the linter say of a mutant.
fn without_a_run(options: &Options, original: &Plan, mutant: &Mutant, overlay: &Path, target: Target) -> Fate {
    let mut options = options.clone();
    options.overlays.push(overlay.to_owned());
    let mutated = match plan(&options) {
        Ok(mutated) => mutated,
        Err(error) => return Fate::Refused { by: describe(&error.into()) },
    };
    let remarks = |plan: &Plan| lint(plan, None).into_iter().map(|remark| (remark.code, remark.field)).collect();
    let known: BTreeSet<(String, String)> = remarks(original);
    let new = remarks(&mutated).into_iter().find(|remark| !known.contains(remark));
    // A cluster acts on every field, so a new warning there is of the mistake itself.
    let known = original.warnings(Target::K8s);
    let warning = mutated.warnings(Target::K8s).into_iter().find(|warning| !known.contains(warning));
    match (new, warning) {
        (Some((code, field)), _) => Fate::Linted { by: format!("{code} at {field}") },
        (None, Some(warning)) => {
            Fate::Warned { by: format!("{} {}: {}", warning.object, warning.path, warning.reason) }
        }
        (None, None) if !mutant.operator.is_honoured(target) => Fate::NotHonoured,
        (None, None) => Fate::NotRun,
    }
}

impl Args {
    /// The mutants that the flags leave.
    fn chosen(&self, options: &Options, original: &Plan) -> Result<Vec<Mutant>> {
        let mut chosen = mutants(&original.objects);
        let known: BTreeSet<String> = chosen.iter().map(|mutant| mutant.operator.to_string()).collect();
        if let Some(name) = self.only.iter().find(|name| !known.contains(*name)) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(
                BadInput(format!("--only {name}: the mistakes possible in these manifests are: {known}")).into()
            );
        }
        chosen.retain(|mutant| self.only.is_empty() || self.only.contains(&mutant.operator.to_string()));
        if let Some(reference) = &self.changed {
            let base = plan(&against::at(options, reference, &Progress::new())?.options)?;
            chosen.retain(|mutant| is_changed(mutant, &base, original));
        }
        let mut random = Random::new(self.seed, 0);
        while self.at_most.is_some_and(|most| chosen.len() > most as usize) {
            chosen.remove(random.below(chosen.len()));
        }
        Ok(chosen)
    }

    /// Runs the unchanged system and then each mutant that nothing has noticed yet, all in the study's own place.
    async fn run_each(&self, place: &Options, study: &mut Study) -> Result<()> {
        let mut interrupts = Interrupts::install()?;
        let progress = Progress::new();
        progress.line("the unchanged system");
        let output = self.one(place, None, &mut interrupts).await?;
        let (code, seen) = (code_of(&output), seen_in(&output));
        let reason = seen.as_ref().map_or_else(|| last_said(&output), |seen| seen.reason.clone());
        // A change of the manifests may wait for its snapshot to be accepted, which is another question.
        let Some(original) = seen.filter(|seen| seen.has_passed) else {
            let log = place.runs().join(LOG);
            let text = format!(
                "the unchanged system does not pass, so mutants would show nothing: {reason}; see {}",
                log.display()
            );
            return Err(Ended(code.unwrap_or(ExitCode::Fail), text).into());
        };
        let open = study.mutants.iter_mut().filter(|judged| judged.fate == Fate::NotRun).collect::<Vec<_>>();
        let count = open.len();
        for (number, judged) in (1..).zip(open) {
            let output = self.one(place, Some((&judged.overlay, original.bring_up())), &mut interrupts).await?;
            let (code, seen) = (code_of(&output), seen_in(&output));
            judged.fate = judge::of_run(code, seen.as_ref(), &last_said(&output), &original)?;
            progress.line(format!("{number} of {}: {}: {}", counted(count, "run"), judged.mutant, judged.fate));
        }
        Ok(())
    }

    /// A whole run in a process of its own, whose messages go to a file beside the overlay.
    async fn one(
        &self,
        place: &Options,
        mutant: Option<(&PathBuf, Duration)>,
        interrupts: &mut Interrupts,
    ) -> Result<Output> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = tokio::process::Command::new(program);
        command.args(self.arguments(place)?);
        if let Some((overlay, bring_up)) = mutant {
            command.arg("--overlay").arg(overlay);
            command.args(["--bring-up", &format!("{}ms", bring_up.as_millis())]);
        }
        // A mutant's findings are nothing to annotate.
        command.env_remove(e2e_report::env_vars::GITHUB_ACTIONS);
        command.stdin(self.manifests.stdin()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start a run")?;
        let (mut from, mut said) = child.stdout.take().zip(child.stderr.take()).context("cannot hear a run")?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read = async { tokio::try_join!(from.read_to_end(&mut stdout), said.read_to_end(&mut stderr)) };
        let read = tokio::select! {
            read = read => Some(read),
            () = interrupts.recv() => None,
        };
        let Some(read) = read else {
            stop(&mut child, REMOVAL).await?;
            return Err(Ended(ExitCode::Interrupted, "interrupted".to_owned()).into());
        };
        read.context("cannot read what a run says")?;
        let status = child.wait().await.context("cannot wait for a run")?;
        let log = mutant.map_or_else(|| place.runs(), |(overlay, _)| overlay.clone()).join(LOG);
        write(&log, &String::from_utf8_lossy(&stderr))?;
        Ok(Output { status, stdout, stderr })
    }

    fn arguments(&self, place: &Options) -> Result<Vec<std::ffi::OsString>> {
        let mut arguments: Vec<std::ffi::OsString> = vec!["--root".into(), place.root.clone().into()];
        arguments.extend(["--runs".into(), place.runs().into(), "run".into()]);
        arguments.extend(["--target".into(), self.target.as_str().into(), "--format".into(), "json".into()]);
        arguments.extend(["--clients".into(), self.clients.to_string().into()]);
        arguments.extend(["--duration".into(), format!("{}ms", self.duration.as_millis()).into()]);
        arguments.extend(self.manifests.arguments()?);
        arguments.extend(self.cluster.arguments());
        Ok(arguments)
    }
}

/// What a run says on standard error.
const LOG: &str = "run.log";
/// The time in which an interrupted run removes what it started.
const REMOVAL: Duration = Duration::from_secs(60);

/// Whether a mutant's field, or what it stands in, differs between two plans.
fn is_changed(mutant: &Mutant, base: &Plan, head: &Plan) -> bool {
    let field = |plan: &Plan| {
        let object = plan.objects.iter().find(|object| object.kind == mutant.kind && object.name == mutant.name)?;
        Some(object.json.pointer(&mutant.pointer).cloned())
    };
    field(base) != field(head)
}

fn code_of(output: &Output) -> Option<ExitCode> {
    output.status.code().and_then(ExitCode::of)
}

fn seen_in(output: &Output) -> Option<Seen> {
    serde_json::from_slice(&output.stdout).ok().map(Seen::of)
}

/// The error that a run ended with, or else its last line.
fn last_said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.or(said.lines().last()).unwrap_or("it said nothing").to_owned()
}
