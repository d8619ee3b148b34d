//! Shared by the verbs: flags that select and change the system, the project's root, a runtime.

use std::{
    ffi::OsString,
    future::Future,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use e2e_plan::{
    EnvOverride,
    manifests::Sources,
    target::{Target, UnknownTarget},
};
use e2e_report::fault::PlannedFault;
use e2e_run::{Options, k8s};

use crate::stdin;

/// Flags of every verb.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProjectArgs {
    /// Project root, with its manifests and .config/e2e.toml.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Project")]
    root: Option<PathBuf>,
    /// Directory for runs [default: target/e2e].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Project")]
    runs: Option<PathBuf>,
}

impl ProjectArgs {
    /// A whole run of the project, before any other flag; in `otherwise` unless a flag names another root.
    pub(crate) fn options(self, otherwise: &Path) -> Result<Options> {
        let root = self.root.as_deref().unwrap_or(otherwise);
        let root = root.canonicalize().with_context(|| format!("cannot use --root {}", root.display()))?;
        let runs = self.runs.map(std::path::absolute).transpose().context("cannot use --runs")?;
        Ok(Options { runs, ..Options::new(root) })
    }
}

/// Flags of every verb that brings a system up.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SystemArgs {
    /// Target to run on; auto picks docker if an engine answers, else local. `run` accepts several, separated by commas, and
    /// compares them.
    #[arg(long, default_value = "auto", value_name = "auto|docker|local|k8s", value_parser = parse_targets)]
    target: Targets,
    #[command(flatten)]
    manifests: ManifestArgs,
    #[command(flatten)]
    changes: ChangeArgs,
    /// How long to wait for the system to be ready [default: bring_up in the configuration].
    #[arg(long, value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive)]
    bring_up: Option<Duration>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace to create in the cluster [default: e2e-RUN_ID].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Wait until the namespace is deleted.
    #[arg(long)]
    wait: bool,
    /// Id of the run.
    #[arg(long, hide = true)]
    pub(crate) run_id: Option<String>,
    /// Keep the system up in this process.
    #[arg(long, hide = true)]
    pub(crate) hold: bool,
}

/// Flags that change the components of the manifests.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Set an environment variable of a component; repeatable.
    #[arg(long, value_name = "COMPONENT[/CONTAINER].env.NAME=VALUE", value_parser = Set)]
    set: Vec<EnvOverride>,
    /// Number of replicas of a component; repeatable.
    #[arg(long, value_name = "COMPONENT=N", value_parser = parse_replicas)]
    replicas: Vec<(String, u32)>,
}

impl ChangeArgs {
    /// The same system with these changes.
    pub(crate) fn options(&self, system: Options) -> Options {
        Options { sets: self.set.clone(), replicas: self.replicas.iter().cloned().collect(), ..system }
    }
}

/// Flags that select the manifests, of every verb that reads them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ManifestArgs {
    /// Manifests to use instead of the configured ones: a file, a directory, a kustomization, a chart, or - for standard input;
    /// repeatable.
    #[arg(long, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// Shell command that prints the manifests, for example 'helm template deploy/chart'.
    #[arg(long, value_name = "COMMAND", conflicts_with = "manifests")]
    render: Option<String>,
    /// Directory with kustomize-style patches for the manifests; repeatable.
    #[arg(long, value_name = "DIR")]
    overlay: Vec<PathBuf>,
    /// Configuration file [default: .config/e2e.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ManifestArgs {
    /// The project with these manifests.
    pub(crate) fn options(&self, project: &Options) -> Result<Options> {
        Ok(Options {
            config: self.config.clone(),
            manifests: self.sources()?,
            overlays: self.overlay.clone(),
            ..project.clone()
        })
    }

    /// The same flags for another process, in any directory.
    pub(crate) fn arguments(&self) -> Result<Vec<OsString>> {
        let paths =
            |paths: &[PathBuf]| paths.iter().map(|path| absolute(path).map(OsString::from)).collect::<Result<_>>();
        let config: Vec<PathBuf> = self.config.iter().cloned().collect();
        Ok(flags([
            ("--manifests", paths(&self.manifests)?),
            ("--render", self.render.iter().map(OsString::from).collect()),
            ("--overlay", paths(&self.overlay)?),
            ("--config", paths(&config)?),
        ]))
    }

    /// The standard input of such a process, and of one with this command line.
    pub(crate) fn stdin(&self) -> Stdio {
        match self.manifests.iter().any(|path| stdin::is_meant(path)) {
            true => Stdio::inherit(),
            false => Stdio::null(),
        }
    }

    fn sources(&self) -> Result<Option<Sources>> {
        if let Some(command) = &self.render {
            let render = vec!["sh".to_owned(), "-c".to_owned(), command.clone()];
            return Ok(Some(Sources { render, ..Sources::default() }));
        }
        sources(&self.manifests)
    }
}

/// The manifests given on the command line, relative to the current directory; `None` without any.
pub(crate) fn sources(paths: &[PathBuf]) -> Result<Option<Sources>> {
    let paths = paths.iter().map(|path| absolute(path)).collect::<Result<Vec<_>>>()?;
    Ok((!paths.is_empty()).then(|| Sources { paths, ..Sources::default() }))
}

/// A path of the command line, for any directory.
fn absolute(path: &Path) -> Result<PathBuf> {
    match stdin::is_meant(path) {
        true => stdin::path(),
        false => std::path::absolute(path).with_context(|| format!("cannot use {}", path.display())),
    }
}

/// Each value after its flag.
fn flags<const N: usize>(flags: [(&str, Vec<OsString>); N]) -> Vec<OsString> {
    let named = |(flag, values): (&str, Vec<OsString>)| {
        values.into_iter().flat_map(|value| [flag.into(), value]).collect::<Vec<_>>()
    };
    flags.into_iter().flat_map(named).collect()
}

/// Flags that select a cluster.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ContextArgs {
    /// Kubeconfig context [default: the current one].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Allow this context even though it does not look like a local cluster.
    #[arg(long, value_name = "CONTEXT")]
    allow_remote: Option<String>,
}

impl ContextArgs {
    pub(crate) fn options(&self) -> k8s::Options {
        k8s::Options {
            context: self.context.clone(),
            allow_remote: self.allow_remote.clone(),
            ..k8s::Options::default()
        }
    }
}

/// Flags that select a cluster, and say how it gets the system.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    context: ContextArgs,
    /// Registry that the cluster's nodes pull from; local images are pushed there and pulled by digest.
    #[arg(long, value_name = "HOST[/PATH]", value_parser = parse_registry)]
    registry: Option<String>,
    /// Apply the manifests' cluster-scoped objects too, and remove them at the end; also `cluster_scoped` in the configuration.
    #[arg(long)]
    cluster_scoped: bool,
}

impl ClusterArgs {
    pub(crate) fn options(&self) -> k8s::Options {
        k8s::Options { registry: self.registry.clone(), cluster_scoped: self.cluster_scoped, ..self.context.options() }
    }

    /// The same flags for another process.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let value = |value: &Option<String>| value.iter().map(OsString::from).collect();
        let scoped = self.cluster_scoped.then(|| OsString::from("--cluster-scoped"));
        let named = flags([
            ("--context", value(&self.context.context)),
            ("--allow-remote", value(&self.context.allow_remote)),
            ("--registry", value(&self.registry)),
        ]);
        named.into_iter().chain(scoped).collect()
    }
}

/// A prefix of image names: `registry.example:5000/team`.
fn parse_registry(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.contains("://") && !text.contains(char::is_whitespace);
    let text = text.trim_end_matches('/');
    match is_name {
        true => Ok(text.to_owned()),
        false => Err("write it as a prefix of image names, for example registry.example:5000/team".to_owned()),
    }
}

/// Flags that change the load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// Run only this scenario; repeatable.
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Concurrent clients of each scenario.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: Option<u32>,
    /// Length of each scenario, for example 30s.
    #[arg(long, value_name = "DURATION", value_parser = e2e_plan::duration::parse_positive)]
    duration: Option<Duration>,
    /// Number of load agents for a load from inside the cluster.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    agents: u32,
    /// Generate the load inside the cluster (k8s only, its default) or on this machine.
    #[arg(long, value_name = "inside|host", value_parser = ["inside", "host"])]
    load_from: Option<String>,
    /// Seed of the clients' data.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Fault to cause during each scenario's load, such as 'kill backend-0 at 10s', 'pause postgres for 3s at 30s',
    /// 'rollout backend at random', 'partition engine from postgres for 3s at 10s', 'delay backend to redis by 50ms for 5s at 10s',
    /// 'fill redis memory for 3s at 10s', 'random any at random'; repeatable; replaces the scenarios' own faults.
    #[arg(long, value_name = "FAULT")]
    during: Vec<PlannedFault>,
    /// Seed for what --during leaves open: a component's pod, the moment of 'at random', the action, the component. Each run of --repeat
    /// has the next seed [default: the scenario's seed, in every run].
    #[arg(long, value_name = "N")]
    during_seed: Option<u64>,
}

/// The form of a result on standard output. Help texts show the variants' comments, so they have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// A target; none for `auto`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TargetChoice(pub(crate) Option<Target>);

pub(crate) fn parse_target(text: &str) -> Result<TargetChoice, UnknownTarget> {
    let target = if text == "auto" { None } else { Some(text.parse()?) };
    Ok(TargetChoice(target))
}

/// The named targets; empty for `auto`.
#[derive(Debug, Clone)]
struct Targets(Vec<Target>);

fn parse_targets(text: &str) -> Result<Targets, String> {
    let mut targets = Vec::new();
    for name in text.split(',').filter(|_| text != "auto") {
        let target = name.parse().map_err(|error: UnknownTarget| error.to_string())?;
        if targets.contains(&target) {
            return Err(format!("`{name}` is listed twice; use --repeat to run a target more than once"));
        }
        targets.push(target);
    }
    Ok(Targets(targets))
}

fn parse_replicas(text: &str) -> Result<(String, u32), String> {
    let (component, count) = of_component(text, "write COMPONENT=N")?;
    let count = count.parse().map_err(|_| format!("`{count}` is not a number of replicas; write COMPONENT=N"))?;
    Ok((component, count))
}

/// What a component is given, `COMPONENT=WHAT` with something on both sides, or else the remedy.
pub(crate) fn of_component(text: &str, remedy: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(component, what)| !component.is_empty() && !what.is_empty());
    parts.map(|(component, what)| (component.to_owned(), what.to_owned())).ok_or_else(|| remedy.to_owned())
}

impl SystemArgs {
    /// The named targets.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.target.0
    }

    /// Exits with a usage error when several targets were named and `what` needs one.
    pub(crate) fn one_target(&self, what: &str) {
        if self.target.0.len() > 1 {
            let text = format!("{what} leaves the system running and takes a single target\n");
            clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text).exit();
        }
    }

    /// The options of a run, on the first target.
    pub(crate) fn options(&self, load: Option<&LoadArgs>, project: &Options) -> Result<Options> {
        let system = Options {
            target: self.target.0.first().copied(),
            cluster: k8s::Options { namespace: self.namespace.clone(), wait: self.wait, ..self.cluster.options() },
            bring_up: self.bring_up,
            scenarios: load.map_or_else(Vec::new, |load| load.scenarios.clone()),
            clients: load.and_then(|load| load.clients),
            duration: load.and_then(|load| load.duration),
            seed: load.and_then(|load| load.seed),
            during: load.map_or_else(Vec::new, |load| load.during.clone()),
            during_seed: load.and_then(|load| load.during_seed),
            agents: load.map(|load| load.agents),
            load_from_host: load.and_then(|load| load.load_from.as_ref()).map(|from| from == "host"),
            hold: self.hold,
            run_id: self.run_id.clone(),
            ..self.manifests.options(project)?
        };
        Ok(self.changes.options(system))
    }

    /// The standard input of a process with the same command line.
    pub(crate) fn stdin(&self) -> Stdio {
        self.manifests.stdin()
    }
}

/// Prints a result for programs.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Runs asynchronous work to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    Ok(runtime.block_on(work))
}

/// Reads `--set`. Unlike clap's own parsers, it does not show a malformed argument, in which a secret may stand.
#[derive(Debug, Clone)]
pub(crate) struct Set;

impl clap::builder::TypedValueParser for Set {
    type Value = EnvOverride;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<EnvOverride, clap::Error> {
        let fail = |error: String| {
            let message = format!("invalid value for '--set': {error}\n");
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command)
        };
        let text = value.to_str().ok_or_else(|| fail("it is not UTF-8".to_owned()))?;
        text.parse().map_err(|error: e2e_plan::Error| fail(error.to_string()))
    }
}
