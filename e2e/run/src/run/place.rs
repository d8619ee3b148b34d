//! Where a run goes, and what it needs there: images, programs, a cluster that can take it. Main type: [`Place`]; the steps are
//! [`choose`], [`stock`] with [`lay_out`] beside it, and [`provide`].

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use e2e_plan::{target::Target, words::counted};
use e2e_report::environment::LoadFrom;
use k8s_openapi::api::core::v1::Node;

use super::{Error, Options, Signal, prepare::Prepared};
use crate::{
    image,
    progress::Progress,
    provider::{
        self, Provider,
        docker::{DockerPods, engine::Engine},
        k8s::{self, Cluster, K8sPods},
        local::{FoundPrograms, LocalPods},
        pods::PodSpec,
    },
};

/// Where a run goes, with the connection to what runs it.
pub(super) enum Place {
    Docker(Engine),
    Local,
    K8s(Box<Cluster>),
}

impl Place {
    /// Its name.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Docker(_) => Target::Docker,
            Self::Local => Target::Local,
            Self::K8s(_) => Target::K8s,
        }
    }
}

/// From inside where there are agents, unless something else was asked for.
pub(super) fn load_from(options: &Options, place: &Place) -> Result<LoadFrom, Error> {
    let inside = LoadFrom::Inside { agents: options.agents };
    match (options.load_from_host, place) {
        (Some(true), _) | (None, Place::Docker(_) | Place::Local) => Ok(LoadFrom::Host),
        (Some(false) | None, Place::K8s(_)) => Ok(inside),
        (Some(false), Place::Docker(_) | Place::Local) => Err(provider::Error::LoadFromHost.into()),
    }
}

/// What was asked for; else docker when an engine answers, else local, and says which and why.
pub(super) async fn choose(options: &Options, run_id: &str, progress: &Progress) -> Result<Place, Error> {
    match options.target {
        Some(Target::K8s) => {
            let cluster = Cluster::connect(&options.cluster, run_id).await.map_err(provider::Error::from)?;
            progress.line(format!("target k8s: {}, namespace {}", cluster.description(), cluster.namespace));
            Ok(Place::K8s(Box::new(cluster)))
        }
        Some(Target::Local) => Ok(Place::Local),
        Some(Target::Docker) => Ok(Place::Docker(Engine::connect(run_id).await?)),
        None => match Engine::connect(run_id).await {
            Ok(engine) => {
                progress.line(format!("target docker: {} answers", engine.description()));
                Ok(Place::Docker(engine))
            }
            Err(error) => {
                progress.line(format!("target local: {error}"));
                Ok(Place::Local)
            }
        },
    }
}

/// Brings images, or programs that stand for them, which may take minutes the first time. Returns the programs.
pub(super) async fn stock(prepared: &Prepared, progress: &Progress) -> Result<FoundPrograms, Error> {
    let Prepared { config, pods, root, .. } = prepared;
    match &prepared.place {
        Place::Docker(engine) => {
            ensure(prepared, engine, &all_images(pods), progress).await?;
        }
        Place::Local => {
            let say = |text| progress.line(text);
            return Ok(provider::local::find_programs(&config.local, pods, root, &say).await?);
        }
        Place::K8s(cluster) => stock_cluster(prepared, cluster, progress).await?,
    }
    Ok(FoundPrograms::new())
}

/// A provider that was made beside [`stock`], and how long that took.
pub(super) struct LaidOut {
    pub(super) provider: Provider,
    pub(super) took: Duration,
}

/// Makes what needs neither images nor programs, beside [`stock`]: the network of pods in an engine, and the first pod's place in
/// it. `None` where there is no such thing, or where a signal came first. As [`provide`], it must not be cut short.
pub(super) async fn lay_out(
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
) -> Result<Option<LaidOut>, Error> {
    let Place::Docker(engine) = &prepared.place else { return Ok(None) };
    let sandbox = [image::SANDBOX_IMAGE.to_owned()];
    let Some(ensured) = signal.or(ensure(prepared, engine, &sandbox, progress)).await else { return Ok(None) };
    ensured?;
    let began = Instant::now();
    let pods = docker_pods(prepared, engine).await?;
    pods.prepare_first().await;
    Ok(Some(LaidOut { provider: Provider::Docker(pods), took: began.elapsed() }))
}

/// Makes networks, volumes, files and ports; in a cluster, everything. It must not be cut short: a call under way could make
/// something behind the removal's back.
pub(super) async fn provide(prepared: &Prepared, programs: &FoundPrograms) -> Result<Provider, Error> {
    let Prepared { plan, pods, root, directory, .. } = prepared;
    Ok(match &prepared.place {
        Place::Docker(engine) => Provider::Docker(docker_pods(prepared, engine).await?),
        Place::Local => Provider::Local(LocalPods::prepare(plan, pods.clone(), programs, root, directory)?),
        Place::K8s(cluster) => {
            let pods = K8sPods::prepare((**cluster).clone(), pods.clone(), plan).await;
            Provider::K8s(pods.map_err(provider::Error::from)?)
        }
    })
}

async fn docker_pods(prepared: &Prepared, engine: &Engine) -> Result<DockerPods, Error> {
    let Prepared { plan, pods, directory, published_ports, .. } = prepared;
    Ok(DockerPods::prepare(engine.clone(), pods.clone(), &plan.services, directory, *published_ports).await?)
}

/// Asks the cluster whether it can run the system, brings it the images, and lets what is leaving make room.
async fn stock_cluster(prepared: &Prepared, cluster: &Cluster, progress: &Progress) -> Result<(), Error> {
    let agents = if prepared.load_from == LoadFrom::Host { 0 } else { prepared.agents };
    let requested = k8s::room::Room::requested(&prepared.pods, agents);
    let preflight = k8s::preflight::check(cluster, &prepared.plan, requested);
    let (preflight, engine) = tokio::join!(preflight, Engine::connect(&cluster.run_id));
    let preflight = preflight.map_err(provider::Error::from)?;
    progress.line(&preflight.summary);
    preflight.warnings.iter().for_each(|warning| progress.line(format!("warning: {warning}")));
    let orphans = k8s::leftovers::remove_orphans(cluster).await.map_err(provider::Error::from)?;
    if orphans > 0 {
        progress.line(format!("removed what earlier runs left: {}", counted(orphans as u64, "namespace")));
    }
    bring_images(prepared, cluster, &preflight.nodes, engine.ok(), progress).await?;
    let waited = k8s::room::wait(requested, cluster, &preflight.nodes, |text| progress.line(text)).await;
    if let Err(still_held) = waited {
        // The scheduler decides, and its words are in the report.
        progress.line(format!("warning: {still_held}"));
    }
    Ok(())
}

/// Brings the cluster's nodes the images that they cannot pull.
async fn bring_images(
    prepared: &Prepared,
    cluster: &Cluster,
    nodes: &[Node],
    engine: Option<Engine>,
    progress: &Progress,
) -> Result<(), Error> {
    let way = k8s::images::Way::of(&cluster.context, nodes, engine.as_ref().map(Engine::version));
    let Some(engine) = engine.filter(|_| way != k8s::images::Way::Registry) else {
        progress.line("the cluster's nodes pull the images that they do not have");
        return Ok(());
    };
    // An image that nobody here can make is the nodes' affair: a registry that they know may have it.
    let known = prepared.config.images.with_built_in();
    let mut images = all_images(&prepared.pods);
    if prepared.load_from != LoadFrom::Host {
        images.push(image::AGENT_IMAGE.to_owned());
    }
    let ours: Vec<String> = images.iter().filter(|image| known.0.contains_key(*image)).cloned().collect();
    ensure(prepared, &engine, &ours, progress).await?;
    // With what the engine has besides, such as an image that somebody built by hand.
    let here = image::present(engine.client(), &images).await.map_err(provider::Error::from)?;
    if let Some(command) = way.command(&here) {
        progress.line(format!("bringing images into the cluster: {}", command.join(" ")));
        k8s::images::copy(&command).await.map_err(provider::Error::from)?;
    }
    Ok(())
}

/// Every image of the pods, each once.
fn all_images(pods: &[PodSpec]) -> Vec<String> {
    let images = pods.iter().flat_map(|pod| pod.all_containers().map(|container| container.image.clone()));
    images.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Makes sure that the engine has images.
async fn ensure(prepared: &Prepared, engine: &Engine, images: &[String], progress: &Progress) -> Result<(), Error> {
    let Prepared { config, root, .. } = prepared;
    let say = |event| say(progress, &event);
    let ensured = image::ensure(engine.client(), images, &config.images.with_built_in(), root, &say).await;
    progress.live_done();
    ensured.map(drop).map_err(|error| provider::Error::from(error).into())
}

/// One line for what took time, and now and then what a build is at; nothing for images that were there.
pub(super) fn say(progress: &Progress, event: &image::Event) {
    match event {
        image::Event::Pulling(_) => {}
        image::Event::Line { image, line } => progress.step(&format!("{image}: {}", line.trim())),
        image::Event::Making(image) => {
            progress.line(format!("making the image {image}, which this engine does not have"))
        }
        image::Event::Foreign(image) => {
            progress.line(format!("using the image {image} that the engine has, although its recipe did not make it"));
        }
        image::Event::Done(outcome) if outcome.how == image::How::Present => {}
        image::Event::Done(outcome) => {
            let how = if outcome.how == image::How::Pulled { "pulled" } else { "made" };
            progress.line(format!("{how} {} in {}", outcome.image, e2e_plan::duration::human(outcome.took)));
        }
    }
}
