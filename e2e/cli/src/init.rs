//! `cargo xtask init`: writes a configuration from the manifests. Main function: [`run`].

mod bases;
mod dockerfiles;
mod files;
mod manifests;
mod outside;

use std::{
    fmt::Write as _,
    fs::{self, DirEntry},
    path::{Path, PathBuf},
};

use anyhow::Result;
use e2e_plan::{ImageName, Plan, Pod, ProbeAction, manifests::Sources};
use e2e_run::{CONFIG, Options, config::MANIFESTS, exit::ExitCode, planned};

use self::dockerfiles::{Dockerfiles, Found};
use crate::{directories::write, failure::bad_input};

/// Write a commented .config/e2e.toml from the manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask init\n  cargo xtask init --manifests deploy/base\n  \
cargo xtask init --render 'helm template shop deploy/chart --include-crds --values deploy/dev.yaml'")]
pub(crate) struct Args {
    /// Path of manifests, relative to the project's root [default: the first usual directory such as `manifests` or `k8s`, else the only directory with manifests].
    #[arg(long, value_name = "PATH")]
    manifests: Vec<String>,
    /// Shell command that prints the manifests; runs in the project's root.
    #[arg(long, value_name = "COMMAND", conflicts_with = "manifests")]
    render: Option<String>,
}

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let path = project.root.join(CONFIG);
    if path.exists() {
        return bad_input(format!("{CONFIG} already exists; edit it, or move it away"));
    }
    let planned = |sources| planned(project, sources);
    let (key, left_out, (plan, entrance)) = match &args.render {
        Some(command) => {
            let (key, sources) = of_command(command);
            (key, Vec::new(), planned(sources)?)
        }
        None => {
            let found = match &args.manifests[..] {
                [] => manifests::find(&project.root)?,
                named => manifests::Found { paths: named.to_owned(), ..manifests::Found::default() },
            };
            let (found, planned) = found.planned(&project.root, |paths| planned(of_paths(paths).1))?;
            (of_found(&found), found.left_out(), planned)
        }
    };
    let text = text(&key, &plan, entrance.as_deref()) + &outside::tables(&plan) + &images(&plan, &project.root);
    write(&path, &text)?;
    match plan.components.is_empty() {
        true => println!("wrote {CONFIG}; the manifests have nothing to run"),
        false => println!("wrote {CONFIG} for {}", plan.component_names()),
    }
    left_out.iter().for_each(|sentence| println!("{sentence}"));
    Ok(ExitCode::Pass)
}

/// The key of the configuration that names manifests, and the same for a plan.
fn of_paths(paths: &[String]) -> (String, Sources) {
    let sources = Sources { paths: paths.iter().map(Into::into).collect(), ..Sources::default() };
    let names: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    let value = match &names[..] {
        [name] => name.clone(),
        _ => format!("[\n    {},\n]", names.join(",\n    ")),
    };
    (format!("manifests = {value}"), sources)
}

/// The key that names manifests that were found, with what is no part of them.
fn of_found(found: &manifests::Found) -> String {
    let overlays: String = found.overlays.iter().map(|overlay| format!("#     --overlay {overlay}\n")).collect();
    let siblings = found.siblings.join(", ");
    let comments = [
        if overlays.is_empty() { overlays } else { format!("# Overlays, for one run each:\n{overlays}") },
        match siblings.is_empty() {
            true => siblings,
            false => format!("# One of several overlays: their base lacks what each adds. The others: {siblings}.\n"),
        },
        found.left_out().iter().map(|sentence| format!("# {sentence}\n")).collect(),
    ];
    comments.concat() + &of_paths(&found.paths).0
}

/// The same of a command. A shell reads what is more than words, and variables before the program.
fn of_command(command: &str) -> (String, Sources) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " -_./:=,@+".contains(c);
    let sets_variables = command.split_whitespace().next().is_some_and(|first| first.contains('='));
    let render: Vec<String> = match command.chars().all(is_plain) && !sets_variables {
        true => command.split_whitespace().map(str::to_owned).collect(),
        false => ["sh", "-c", command].map(str::to_owned).into(),
    };
    let words: Vec<String> = render.iter().map(|word| quoted(word)).collect();
    (format!("render = [{}]", words.join(", ")), Sources { render, ..Sources::default() })
}

/// The file, with proposals as comments. `key` is the line that names the manifests.
fn text(key: &str, plan: &Plan, entrance: Option<&str>) -> String {
    let services: Vec<&str> = plan.entrances().into_iter().map(|service| service.name.as_str()).collect();
    let entrance_line = match (entrance, services.first()) {
        (Some(name), _) => format!("entrance = {}", quoted(name)),
        (None, Some(first)) => {
            format!("# The manifests have several candidates: {}.\n# entrance = {}", services.join(", "), quoted(first))
        }
        (None, None) if !plan.services.is_empty() => "# Other components refer to each Service.".to_owned(),
        (None, None) if plan.objects.iter().any(|object| object.kind == "Service") => {
            "# No Service in the manifests selects any of their pods.".to_owned()
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
    format!(
        r#"# What manifests cannot express. Every key is optional.

{key}

# The Service that clients use.
{entrance_line}

# How long to wait for the system to be ready.
bring_up = "60s"

# Your own checks, in any language. Without them the built-in checks run.
# suites = ["pytest", "checks", "--junitxml={{junit}}"]

# A first load: 10 clients, each sending its next request once the last one is answered.
{scenario}
"#,
        scenario = scenario.trim_end()
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
        container.probes.all().filter_map(|(_, probe)| match &probe.action {
            ProbeAction::HttpGet { path, port, host: None, .. } if is_reached(*port) => Some(path.as_str()),
            _ => None,
        })
    });
    paths.next()
}

/// How images are built that no registry has: those with a Dockerfile here, and the others as proposals.
fn images(plan: &Plan, root: &Path) -> String {
    let dockerfiles = Dockerfiles::of(root);
    let (mut known, mut proposed, mut crowded) = (String::new(), String::new(), Vec::new());
    for image in own_images(plan) {
        let is_local = matches!(ImageName::new(image).tag, None | Some("dev" | "local" | "latest"));
        // A release may be anyone's: it is proposed where a directory has its name.
        let found = dockerfiles.find(image).filter(|found| is_local || matches!(found, Found::Sure(_)));
        // Another owner of a name without a registry could supply the image.
        let has_registry = image.contains('/');
        let (mark, directory, text) = match &found {
            Some(Found::Sure(directory)) if is_local => ("", shown(directory), &mut known),
            Some(Found::Sure(directory) | Found::Likely(directory)) => ("# ", shown(directory), &mut proposed),
            None if has_registry || !is_local => continue,
            None => ("# ", "<directory>".to_owned(), &mut proposed),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{mark}[images.{}]\n{mark}build = {}\n", quoted(image), quoted(&directory));
        if !has_registry {
            let _ = writeln!(text, "{mark}pull = false");
        }
        if let Some(Found::Sure(directory) | Found::Likely(directory)) = found
            && is_crowded(&root.join(directory))
            && !crowded.contains(&shown(directory))
        {
            crowded.push(shown(directory));
        }
    }
    let section = |head: &str, text: String| if text.is_empty() { text } else { format!("\n# {head}\n{text}") };
    let mut text = section("Images to build here if no registry has them.", known);
    text += &section("Is one of these images your own? Then say where its Dockerfile is.", proposed);
    for directory in crowded {
        let _ = writeln!(
            text,
            "\n# All of `{directory}` is sent to the Docker engine; leave out what the image does not need with a .dockerignore."
        );
    }
    text
}

/// Directories of what tools and package managers make or keep.
const OF_TOOLS: [&str; 6] = ["build", "dist", "node_modules", "target", "vendor", "venv"];

/// Whether a directory may be a project's own: of the hidden ones, those that have a usual name of manifests behind the dot.
fn may_be_own(name: &str) -> bool {
    match name.strip_prefix('.') {
        Some(name) => MANIFESTS.contains(&name),
        None => !OF_TOOLS.contains(&name),
    }
}

/// A project's own directories from its root, which is the first, to so many levels below it.
fn directories(root: &Path, depth: usize) -> Vec<PathBuf> {
    let is_own = |entry: &DirEntry| {
        let (name, kind) = (entry.file_name(), entry.file_type());
        kind.is_ok_and(|kind| kind.is_dir()) && name.to_str().is_some_and(may_be_own)
    };
    let below = |directory: &PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(root.join(directory)).into_iter().flatten().flatten();
        entries.filter(is_own).map(|entry| directory.join(entry.file_name())).collect()
    };
    let levels =
        std::iter::successors(Some(vec![PathBuf::new()]), |level| Some(level.iter().flat_map(&below).collect()));
    levels.take(depth + 1).flatten().collect()
}

fn shown(directory: &Path) -> String {
    if directory.as_os_str().is_empty() { ".".to_owned() } else { directory.display().to_string() }
}

/// Whether a directory holds what is large and belongs into no image, and nothing leaves that out.
fn is_crowded(directory: &Path) -> bool {
    let holds = |name: &&str| directory.join(name).exists();
    !holds(&".dockerignore") && [".git", "node_modules", "target", ".venv"].iter().any(holds)
}

/// Names of images that registries have, and that a project hardly builds itself.
const PUBLIC: [&str; 40] = [
    "adminer",
    "alpine",
    "busybox",
    "caddy",
    "cassandra",
    "consul",
    "curl",
    "debian",
    "elasticsearch",
    "etcd",
    "grafana",
    "haproxy",
    "httpd",
    "influxdb",
    "jaeger",
    "kafka",
    "keycloak",
    "kibana",
    "kubectl",
    "mailhog",
    "mariadb",
    "memcached",
    "minio",
    "mongo",
    "mongo-express",
    "mysql",
    "nats",
    "neo4j",
    "nginx",
    "node",
    "pgadmin4",
    "phpmyadmin",
    "postgres",
    "prometheus",
    "python",
    "rabbitmq",
    "redis",
    "traefik",
    "vault",
    "zookeeper",
];

/// Images that may be a project's own.
fn own_images(plan: &Plan) -> Vec<&str> {
    let jobs = plan.cron_jobs.iter().map(|cron_job| &cron_job.job);
    let pods = plan.components.iter().chain(jobs).map(|component| &component.pod);
    let containers = pods.flat_map(Pod::all_containers);
    let is_own = |image: &&str| {
        let name = ImageName::new(image);
        // No build has a given digest.
        name.digest.is_none() && !PUBLIC.contains(&name.last())
    };
    let mut images: Vec<&str> = containers.map(|container| container.image.as_str()).filter(is_own).collect();
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

    /// Writes a file with the directories that it is in.
    pub(super) fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub(super) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let project = tempfile::tempdir().expect("a directory");
        files.iter().for_each(|(name, text)| write(project.path(), name, text));
        project
    }

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
        let project = project(&[("k8s/shop.yaml", SHOP)]);
        let (key, sources) = of_paths(&["k8s".to_owned()]);
        let (plan, entrance) = planned(&e2e_run::Options::new(project.path()), sources).expect("a plan");
        let written = || text(&key, &plan, entrance.as_deref()) + &images(&plan, project.path());
        let text = written();
        for line in ["manifests = \"k8s\"", "entrance = \"shop\"", "path = \"/ready\"", "# [images.\"shop:dev\"]"] {
            assert!(text.lines().any(|candidate| candidate == line), "`{line}` is not in\n{text}");
        }
        let config = e2e_run::config::Config::parse(&text, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!((config.entrance.as_deref(), config.scenario.len()), (Some("shop"), 1));
        // With its Dockerfile, the image has a recipe.
        write(project.path(), "services/shop/Dockerfile", "FROM scratch");
        write(project.path(), "services/shop/node_modules/x", "");
        let text = written();
        let images = "\n# Images to build here if no registry has them.\n\n[images.\"shop:dev\"]\nbuild = \"services/shop\"\npull = false\n\n\
                      # All of `services/shop` is sent to the Docker engine; leave out what the image does not need with a .dockerignore.\n";
        assert!(text.ends_with(images), "{text}");
        let config = e2e_run::config::Config::parse(&text, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!(config.images.0.len(), 1);
        // Nothing is said of Services that is not so.
        write(project.path(), "k8s/shop.yaml", &SHOP.replace("{app: shop}, ports", "{app: stop}, ports"));
        let (key, sources) = of_paths(&["k8s".to_owned()]);
        let (plan, entrance) = planned(&e2e_run::Options::new(project.path()), sources).expect("a plan");
        let text = super::text(&key, &plan, entrance.as_deref());
        assert!(text.contains("\n# No Service in the manifests selects any of their pods.\n"), "{text}");
        let error = planned(&e2e_run::Options::new(project.path()), of_paths(&["k9s".to_owned()]).1)
            .expect_err("no such directory")
            .to_string();
        assert_eq!(error, "k9s: there is no such file or directory; check the path");
    }

    #[test]
    fn images_that_may_be_the_projects_own() {
        let digest = format!("other@sha256:{}", "0".repeat(64));
        let images = ["api", "api:dev", "api:1.2", "nginx", &digest];
        let pod = |(index, image): (usize, &&str)| {
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{index}}}, spec: {{containers: [{{name: c, image: '{image}'}}]}}}}\n"
            )
        };
        let text = images.iter().enumerate().map(pod).collect();
        let objects = e2e_plan::Objects::read(&[e2e_plan::Manifest { file: "app.yaml".into(), text }]);
        let plan = Plan::of(objects).expect("a plan");
        assert_eq!(own_images(&plan), ["api", "api:1.2", "api:dev"]);
        let images = |files| super::images(&plan, project(files).path());
        let proposed = images(&[]);
        assert!(proposed.contains("# [images.\"api:dev\"]") && !proposed.contains("api:1.2"), "{proposed}");
        let with_directory = images(&[("api/Dockerfile", "FROM scratch")]);
        for (mark, image) in [("", "api:dev"), ("# ", "api:1.2")] {
            let table = format!("\n{mark}[images.\"{image}\"]\n{mark}build = \"api\"\n{mark}pull = false\n");
            assert!(with_directory.contains(&table), "{with_directory}");
        }
    }

    #[test]
    fn what_is_no_part_of_the_manifests_is_told() {
        let one = |path: &str| vec![path.to_owned()];
        let (refused, elsewhere) = (one("k8s/b.yaml: not valid YAML"), one("chart"));
        let found = manifests::Found {
            paths: one("over/dev"),
            siblings: one("over/prod"),
            refused,
            elsewhere,
            overlays: Vec::new(),
        };
        let comments = "# One of several overlays: their base lacks what each adds. The others: over/prod.\n\
                        # Left out k8s/b.yaml: not valid YAML.\n# Does not include the manifests in chart.";
        assert_eq!(of_found(&found), format!("{comments}\nmanifests = \"over/dev\""));
    }

    #[rstest::rstest]
    #[case::words("cat k8s/shop.yaml  --x=y", r#"render = ["cat", "k8s/shop.yaml", "--x=y"]"#)]
    #[case::with_a_variable("LEVEL=debug ./render", r#"render = ["sh", "-c", "LEVEL=debug ./render"]"#)]
    #[case::for_a_shell("cat 'a b' | sort", r#"render = ["sh", "-c", "cat 'a b' | sort"]"#)]
    fn a_command_that_writes_the_manifests(#[case] command: &str, #[case] expected: &str) {
        let (key, sources) = of_command(command);
        assert_eq!(key, expected);
        let config = e2e_run::config::Config::parse(&key, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!(config.render, sources.render);
    }
}
