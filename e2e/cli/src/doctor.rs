//! `cargo xtask doctor`: finds out by experiment why a probe fails.

mod from_start;
mod lint;
mod text;
mod under_load;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use e2e::control::Control;
use e2e_kubelet::{diagnosis::Diagnosis, snapshot::Snapshot};
use e2e_load::clock::now_unix_ms;
use e2e_node::{
    doctor::{Answers, Asked, Case, Start, diagnose, with_history, with_start},
    probe::{Profile, Target as ProbeTarget},
};
use e2e_plan::{ProbeAction, ProbeKind, target::Target};
use e2e_report::{
    environment::{Component, Environment, ProbeSpec, Replica},
    evidence::DoctorEntry,
};
use e2e_run::{Facts, Options, exit::ExitCode, known};

use crate::{
    directories::{down, run_directory, system},
    failure::bad_input,
    options::{Format, block_on, print_json},
};

/// Find out why a probe fails: send it as a kubelet does, then search for a single change that makes it succeed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask doctor --url http://127.0.0.1:8000/health --pod-ip 10.244.0.9
  cargo xtask doctor --url http://10.0.0.7:8443/health --scheme HTTPS --works https://app.example/health
  cargo xtask doctor --env latest --component backend
  cargo xtask doctor --env latest --component backend --under-load /health
  cargo xtask doctor --env latest --component backend --from-start
  cargo xtask doctor --lint manifests/

Exit codes: 0 all probes succeed, 1 a probe fails and its cause is known, 2 bad input, 3 the system is down,
6 a probe fails and no single cause explains it.")]
pub(crate) struct Args {
    /// URL of the probe's port and path, as reached from this machine; grpc://HOST:PORT/SERVICE or tcp://HOST:PORT for grpc and
    /// tcpSocket probes.
    #[arg(long, required_unless_present_any = ["env", "lint"], conflicts_with_all = ["env", "lint"])]
    url: Option<String>,
    /// Pod IP that a kubelet would send as Host [default: the URL's address, or 10.244.0.9 if that is a loopback address].
    #[arg(long, requires = "url", value_name = "ADDRESS")]
    pod_ip: Option<IpAddr>,
    /// Header from the probe's httpHeaders; repeatable.
    #[arg(long, requires = "url", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The probe's timeoutSeconds.
    #[arg(long, requires = "url", default_value = "1s", value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive)]
    timeout: Duration,
    /// The probe's scheme, if it differs from the URL's.
    #[arg(long, requires = "url", value_enum, ignore_case = true)]
    scheme: Option<Scheme>,
    /// URL of a working request to compare the probe with; may contain user:password@.
    #[arg(long, requires = "url", value_name = "URL")]
    works: Option<String>,
    /// Header of the working request, as in curl; repeatable.
    #[arg(short = 'H', long, requires = "works", value_name = "NAME: VALUE")]
    works_header: Vec<String>,
    /// User and password of the working request, as in curl.
    #[arg(short = 'u', long, requires = "works", value_name = "USER:PASSWORD")]
    works_user: Option<String>,
    /// Kind of the probe; determines the patch and the advice.
    #[arg(long, requires = "url", default_value = "liveness", value_parser = kinds())]
    probe: ProbeKind,
    /// Examine every probe of a running system: `latest`, a run id, or a run directory.
    #[arg(long, value_name = "RUN", conflicts_with = "lint")]
    env: Option<PathBuf>,
    /// Examine only this component.
    #[arg(long, requires = "env", conflicts_with_all = ["url", "lint"])]
    component: Option<String>,
    /// Also send each successful HTTP probe for 5 s while the scenario's clients request PATH (default: the probe's own path) on the same
    /// port; then raise the request rate until the probe fails.
    #[arg(long, requires = "env", conflicts_with_all = ["url", "lint"], value_name = "PATH", num_args = 0..=1, default_missing_value = "")]
    under_load: Option<String>,
    /// Restart each container, suspend kills by its probes, and send them until they succeed, for at most LIMIT (default: 60s). Docker
    /// and local only.
    #[arg(long, requires = "env", conflicts_with_all = ["url", "lint", "under_load"], value_name = "LIMIT", num_args = 0..=1,
        default_missing_value = "60s", value_parser = e2e_plan::duration::parse_positive)]
    from_start: Option<Duration>,
    /// Check manifests without running anything: files, directories, kustomizations, charts, or - for standard input [default: the
    /// configured ones].
    #[arg(long, value_name = "PATH", num_args = 0..)]
    lint: Option<Vec<PathBuf>>,
    /// Directory with patches for the manifests that --lint checks; repeatable.
    #[arg(long, requires = "lint", value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// Run whose measured latencies and start-up times --lint compares with the manifests.
    #[arg(long, requires = "lint", value_name = "RUN")]
    measured: Option<PathBuf>,
    /// Kubelet version to imitate [default: the cluster's version in a cluster, else a current one].
    #[arg(long, value_name = "VERSION")]
    kubelet: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
enum Scheme {
    Http,
    Https,
}

fn kinds() -> impl TypedValueParser<Value = ProbeKind> {
    let named = |name: String| ProbeKind::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(&name));
    PossibleValuesParser::new(["startup", "readiness", "liveness"]).map(move |name| named(name).expect("one of these"))
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    if let Some(manifests) = &args.lint {
        return lint::run(args, manifests, project);
    }
    match &args.url {
        Some(url) => of_url(args, url),
        None => of_environment(args, project),
    }
}

fn of_url(args: &Args, url: &str) -> Result<ExitCode> {
    let asked = Asked {
        url: url.to_owned(),
        pod_ip: args.pod_ip,
        headers: args.header.clone(),
        timeout: args.timeout,
        https: args.scheme.map(|scheme| scheme == Scheme::Https),
        works: args.works.clone(),
        works_headers: args.works_header.clone(),
        works_user: args.works_user.clone(),
        which: args.probe,
    };
    let profile = args.kubelet.as_deref().map_or_else(Profile::default, Profile::of_version);
    let diagnosis = block_on(async {
        let (case, target) = asked.case().await?;
        Ok::<_, anyhow::Error>(diagnose(&case, &target, &profile).await)
    })??;
    match args.format {
        Format::Text => print!("{}", text::render(&diagnosis)),
        Format::Json => print_json(&diagnosis)?,
    }
    Ok(exit_code(&[&diagnosis]))
}

fn of_environment(args: &Args, project: &Options) -> Result<ExitCode> {
    let (environment, control) = system(&run_directory(args.env.as_deref(), project)?)?;
    if let Some(component) = &args.component {
        environment.component(component)?;
    }
    if args.from_start.is_some() && environment.target == Target::K8s {
        let text = "--from-start works on docker and local only: a cluster's kubelets decide themselves when to restart a container";
        return bad_input(text);
    }
    let entries = block_on(async {
        let seen = control.status().await.with_context(down)?;
        Examined { args, environment: &environment, control, seen }.all().await
    })??;
    if args.format == Format::Json {
        print_json(&entries)?;
    }
    Ok(exit_code(&entries.iter().map(|entry| &entry.diagnosis).collect::<Vec<_>>()))
}

/// The answers of a replica's containers since their restart, with `--from-start`.
async fn starts(args: &Args, control: &Control, component: &Component, replica: &Replica) -> Result<Starts> {
    let mut starts = Starts::new();
    let Some(limit) = args.from_start else { return Ok(starts) };
    let containers: BTreeSet<&str> = component.probes.iter().map(|spec| spec.container.as_str()).collect();
    for container in containers {
        let specs: Vec<&ProbeSpec> = component.probes.iter().filter(|spec| spec.container == container).collect();
        eprintln!("restarting {}/{container} and probing it for at most {limit:?}", replica.name);
        let answers = from_start::watch(control, &replica.name, container, &specs, limit).await?;
        starts.insert(container.to_owned(), answers);
    }
    Ok(starts)
}

/// Answers since the restart, by container.
type Starts = BTreeMap<String, BTreeMap<ProbeKind, Answers>>;

/// The system under examination.
struct Examined<'a> {
    args: &'a Args,
    environment: &'a Environment,
    control: Control,
    seen: Snapshot,
}

impl Examined<'_> {
    /// Examines each wanted probe of each replica, and prints what is found as it is found.
    async fn all(&self) -> Result<Vec<DoctorEntry>> {
        let mut entries = Vec::new();
        let wanted = |component: &&Component| self.args.component.as_ref().is_none_or(|name| *name == component.name);
        for component in self.environment.components.iter().filter(wanted) {
            for replica in &component.replicas {
                let started = starts(self.args, &self.control, component, replica).await?;
                for spec in &component.probes {
                    let entry = self.examine(component, replica, spec, &started).await?;
                    if self.args.format == Format::Text {
                        print!("{}", text::render_entry(&entry));
                    }
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    async fn examine(
        &self,
        component: &Component,
        replica: &Replica,
        spec: &ProbeSpec,
        starts: &Starts,
    ) -> Result<DoctorEntry> {
        let ProbeSpec { container, which, probe } = spec;
        let Environment { routes, components, .. } = self.environment;
        let case = Case {
            kind: component.kind.clone(),
            component: component.name.clone(),
            container: container.clone(),
            which: *which,
            probe: probe.clone(),
            known: known(Facts { routes, components, snapshot: &self.seen }, component, container, *which),
        };
        let now = match &probe.action {
            // Only the process that runs the container can run a command in it.
            ProbeAction::Exec { .. } => self.control.examine(&replica.name, container, *which).await?,
            ProbeAction::HttpGet { .. } | ProbeAction::TcpSocket { .. } | ProbeAction::Grpc { .. } => {
                let ports = replica.ports.iter().map(|port| (port.number, port.address)).collect();
                let target = ProbeTarget { pod_ip: replica.pod_ip, ports, host: None };
                let profile = Profile::of_version(self.args.kubelet.as_ref().unwrap_or(&self.environment.kubelet));
                match &self.args.under_load {
                    Some(path) => under_load::diagnose(&case, &target, &profile, self.environment, path).await?,
                    None => diagnose(&case, &target, &profile).await,
                }
            }
        };
        let seen = self.seen.pod(&replica.name).and_then(|pod| pod.container(container));
        let has_killed = seen.is_some_and(|seen| seen.was_killed_by(*which));
        let start = starts.get(container).and_then(|answers| Some((answers.get(which)?, startup(answers, *which)?)));
        let diagnosis = match (start, seen) {
            // It shows what the run's history only suggests.
            (Some((answers, startup)), _) => with_start(&case, now, answers, Start { startup, has_killed }),
            (None, Some(seen)) => with_history(&case, now, seen),
            (None, None) => now,
        };
        Ok(DoctorEntry {
            component: component.name.clone(),
            pod: replica.name.clone(),
            container: container.clone(),
            which: *which,
            at_unix_ms: now_unix_ms(),
            diagnosis,
        })
    }
}

/// When the startup probe, which the other probes wait for, first succeeded: zero without one, `None` if it never did.
fn startup(answers: &BTreeMap<ProbeKind, Answers>, which: ProbeKind) -> Option<Duration> {
    match answers.get(&ProbeKind::Startup).filter(|_| which != ProbeKind::Startup) {
        Some(answers) => answers.iter().find(|(_, answer)| answer.success()).map(|(at, _)| *at),
        None => Some(Duration::ZERO),
    }
}

fn exit_code(diagnoses: &[&Diagnosis]) -> ExitCode {
    let failing: Vec<_> = diagnoses.iter().filter(|diagnosis| !diagnosis.success()).collect();
    match failing.iter().all(|diagnosis| diagnosis.cause.is_some()) {
        true if failing.is_empty() => ExitCode::Pass,
        true => ExitCode::Fail,
        false => ExitCode::Unexplained,
    }
}
