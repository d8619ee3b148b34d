//! Provides what a run needs where it takes place: images, programs, room in a cluster, then the pods' surroundings. The steps are
//! [`supply`] concurrently with [`provide_early`], and [`provide`]; [`abandon`] undoes them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use e2e_plan::{Container, duration::human, words::counted};
use e2e_report::environment::LoadFrom;
use k8s_openapi::api::core::v1::Node;

use super::{Error, Options, Signal, connection::Connection, prepared::Prepared};
use crate::{
    image,
    leftovers::discard,
    progress::Progress,
    provider::{
        Provider,
        docker::{DockerPods, engine::Engine},
        k8s::{self, Cluster, K8sPods, images::Delivery, preflight::Preflight},
        local::{FoundPrograms, LocalPods},
        pods::PodSpec,
    },
    supply::Supply,
};

/// Supplies images, or the programs that replace them, which may take minutes the first time. Returns the programs.
pub(super) async fn supply(prepared: &Prepared, progress: &Progress) -> Result<FoundPrograms, Error> {
    let Prepared { supply, pods, .. } = prepared;
    match &prepared.connection {
        Connection::Docker(engine) => {
            ensure(supply, engine, &all_images(containers(pods)), progress).await?;
        }
        Connection::Local => {
            let say = |text| progress.line(text);
            return Ok(supply.programs(pods, &say).await?);
        }
        Connection::K8s(cluster) => supply_cluster(prepared, cluster, progress).await?,
    }
    Ok(FoundPrograms::new())
}

/// Creates what needs neither images nor programs during [`supply`]: the pods' network in an engine, and the first pod's sandbox. Returns
/// the provider, and how long that took; `None` on other targets, or if a signal came first. Like [`provide`], it must not be cut short.
pub(super) async fn provide_early(
    prepared: &Prepared,
    signal: &Signal,
    progress: &Progress,
) -> Result<Option<(Provider, Duration)>, Error> {
    let Prepared { config, connection: Connection::Docker(engine), .. } = prepared else { return Ok(None) };
    let sandbox = [image::SANDBOX_IMAGE.to_owned()];
    let Some(ensured) = signal.unless_interrupted(ensure(&prepared.supply, engine, &sandbox, progress)).await else {
        return Ok(None);
    };
    ensured?;
    let began = Instant::now();
    let pods = docker_pods(prepared, engine).await?;
    // The others wait for the pod that starts first, and alone its sandbox takes half as long as next to another.
    pods.make_sandboxes(1, 1).await;
    pods.prove(config.scenario.values().flat_map(|scenario| &scenario.during)).await?;
    Ok(Some((Provider::Docker(pods), began.elapsed())))
}

/// Creates networks, volumes, files and ports; in a cluster, everything. It must not be cut short: a pending call could create
/// something after the removal.
pub(super) async fn provide(prepared: &Prepared, programs: &FoundPrograms) -> Result<Provider, Error> {
    let Prepared { options, plan, pods, directory, .. } = prepared;
    Ok(match &prepared.connection {
        Connection::Docker(engine) => Provider::Docker(docker_pods(prepared, engine).await?),
        Connection::Local => {
            Provider::Local(LocalPods::prepare(plan, pods.clone(), programs, &options.root, directory)?)
        }
        Connection::K8s(cluster) => Provider::K8s(K8sPods::prepare((**cluster).clone(), pods.clone(), plan).await?),
    })
}

/// Removes only what an unfinished provision created. If that fails, the next run removes it by its label.
pub(super) async fn abandon(prepared: &Prepared) -> Result<(), Error> {
    let removed = match &prepared.connection {
        Connection::Docker(engine) => engine.remove_run().await.map(drop).map_err(Error::from),
        Connection::K8s(cluster) => k8s::leftovers::remove(cluster).await.map_err(Error::from),
        Connection::Local => Ok(()),
    };
    discard(prepared.directory.path());
    removed
}

async fn docker_pods(prepared: &Prepared, engine: &Engine) -> Result<DockerPods, Error> {
    let Prepared { options, plan, pods, directory, .. } = prepared;
    Ok(DockerPods::prepare(engine.clone(), pods.clone(), &plan.services, directory, options.published_ports).await?)
}

/// Checks that the cluster can run the system, brings it the images, and waits for terminating pods to make room.
async fn supply_cluster(prepared: &Prepared, cluster: &Cluster, progress: &Progress) -> Result<(), Error> {
    let agents = match prepared.load_from {
        LoadFrom::Host => 0,
        LoadFrom::Inside { agents } => agents,
    };
    let requested = k8s::room::Capacity::requested(&prepared.pods, agents);
    let during = prepared.config.scenario.values().flat_map(|scenario| &scenario.during);
    let preflight = k8s::preflight::check(cluster, &prepared.plan, during, requested);
    let (preflight, engine) = tokio::join!(preflight, Engine::connect(&cluster.run_id));
    let preflight = preflight?;
    progress.line(&preflight.summary);
    preflight.warnings.iter().for_each(|warning| progress.line(format!("warning: {warning}")));
    let orphans = k8s::leftovers::remove_orphans(cluster).await?;
    if orphans > 0 {
        progress.line(format!("removed leftovers of earlier runs: {}", counted(orphans as u64, "namespace")));
    }
    bring_images(prepared, cluster, &preflight, engine.ok(), progress).await?;
    let waited = k8s::room::wait(requested, cluster, &preflight.usable, |text| progress.line(text)).await;
    if let Err(still_held) = waited {
        // The scheduler decides, and the report quotes it.
        progress.line(format!("warning: {still_held}"));
    }
    Ok(())
}

/// Copies images that the nodes cannot pull to the cluster.
async fn bring_images(
    prepared: &Prepared,
    cluster: &Cluster,
    preflight: &Preflight,
    engine: Option<Engine>,
    progress: &Progress,
) -> Result<(), Error> {
    let version = engine.as_ref().map(|engine| engine.version.as_str());
    let delivery = Delivery::of(&cluster.context, &preflight.nodes, version, cluster.options.registry.as_deref());
    // A cluster's schedule starts CronJobs whether they are triggered or not.
    let of_cron_jobs = prepared.plan.cron_jobs.iter().flat_map(|cron_job| cron_job.job.pod.all_containers());
    let mut images = all_images(containers(&prepared.pods).chain(of_cron_jobs));
    if prepared.load_from != LoadFrom::Host {
        images.push(image::AGENT_IMAGE.to_owned());
    }
    let Some(engine) = engine else {
        progress.line("the cluster's nodes pull missing images themselves: no Docker engine answers here");
        return Ok(());
    };
    // The nodes may get other images from a registry that they know.
    let supply = &prepared.supply;
    if delivery != Delivery::Pull {
        ensure(supply, &engine, &supply.own(&images), progress).await?;
    }
    let only_here = image::only_here(&engine.client, &images, &supply.images).await?;
    if !matches!(delivery, Delivery::Push(_)) {
        let lacks = k8s::images::always_pulled(&prepared.plan.objects, &only_here);
        if !lacks.is_empty() {
            return Err(k8s::Error::Preflight { lacks }.into());
        }
    }
    // Including other images of the engine, such as one built by hand.
    let here = image::present(&engine.client, &images).await?;
    if delivery == Delivery::Pull {
        return leave_to_nodes(&preflight.usable, &images, &only_here, progress);
    }
    if let Some(command) = delivery.command(&here) {
        progress.line(format!("bringing images into the cluster: {command}"));
    }
    let pushed = k8s::images::bring(&delivery, &engine.client, &here).await?;
    cluster.note_pushed(pushed);
    Ok(())
}

/// Reports the images that nodes must pull, unless they cannot.
fn leave_to_nodes(nodes: &[Node], images: &[String], only_here: &[String], progress: &Progress) -> Result<(), Error> {
    let lacking = images.iter().map(|image| (image, k8s::images::lacking(nodes, image)));
    let lacking: Vec<(&String, Vec<String>)> = lacking.filter(|(_, nodes)| !nodes.is_empty()).collect();
    let (lost, pulled): (Vec<_>, Vec<_>) = lacking.into_iter().partition(|(image, _)| only_here.contains(image));
    let named = |(image, nodes): (&String, Vec<String>)| format!("{image} ({})", nodes.join(", "));
    if !lost.is_empty() {
        let lacks = lost.into_iter().map(named).collect();
        return Err(k8s::Error::OnlyHere { lacks }.into());
    }
    let pulled: Vec<String> = pulled.into_iter().map(named).collect();
    progress.line(match pulled.is_empty() {
        true => "the cluster's nodes have the images".to_owned(),
        false => format!("the cluster's nodes pull missing images: {}", pulled.join(", ")),
    });
    Ok(())
}

/// The images of containers, each once.
fn all_images<'a>(containers: impl Iterator<Item = &'a Container>) -> Vec<String> {
    containers.map(|container| container.image.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn containers(pods: &[PodSpec]) -> impl Iterator<Item = &Container> {
    pods.iter().flat_map(PodSpec::all_containers)
}

/// Provides every configured image to the engine.
pub async fn make_images(options: &Options, progress: &Progress) -> Result<Vec<image::Outcome>, Error> {
    let supply = Supply::of(&options.read_config()?, &options.root);
    let engine = Engine::connect("images").await?;
    let images: Vec<String> = supply.images.0.keys().cloned().collect();
    ensure(&supply, &engine, &images, progress).await
}

async fn ensure(
    supply: &Supply,
    engine: &Engine,
    images: &[String],
    progress: &Progress,
) -> Result<Vec<image::Outcome>, Error> {
    let ensured = supply.ensure(engine, images, &|event| say(progress, &event)).await;
    progress.live_done();
    Ok(ensured?)
}

/// A line for each slow step, and a build's progress now and then; nothing for present images.
fn say(progress: &Progress, event: &image::Event) {
    match event {
        image::Event::Line { image, line } => progress.step(&format!("{image}: {}", line.trim())),
        image::Event::Making(image) => {
            progress.line(format!("building the image {image}, which this engine does not have"))
        }
        image::Event::Foreign(image) => {
            progress.line(format!("using the engine's image {image}, which was not built by its recipe"));
        }
        image::Event::Done(outcome) if outcome.origin == image::Origin::Present => {}
        image::Event::Done(image::Outcome { image, origin, took }) => {
            progress.line(format!("{origin} {image} in {}", human(*took)));
        }
    }
}
