//! `cargo xtask simulate`: predicts in virtual time what a kubelet does with the manifests' containers.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use e2e_kubelet::{
    observation::Verdict,
    predict::{Answer, Measured, Timeline, play},
    snapshot::{ContainerReport, Snapshot},
};
use e2e_plan::{Component, ProbeKind, duration::human, words::counted};
use e2e_report::{command, evidence::PODS};
use e2e_run::exit::ExitCode;

use crate::{directories::run_directory, options::ManifestArgs};

/// Simulate a kubelet from a run's measurements: when each pod becomes ready, is killed, or crash-loops.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask simulate                                    # one hour, measured by the latest run
  cargo xtask simulate --overlay fixtures/overlays/founding-incident --for 10m
  cargo xtask simulate --answer backend.liveness=400      # what if it answered 400?

Probes follow the periods in the manifests; a real run probes more often until every container is ready.")]
pub(crate) struct Args {
    /// Simulated time.
    #[arg(long = "for", default_value = "1h", value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive)]
    length: Duration,
    /// Id or directory of the measured run [default: the latest run].
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArgs,
    /// Replace a probe's measured answer; repeatable.
    #[arg(long, value_name = "COMPONENT.PROBE=ok|STATUS", value_parser = parse_answer)]
    answer: Vec<(String, ProbeKind, Answer)>,
}

fn parse_answer(text: &str) -> Result<(String, ProbeKind, Answer), String> {
    let wrong = || format!("`{text}` is not an answer; write backend.liveness=400 or backend.readiness=ok");
    let (place, what) = text.split_once('=').ok_or_else(wrong)?;
    let (component, which) = place.rsplit_once('.').ok_or_else(wrong)?;
    let which = ProbeKind::ALL.into_iter().find(|w| w.to_string() == which).ok_or_else(wrong)?;
    let (verdict, message) = match what {
        "ok" => (Verdict::Success, String::new()),
        status => match status.parse::<u16>().map_err(|_| wrong())? {
            200..=399 => (Verdict::Success, String::new()),
            status => (Verdict::Failure, format!("HTTP probe failed with statuscode: {status}")),
        },
    };
    Ok((component.to_owned(), which, Answer { verdict, latency: Duration::from_millis(1), message }))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let plan = e2e_run::plan(&args.manifests.options()?)?;
    for (component, ..) in &args.answer {
        if !plan.components.iter().any(|known| known.name == *component) {
            let names: Vec<&str> = plan.components.iter().map(|component| component.name.as_str()).collect();
            bail!("--answer: no component `{component}`; components: {}", names.join(", "));
        }
    }
    let directory = run_directory(args.run.as_deref())?;
    let snapshot: Snapshot = directory.read_json(PODS).with_context(|| {
        format!("this run measured no pods; name another run with --run, or make one with `{}`", command::line("run"))
    })?;
    let reports =
        snapshot.pods.values().flat_map(|pod| &pod.containers).flat_map(|container| container.probes.values());
    if reports.map(|report| report.first_success_ms).all(|first| first.is_none()) {
        println!("note: a cluster does not record when probes first succeeded, so start-up times count as zero");
    }
    let begun = Instant::now();
    let played: Vec<(String, Timeline)> =
        plan.components.iter().flat_map(|component| of_component(args, component, &snapshot)).collect();
    let took = begun.elapsed();
    for (name, timeline) in &played {
        println!("{name}: {}", timeline.summary());
        for (at, what) in timeline.moments.iter().take(SHOWN) {
            println!("    {:>9.1} s  {what}", at.as_secs_f64());
        }
        if timeline.moments.len() > SHOWN {
            println!("    ... and {} more", timeline.moments.len() - SHOWN);
        }
    }
    println!(
        "simulated {} of {} in {:.1} ms, from run {}",
        human(args.length),
        counted(played.len() as u64, "container"),
        took.as_secs_f64() * 1000.0,
        directory.id()
    );
    let well = played.iter().all(|(_, timeline)| timeline.ready && timeline.restarts == 0);
    Ok(if well { ExitCode::Pass } else { ExitCode::Fail })
}

/// A pod that crash-loops for an hour produces hundreds of identical moments.
const SHOWN: usize = 24;

fn of_component(args: &Args, component: &Component, snapshot: &Snapshot) -> Vec<(String, Timeline)> {
    let prefix = format!("{}-", component.name);
    let pods: Vec<_> = snapshot.pods.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
    let mut played = Vec::new();
    for (name, pod) in pods {
        for container in &component.pod.containers {
            let Some(report) = pod.container(&container.name) else {
                println!("{name}/{}: not measured by the run", container.name);
                continue;
            };
            let mut measured = measured(args, component, report);
            let grace = component.pod.termination_grace;
            let timeline = play(name, &container.name, &container.probes, grace, &mut measured, args.length);
            played.push((format!("{name}/{}", container.name), timeline));
        }
    }
    played
}

fn measured(args: &Args, component: &Component, report: &ContainerReport) -> Measured {
    let mut measured = Measured::of(report);
    for (_, which, answer) in args.answer.iter().filter(|(name, ..)| *name == component.name) {
        measured.answers.insert(*which, answer.clone());
    }
    measured
}
