//! Decisions before anything starts: configuration, plan, place, run directory. Also removes leftovers of earlier runs.
//! Main function: [`prepare`].

use std::collections::BTreeMap;

use e2e::control;
use e2e_plan::{
    Component, Container, Input, Missing, OutsideObject, Plan, Volume, Warning, manifests::Sources, target::Target,
};
use e2e_report::{
    fault::resolve::{Strategy, Victim, resolve},
    request::Request,
    run_dir::{self, RunDir, new_run_id, random_hex},
};

use super::{
    Error, Options,
    connection::{self, Connection},
    prepared::Prepared,
    suites,
};
use crate::{
    config::{self, Config},
    git,
    host::host,
    leftovers::{Leftovers, OWNER_FILE, active},
    progress::Progress,
    provider::{docker::engine::Engine, k8s::Cluster, local, owner::Owner, pods},
    supply::Supply,
};

/// Reads everything, decides everything, starts nothing.
pub(super) async fn prepare(options: &Options, progress: &Progress) -> Result<Prepared, Error> {
    let mut config = configured(options)?;
    let mut options = options.clone();
    options.cluster.cluster_scoped |= config.cluster_scoped;
    let options = &options;
    let plan = plan_to_run(options, &config)?;
    config.entrance = entrance(config.entrance, &plan)?;
    if !options.up_only {
        suites::check(&config.suites, &options.root)?;
    }
    let id = options.run_id.clone().unwrap_or_else(new_run_id);
    let connection = connection::choose(options, &id, progress).await?;
    check(&plan, connection.target())?;
    resolve_faults(&mut config, &plan, connection.target(), options)?;
    let load_from = connection::load_from(options, &connection)?;
    clear(options, &connection, progress).await?;
    let mut secrets: BTreeMap<String, String> = plan
        .secrets()
        .into_iter()
        .map(|secret| (format!("{}/{}", secret.name, secret.key), secret.text.clone()))
        .collect();
    secrets.insert(control::TOKEN.to_owned(), random_hex());
    let request = request(options, &config, &plan);
    // Last and uninterruptible: a failure before this step leaves nothing behind.
    let directory = RunDir::create(&options.runs(), &id, |directory| {
        directory.write(OWNER_FILE, &Owner::this_process().to_string())?;
        let text = serde_json::to_string_pretty(&secrets).unwrap_or_default();
        directory.write_private(run_dir::SECRETS, &text)?;
        directory.write_json(run_dir::REQUEST, &request).map(drop)
    })?;
    let warnings = warnings(options, &config, &plan, connection.target());
    Ok(Prepared {
        pods: pods::of(&plan, &directory.id()),
        options: options.clone(),
        supply: Supply::of(&config, &options.root),
        config,
        plan,
        directory,
        secrets,
        warnings,
        load_from,
        connection,
    })
}

/// The configuration with what the options say in its place.
fn configured(options: &Options) -> Result<Config, Error> {
    let mut config = options.chosen()?;
    for scenario in config.scenario.values_mut() {
        scenario.duration = options.duration.unwrap_or(scenario.duration);
    }
    config.bring_up = options.bring_up.unwrap_or(config.bring_up);
    config.check_scenarios()?;
    if let Some(filter) = &options.filter {
        if !config.needs_nextest() {
            return Err(Error::FilterWithoutNextest { suites: config.suites.join(" ") });
        }
        config.suites.extend(["--filterset".to_owned(), filter.clone()]);
    }
    if options.update_snapshots && config.snapshots.is_none() {
        let remedy = "set their directory, or leave --update-snapshots out";
        return Err(config::invalid::<config::Error>("snapshots", &"not set", remedy).into());
    }
    Ok(config)
}

/// Removes what dead runs left, and says which others are active.
async fn clear(options: &Options, connection: &Connection, progress: &Progress) -> Result<(), Error> {
    let mut removed = Leftovers::default();
    removed.remove_directories(&options.runs());
    // In a cluster the preflight comes first: it lists all missing rights at once.
    if let Connection::Docker(engine) = connection {
        removed.remove_from_engine(engine).await?;
    }
    if removed.any() {
        progress.line(format!("removed leftovers of earlier runs: {removed}"));
    }
    for other in active(&options.runs()).into_iter().filter(|run| options.beside.as_ref() != Some(run)) {
        progress.line(format!("the run {other} is active too: each run's figures include the other's load"));
    }
    Ok(())
}

/// The plan of a run, with everything that is given from outside; and the plan alone, of which nothing runs.
fn plan_to_run(options: &Options, config: &Config) -> Result<Plan, Error> {
    let given = config.given(&options.root, &mut |_, _| random_hex())?;
    plan_with(options, config, given, &mut |_, _| random_hex())
}

/// The plan of manifests that no configuration names yet, and its entrance where that is clear.
///
/// # Errors
///
/// When the manifests cannot be read or are no plan.
pub fn planned(options: &Options, sources: Sources) -> Result<(Plan, Option<String>), Error> {
    let options = Options { manifests: Some(sources), ..options.clone() };
    let plan = plan_with(&options, &Config::default(), Vec::new(), &mut |_, _| String::new())?;
    let entrance = entrance(None, &plan)?;
    Ok((plan, entrance))
}

/// The plan of a project, of which nothing is run: it needs no Secret, no engine, no cluster and no earlier run.
///
/// # Errors
/// The configuration or the manifests are wrong.
pub fn plan(options: &Options) -> Result<Plan, Error> {
    let config = options.read_config()?;
    plan_with(options, &config, config.given_names(), &mut |_, _| String::new())
}

/// What a target does not honour of a project's plan, in the order of the manifests.
///
/// # Errors
/// The configuration is wrong.
pub fn unhonoured(options: &Options, plan: &Plan, target: Target) -> Result<Vec<Warning>, Error> {
    plan.check(target)?;
    Ok(warnings(options, &options.read_config()?, plan, target))
}

fn warnings(options: &Options, config: &Config, plan: &Plan, target: Target) -> Vec<Warning> {
    let mut warnings = plan.warnings_of_run(target, options.cluster.cluster_scoped || config.cluster_scoped);
    if target == Target::Local {
        let runs = options.runs();
        let (user_is_known, lowest_port) = (local::user_is_known(), local::lowest_port());
        let machine = local::ThisMachine { runs: &runs, user_is_known, lowest_port };
        warnings.extend(local::unhonoured(plan, &config.local, &machine));
    }
    warnings.sort();
    warnings
}

fn plan_with(
    options: &Options,
    config: &Config,
    given: Vec<OutsideObject>,
    generate: &mut dyn FnMut(&str, &str) -> String,
) -> Result<Plan, Error> {
    let sources = options.manifests.clone().or_else(|| config.sources(&options.root));
    let sources = sources.ok_or_else(|| Error::NoManifests { root: options.root.display().to_string() })?;
    let objects = e2e_plan::manifests::read(&options.root, &sources, &options.overlays);
    let (sets, replicas) = (options.sets.clone(), options.replicas.clone());
    Ok(Plan::from_manifests(Input { objects, sets, replicas, given, generate })?)
}

/// Rejects a plan without components, and one with missing Secrets or ConfigMaps.
fn check(plan: &Plan, target: Target) -> Result<(), Error> {
    if plan.components.is_empty() {
        return Err(Error::NothingToRun);
    }
    plan.check(target)?;
    let wanted: Vec<&Missing> = plan.missing.iter().filter(|missing| !plan.is_made_in(missing, target)).collect();
    match wanted.is_empty() {
        true => Ok(()),
        false => Err(Error::Missing(Missing::lines(wanted))),
    }
}

/// Decides what the planned faults of each scenario left to a seed, and refuses what the target cannot do.
fn resolve_faults(config: &mut Config, plan: &Plan, target: Target, options: &Options) -> Result<(), config::Error> {
    let victims: Vec<Victim> = plan.components.iter().map(|component| victim(component, plan)).collect();
    for (name, scenario) in &mut config.scenario {
        if !options.during.is_empty() {
            scenario.during.clone_from(&options.during);
        }
        let seed = options.during_seed.unwrap_or(scenario.seed);
        scenario.during = resolve(&scenario.during, &victims, target, scenario.duration, seed)
            .map_err(|error| config::Error::during(name, error))?;
    }
    Ok(())
}

/// A component as planned faults see it.
fn victim(component: &Component, plan: &Plan) -> Victim {
    let object = plan.objects.iter().find(|object| object.component.as_ref() == Some(&component.name));
    let strategy = object.and_then(|object| object.json.pointer("/spec/strategy/type")?.as_str());
    let is_limited = |container: &Container| container.resources.memory_limit_bytes.is_some();
    let writable = |(name, volume): (&String, &Volume)| match volume {
        Volume::EmptyDir { in_memory, size_limit_bytes } => {
            Some((name.clone(), *in_memory && size_limit_bytes.is_some()))
        }
        Volume::Persistent { .. } => Some((name.clone(), false)),
        Volume::Files(_) => None,
    };
    Victim {
        name: component.name.clone(),
        replicas: component.replicas,
        strategy: match (component.kind.as_str(), strategy) {
            ("Deployment", Some("Recreate")) => Strategy::AllAtOnce,
            ("Deployment", _) => Strategy::Surge,
            _ => Strategy::InTurn,
        },
        talks_to: component.depends_on.clone(),
        has_memory_limit: component.pod.containers.iter().any(is_limited),
        volumes: component.pod.volumes.iter().filter_map(writable).collect(),
    }
}

/// The Service named in the configuration, else the only one of [`Plan::entrances`].
fn entrance(configured: Option<String>, plan: &Plan) -> Result<Option<String>, config::Error> {
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    match configured {
        Some(name) if names.contains(&name.as_str()) => Ok(Some(name)),
        Some(name) => {
            let remedy = format!("name one of the Services of the manifests: {}", names.join(", "));
            Err(config::invalid("entrance", &format!("`{name}`"), &remedy))
        }
        None => {
            let found = plan.entrances();
            Ok(found.first().filter(|_| found.len() == 1).map(|service| service.name.clone()))
        }
    }
}

fn request(options: &Options, config: &Config, plan: &Plan) -> Request {
    let set = |set: &e2e_plan::EnvOverride| set.shown(plan);
    let replicas = options.replicas.iter().map(|(component, count)| format!("{component}.replicas={count}"));
    Request {
        started_at: run_dir::now_text(),
        scenarios: config.scenario.clone(),
        some_scenarios: !options.scenarios.is_empty(),
        thresholds: config.thresholds.clone(),
        overlays: options.overlays.iter().map(|path| path.display().to_string()).collect(),
        sets: options.sets.iter().map(set).chain(replicas).collect(),
        filter: options.filter.clone(),
        host: host(),
        source: git::state(&options.root),
    }
}

/// Name and version of the Docker engine that answers.
pub async fn docker_engine() -> Result<String, Error> {
    Ok(Engine::connect("probe").await?.description)
}

/// Name and version of the cluster that answers.
pub async fn cluster(options: &Options) -> Result<String, Error> {
    Ok(Cluster::connect(&options.cluster, "probe").await?.description())
}

/// Removes leftovers of dead runs: their directories, and what is in the engine and in the cluster, if they answer. Also returns what was
/// not checked, and why.
///
/// # Errors
///
/// When a removal fails, or a cluster that was requested by name does not answer.
pub async fn collect_garbage(options: &Options) -> Result<(Leftovers, Vec<String>), Error> {
    let mut removed = Leftovers::default();
    let mut unseen = Vec::new();
    removed.remove_directories(&options.runs());
    match Engine::connect("gc").await {
        Ok(engine) => removed.remove_from_engine(&engine).await?,
        Err(error) => unseen.push(error.to_string()),
    }
    match Cluster::connect(&options.cluster, "gc").await {
        Ok(cluster) => removed.remove_from_cluster(&cluster).await?,
        Err(error) if options.cluster.context.is_some() => return Err(error.into()),
        Err(error) => unseen.push(error.to_string()),
    }
    Ok((removed, unseen))
}
