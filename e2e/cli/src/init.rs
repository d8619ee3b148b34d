//! `cargo xtask init`: writes a configuration from the manifests. Main function: [`run`].

use std::path::Path;

use anyhow::{Context, Result};
use e2e_plan::{Plan, ProbeAction, ProbeKind};
use e2e_run::{CONFIG, Options, config::MANIFESTS, exit::ExitCode, planned};

use crate::failure::BadInput;

/// Write a commented .config/e2e.toml from the manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask init\n  cargo xtask init --manifests deploy/base")]
pub(crate) struct Args {
    /// Directory of the manifests, from the project's root [default: the first of the usual ones].
    #[arg(long, value_name = "DIR")]
    manifests: Option<String>,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let path = project.root.join(CONFIG);
    if path.exists() {
        return Err(BadInput(format!("{CONFIG} exists already; change it, or move it away")).into());
    }
    let manifests = match &args.manifests {
        Some(manifests) => manifests.clone(),
        None => {
            let is_there = |name: &&str| project.root.join(name).is_dir();
            let usual = MANIFESTS.into_iter().find(is_there).ok_or_else(|| {
                BadInput(format!("none of {} exists; name the directory with --manifests", MANIFESTS.join(", ")))
            })?;
            usual.to_owned()
        }
    };
    let (plan, entrance) = planned(project, &manifests)?;
    let text = text(&manifests, &plan, entrance.as_deref());
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let names: Vec<&str> = plan.components.iter().map(|component| component.name.as_str()).collect();
    println!("wrote {CONFIG} for {}", names.join(", "));
    Ok(ExitCode::Pass)
}

/// The file, with proposals as comments.
fn text(manifests: &str, plan: &Plan, entrance: Option<&str>) -> String {
    let services: Vec<&str> = plan.entrances().into_iter().map(|service| service.name.as_str()).collect();
    let entrance_line = match (entrance, services.first()) {
        (Some(name), _) => format!("entrance = {}", quoted(name)),
        (None, Some(first)) => {
            format!("# The manifests have several candidates: {}.\n# entrance = {}", services.join(", "), quoted(first))
        }
        (None, None) => "# The manifests have no Service.".to_owned(),
    };
    let path = entrance.and_then(|name| first_path(plan, name));
    let scenario = SCENARIO.replace("PATH", &quoted(path.unwrap_or("/")));
    // A path that nothing is known of may well answer with an error.
    let scenario = match path {
        Some(_) => scenario,
        None => scenario.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect(),
    };
    let images = own_images(plan).into_iter().map(|image| {
        format!("\n# [images.{}]\n# build = \".\"   # the directory of its Dockerfile\n# pull = false\n", quoted(image))
    });
    let images: String = images.collect();
    let images = match images.is_empty() {
        true => images,
        false => format!("\n# Images that no registry has are built here.\n{images}"),
    };
    format!(
        r#"# What the manifests cannot say. Every key is optional.

manifests = {manifests}

# The Service that clients use.
{entrance_line}

# How long the system may take until it is ready.
bring_up = "60s"

# Your own checks, in any language; the built-in ones run without it.
# suites = ["pytest", "checks", "--junitxml={{junit}}"]

# A first load: 10 clients, each with one request after the other.
{scenario}
{images}"#,
        manifests = quoted(manifests),
        scenario = scenario.trim_end(),
    )
}

const SCENARIO: &str = r#"[scenario.first]
clients = 10
duration = "10s"
thresholds = { errors_max = 0 }

[[scenario.first.steps]]
name = "ask"
path = PATH
status = 200
"#;

/// A path that a Service's component answers at a port of the Service: that of one of its probes.
fn first_path<'a>(plan: &'a Plan, service: &str) -> Option<&'a str> {
    let service = plan.services.iter().find(|candidate| candidate.name == service)?;
    let is_reached = |port: u16| service.ports.iter().any(|own| own.target_port == port);
    let components = plan.components.iter().filter(|component| service.components.contains(&component.name));
    let containers = components.flat_map(|component| &component.pod.containers);
    let mut paths = containers.flat_map(|container| {
        let probes = ProbeKind::ALL.into_iter().filter_map(|which| which.of(&container.probes));
        probes.filter_map(|probe| match &probe.action {
            ProbeAction::HttpGet { path, port, host: None, .. } if is_reached(*port) => Some(path.as_str()),
            _ => None,
        })
    });
    paths.next()
}

/// Images with a tag for local builds.
fn own_images(plan: &Plan) -> Vec<&str> {
    let containers = plan.components.iter().flat_map(|c| c.pod.init_containers.iter().chain(&c.pod.containers));
    let mut images: Vec<&str> = containers
        .map(|container| container.image.as_str())
        .filter(|image| [":dev", ":local", ":latest"].iter().any(|tag| image.ends_with(tag)) || !image.contains(':'))
        .collect();
    images.sort_unstable();
    images.dedup();
    images
}

/// A TOML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {selector: {app: shop}, ports: [{port: 80}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - {name: shop, image: 'shop:dev', ports: [{containerPort: 80}], readinessProbe: {httpGet: {path: /ready, port: 80}}}
";

    #[test]
    fn the_file_names_what_the_manifests_have_and_can_be_read() {
        let project = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(project.path().join("k8s")).expect("a directory");
        std::fs::write(project.path().join("k8s/shop.yaml"), SHOP).expect("a file");
        let (plan, entrance) = planned(&e2e_run::Options::new(project.path()), "k8s").expect("a plan");
        let text = text("k8s", &plan, entrance.as_deref());
        for line in ["manifests = \"k8s\"", "entrance = \"shop\"", "path = \"/ready\"", "# [images.\"shop:dev\"]"] {
            assert!(text.lines().any(|candidate| candidate == line), "`{line}` is not in\n{text}");
        }
        let config = e2e_run::config::Config::parse(&text, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!((config.entrance.as_deref(), config.scenario.len()), (Some("shop"), 1));
        let error = planned(&e2e_run::Options::new(project.path()), "k9s").expect_err("no such directory").to_string();
        assert_eq!(error, "k9s: there is no such file or directory; check the path");
    }
}
