//! From flags to a provider: configuration, plan, run directory, and what earlier runs left. Main functions: [`prepare`], [`provide`].

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use super::{Error, Options, Signal, suites};
use crate::{
    config::{self, Config},
    control, env_vars,
    environment::Warning,
    host::host,
    image, manifests,
    plan::{Input, Plan},
    progress::Progress,
    provider::{
        self, Provider,
        docker::{DockerPods, engine::Engine},
        local::LocalPods,
        owner::Owner,
        pods::{self, PodSpec},
    },
    report::Request,
    run_dir::{self, RunDir, new_run_id, random_hex},
    target::Target,
};

/// All that is decided before anything starts.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) plan: Plan,
    pub(super) pods: Vec<PodSpec>,
    pub(super) target: Target,
    pub(super) directory: RunDir,
    pub(super) root: std::path::PathBuf,
    /// By `name/key`.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
    engine: Option<Engine>,
}

impl Prepared {
    /// What a signal makes of the run.
    pub(super) fn interrupted(&self) -> Error {
        Error::Interrupted { directory: self.directory.path().to_owned() }
    }
}

/// The file that names the process which owns a run.
const OWNER: &str = "owner";

/// Reads everything, decides everything, starts nothing.
pub(super) async fn prepare(options: &Options, progress: &Progress) -> Result<Prepared, Error> {
    let mut config = options.read_config()?;
    let scenario = &mut config.scenario;
    scenario.clients = options.clients.unwrap_or(scenario.clients);
    scenario.registration = options.duration.unwrap_or(scenario.registration);
    scenario.throughput = options.duration.unwrap_or(scenario.throughput);
    scenario.seed = options.seed.unwrap_or(scenario.seed);
    scenario.check()?;
    let plan = plan(options, &config)?;
    config.entrance = entrance(config.entrance, &plan)?;
    if options.update_snapshots && config.snapshot_test.is_empty() {
        return Err(config::Error::Invalid {
            key: "snapshot_test",
            value: "not set".to_owned(),
            remedy: "set the command that runs the snapshot test, or leave --update-snapshots out".to_owned(),
        }
        .into());
    }

    if options.suites {
        suites::check(&config.suites, &options.root)?;
    }
    let id = options.run_id.clone().unwrap_or_else(new_run_id);
    let (target, engine) = choose_target(options.target, &id, progress).await?;
    let removed = leftovers(&options.runs(), engine.as_ref()).await?;
    if removed.any() {
        progress.line(format!("removed what earlier runs left: {removed}"));
    }
    let mut secrets: BTreeMap<String, String> = plan
        .secrets()
        .into_iter()
        .map(|secret| (format!("{}/{}", secret.name, secret.key), secret.text.clone()))
        .collect();
    secrets.insert(control::TOKEN.to_owned(), random_hex());
    let request = request(options, &config);
    // The last step, and one that nothing can interrupt: whatever fails before it leaves nothing behind.
    let directory = RunDir::create(&options.runs(), &id, |directory| {
        directory.write(OWNER, &Owner::this_process().to_string())?;
        let text = serde_json::to_string_pretty(&secrets).unwrap_or_default();
        directory.write_private(run_dir::SECRETS, &text)?;
        directory.write_json(run_dir::REQUEST, &request).map(drop)
    })?;
    let warnings = warnings(&plan, target);
    Ok(Prepared {
        pods: pods::of(&plan),
        config,
        plan,
        target,
        directory,
        root: options.root.clone(),
        secrets,
        warnings,
        engine,
    })
}

fn plan(options: &Options, config: &Config) -> Result<Plan, Error> {
    let overlays = options.overlays.iter().map(|directory| manifests::read_overlay(directory));
    let mut manifests = manifests::read_dir(&options.root.join(&config.manifests))?;
    for manifest in &mut manifests {
        // As people name it; also the same on every machine, which snapshots need.
        if let Ok(short) = manifest.file.strip_prefix(&options.root) {
            manifest.file = short.to_owned();
        }
    }
    Ok(Plan::from_manifests(Input {
        manifests,
        overlays: overlays.collect::<Result<_, _>>()?,
        sets: options.sets.clone(),
        replicas: options.replicas.clone(),
        generate: &mut |_, _| random_hex(),
    })?)
}

/// The Service that the configuration names, or else that of the only component which no other one refers to.
fn entrance(configured: Option<String>, plan: &Plan) -> Result<Option<String>, config::Error> {
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    match configured {
        Some(name) if names.contains(&name.as_str()) => Ok(Some(name)),
        Some(name) => Err(config::Error::Invalid {
            key: "entrance",
            value: format!("`{name}`"),
            remedy: format!("name one of the Services of the manifests: {}", names.join(", ")),
        }),
        None => {
            let is_referred_to = |name: &String| plan.components.iter().any(|other| other.depends_on.contains(name));
            let mut outermost = plan
                .services
                .iter()
                .filter(|service| !service.components.is_empty() && !service.components.iter().any(is_referred_to));
            let first = outermost.next();
            Ok(first.filter(|_| outermost.next().is_none()).map(|service| service.name.clone()))
        }
    }
}

fn request(options: &Options, config: &Config) -> Request {
    let set = |set: &crate::plan::Set| format!("{}.env.{}={}", set.component, set.name, set.value);
    let replicas = options.replicas.iter().map(|(component, count)| format!("{component}.replicas={count}"));
    Request {
        started_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        scenario: config.scenario.clone(),
        thresholds: config.thresholds.clone(),
        overlays: options.overlays.iter().map(|path| path.display().to_string()).collect(),
        sets: options.sets.iter().map(set).chain(replicas).collect(),
        host: host(),
    }
}

/// Docker when an engine answers, else local; says which and why.
async fn choose_target(
    asked: Option<Target>,
    run_id: &str,
    progress: &Progress,
) -> Result<(Target, Option<Engine>), Error> {
    match asked {
        Some(Target::K8s) => Err(Error::NoKubernetes),
        Some(Target::Local) => Ok((Target::Local, None)),
        Some(Target::Docker) => Ok((Target::Docker, Some(Engine::connect(run_id).await?))),
        None => match Engine::connect(run_id).await {
            Ok(engine) => {
                progress.line(format!("target docker: {} answers", engine.description()));
                Ok((Target::Docker, Some(engine)))
            }
            Err(error) => {
                progress.line(format!("target local: {error}"));
                Ok((Target::Local, None))
            }
        },
    }
}

fn warnings(plan: &Plan, target: Target) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = plan
        .warnings(target)
        .into_iter()
        .map(|warning| Warning {
            source: warning.source.to_string(),
            subject: format!("{} {}", warning.object, warning.path),
            message: warning.reason.to_string(),
        })
        .collect();
    warnings.sort();
    warnings
}

/// Brings images or programs, which may take minutes the first time; then network, volumes, files and ports, with the moment at
/// which that began: bring-up is measured from there.
pub(super) async fn provide(
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
) -> Result<(Provider, Instant), Error> {
    let Prepared { config, pods, plan, root, directory, .. } = prepared;
    let interrupted = || prepared.interrupted();
    Ok(match &prepared.engine {
        Some(engine) => {
            signal.or(images(prepared, engine, progress)).await.ok_or_else(interrupted)??;
            let started = Instant::now();
            // A signal waits for the end of this step: a call that is cut short could make something behind the removal's back.
            (
                Provider::Docker(DockerPods::prepare(engine.clone(), pods.clone(), &plan.services, directory).await?),
                started,
            )
        }
        None => {
            let say = |text| progress.line(text);
            let found = provider::local::find_programs(&config.local, pods, root, &say);
            let found = signal.or(found).await.ok_or_else(interrupted)??;
            let started = Instant::now();
            (Provider::Local(LocalPods::prepare(plan, pods.clone(), &found, root, directory)?), started)
        }
    })
}

async fn images(prepared: &Prepared, engine: &Engine, progress: &Progress) -> Result<(), Error> {
    let Prepared { config, pods, root, .. } = prepared;
    let mut images: Vec<String> =
        pods.iter().flat_map(|pod| pod.all_containers().map(|container| container.image.clone())).collect();
    images.push(image::SANDBOX_IMAGE.to_owned());
    images.sort();
    images.dedup();
    let say = |event| say(progress, &event);
    image::ensure(engine.client(), &images, &config.images.with_built_in(), root, &say)
        .await
        .map_err(provider::Error::from)?;
    Ok(())
}

/// Name and version of the Docker engine that answers.
pub async fn docker_engine() -> Result<String, Error> {
    Ok(Engine::connect("probe").await?.description().to_owned())
}

/// Makes sure that the engine has every image that the configuration describes.
pub async fn make_images(options: &Options, progress: &Progress) -> Result<Vec<image::Outcome>, Error> {
    let config = options.read_config()?;
    let engine = Engine::connect("images").await?;
    let recipes = config.images.with_built_in();
    let images: Vec<String> = recipes.0.keys().cloned().collect();
    let say = |event| say(progress, &event);
    Ok(image::ensure(engine.client(), &images, &recipes, &options.root, &say).await.map_err(provider::Error::from)?)
}

/// One line for what took time; nothing for images that were there.
fn say(progress: &Progress, event: &image::Event) {
    match event {
        image::Event::Pulling(_) | image::Event::Line { .. } => {}
        image::Event::Making(image) => {
            progress.line(format!("making the image {image}, which this engine does not have"))
        }
        image::Event::Foreign(image) => {
            progress.line(format!("using the image {image} that the engine has, although its recipe did not make it"));
        }
        image::Event::Done(outcome) if outcome.how == image::How::Present => {}
        image::Event::Done(outcome) => {
            let how = if outcome.how == image::How::Pulled { "pulled" } else { "made" };
            progress.line(format!("{how} {} in {}", outcome.image, crate::duration::human(outcome.took)));
        }
    }
}

/// Removes what a preparation that did not finish has made.
pub(super) async fn abandon(prepared: &Prepared) {
    if let Some(engine) = &prepared.engine {
        // What cannot be removed now is removed by the next run, by its label.
        let _ = engine.remove_run().await;
    }
    discard(prepared.directory.path());
}

/// What earlier runs left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Containers.
    pub containers: usize,
    /// Networks.
    pub networks: usize,
    /// Volumes.
    pub volumes: usize,
    /// Private directories of runs.
    pub directories: usize,
}

impl Leftovers {
    /// Whether there was anything.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl std::fmt::Display for Leftovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { containers, networks, volumes, directories } = self;
        write!(f, "{containers} containers, {networks} networks, {volumes} volumes, {directories} private directories")
    }
}

/// Removes what runs left whose process is gone, in the engine and below `runs`. Nothing that is not ours is touched.
async fn leftovers(runs: &Path, engine: Option<&Engine>) -> Result<Leftovers, Error> {
    let mut leftovers = Leftovers::default();
    if let Some(engine) = engine {
        let removed = engine.remove_orphans().await?;
        leftovers = Leftovers {
            containers: removed.containers,
            networks: removed.networks,
            volumes: removed.volumes,
            directories: 0,
        };
    }
    for run in fs::read_dir(runs.join("runs")).into_iter().flatten().flatten() {
        let owner = fs::read_to_string(run.path().join(OWNER)).ok();
        if !owner.and_then(|owner| Owner::parse(&owner)).is_some_and(|owner| owner.is_alive()) {
            leftovers.directories += usize::from(discard(&run.path()));
        }
    }
    Ok(leftovers)
}

/// [`leftovers`] for the command that does nothing else; an engine that does not answer is passed over.
pub async fn collect_garbage(runs: &Path) -> Result<Leftovers, Error> {
    let engine = Engine::connect("gc").await.ok();
    leftovers(runs, engine.as_ref()).await
}

/// Removes private data and secrets of a run; `true` when there was some. The secrets go last: who sees them gone knows that
/// all is.
pub(super) fn discard(run: &Path) -> bool {
    let mut found = false;
    if let Ok(outside) = fs::read_link(run.join(provider::local::OUTSIDE)) {
        found |= fs::remove_dir_all(outside).is_ok();
        let _ = fs::remove_file(run.join(provider::local::OUTSIDE));
    }
    found |= fs::remove_dir_all(run.join(run_dir::WORK)).is_ok();
    found | fs::remove_file(run.join(run_dir::SECRETS)).is_ok()
}

/// The environment of child commands: nothing of a surrounding run must reach them.
pub(super) const INHERITED: [&str; 3] = [env_vars::E2E_ENVIRONMENT, env_vars::E2E_RUN, env_vars::INSTA_UPDATE];
