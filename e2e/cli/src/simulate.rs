//! `cargo xtask simulate`: predicts in virtual time what a kubelet does with the manifests' containers.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use e2e_kubelet::{
    observation::Verdict,
    predict::{Answer, Measured, Timeline, play},
    snapshot::{ContainerReport, Snapshot},
};
use e2e_plan::{Component, ProbeKind, duration::human, pod_names, target::Target, words::counted};
use e2e_report::{command, environment::Environment, evidence::PODS, run_dir};
use e2e_run::{Options, exit::ExitCode};

use crate::{
    directories::run_directory,
    failure::{BadInput, bad_input},
    options::ManifestArgs,
};

/// Predict from a run's measurements what a kubelet does: when each pod becomes ready, is killed, or crash-loops.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask simulate                                    # one hour, measured by the latest run
  cargo xtask simulate --overlay fixtures/overlays/founding-incident --for 10m
  cargo xtask simulate --answer backend.liveness=400      # what if it answered 400?

Probes follow the periods in the manifests; a real run probes more often until every container is ready.

Exit codes: 0 every container becomes ready or completes, without a restart, 1 some do not or are restarted, 2 bad input.")]
pub(crate) struct Args {
    /// How much time to simulate.
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

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let plan = e2e_run::plan(&args.manifests.options(project)?)?;
    for (component, ..) in &args.answer {
        plan.require_component(component).map_err(|error| BadInput(format!("--answer: {error}")))?;
    }
    let directory = run_directory(args.run.as_deref(), project)?;
    let snapshot: Snapshot = directory.read_json(PODS).with_context(|| {
        format!("this run measured no pods; name another run with --run, or make one with `{}`", command::line("run"))
    })?;
    let environment: Environment = directory.read_json(run_dir::ENVIRONMENT)?;
    if let Some(note) = without_starts(environment.target, &snapshot) {
        println!("note: {note}, so start-up times count as zero");
    }
    let begun = Instant::now();
    let played: Vec<(String, Timeline)> =
        plan.components.iter().flat_map(|component| of_component(args, component, &snapshot)).collect();
    let took = begun.elapsed();
    if played.is_empty() {
        let text = format!("the run {} measured none of these containers; name another run with --run", directory.id());
        return bad_input(text);
    }
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
        counted(played.len(), "container"),
        took.as_secs_f64() * 1000.0,
        directory.id()
    );
    let well = played.iter().all(|(_, timeline)| (timeline.ready || timeline.completed) && timeline.restarts == 0);
    Ok(if well { ExitCode::Pass } else { ExitCode::Fail })
}

/// Why no start-up time is known, if none is.
fn without_starts(target: Target, snapshot: &Snapshot) -> Option<&'static str> {
    let containers = snapshot.pods.values().flat_map(|pod| &pod.containers);
    let mut probes = containers.flat_map(|container| container.probes.values()).peekable();
    probes.peek()?;
    let is_without = probes.all(|report| report.first_success_ms.is_none());
    is_without.then_some(match target {
        Target::K8s => "a cluster does not record when probes first succeeded",
        Target::Docker | Target::Local => "no probe succeeded in this run",
    })
}

/// A pod that crash-loops for an hour produces hundreds of identical moments.
const SHOWN: usize = 24;

fn of_component(args: &Args, component: &Component, snapshot: &Snapshot) -> Vec<(String, Timeline)> {
    let mut played = Vec::new();
    for name in pod_names(&component.name, component.replicas) {
        let Some(pod) = snapshot.pod(&name) else {
            println!("{name}: not measured by the run");
            continue;
        };
        for container in component.pod.running_containers() {
            let Some(report) = pod.container(&container.name) else {
                println!("{name}/{}: not measured by the run", container.name);
                continue;
            };
            let mut measured = measured(args, component, report);
            let policy = (component.pod.restart, component.pod.termination_grace);
            let timeline = play(&name, &container.name, &container.probes, policy, &mut measured, args.length);
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

#[cfg(test)]
mod tests {
    use e2e_kubelet::snapshot::PodReport;
    use e2e_plan::{Manifest, Objects, Plan, Probes};

    use super::*;
    use crate::tests::parsed;

    /// A run of pods with these names, each with a container `app` whose probe never succeeded.
    fn snapshot(pods: &[&str], probes: &Probes) -> Snapshot {
        let pod = |name: &&str| {
            let containers = vec![ContainerReport::declared("app", probes, "")];
            ((*name).to_owned(), PodReport { containers, ..PodReport::default() })
        };
        Snapshot { pods: pods.iter().map(pod).collect() }
    }

    fn plan() -> Plan {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: api }\nspec:\n  \
                    selector: { matchLabels: { app: api } }\n  template:\n    metadata: { labels: { app: api } }\n    \
                    spec: { containers: [{ name: app, image: app, readinessProbe: { tcpSocket: { port: 80 } } }] }\n";
        Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }])).expect("a plan")
    }

    #[test]
    fn a_component_has_its_own_pods_alone() {
        let (args, plan) = (parsed::<Args>(&["simulate", "--for", "1m"]), plan());
        let snapshot = snapshot(&["api-0", "api-worker-0"], &Probes::default());
        let played = of_component(&args, &plan.components[0], &snapshot);
        assert_eq!(played.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["api-0/app"]);
    }

    #[test]
    fn only_a_cluster_is_blamed_for_what_a_cluster_does_not_record() {
        let probed = snapshot(&["api-0"], &plan().components[0].pod.containers[0].probes);
        let of = |target| without_starts(target, &probed);
        assert_eq!(of(Target::K8s), Some("a cluster does not record when probes first succeeded"));
        assert_eq!(of(Target::Local), Some("no probe succeeded in this run"));
        assert_eq!(without_starts(Target::Local, &snapshot(&["api-0"], &Probes::default())), None);
    }
}
