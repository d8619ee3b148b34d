//! How images get to a cluster's nodes. Main type: [`Delivery`].

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use bollard::Docker;
use e2e_plan::{ImageName, Object};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Node;
use tokio::{io::AsyncWriteExt, process::Command};

use super::{error::Error, pod};
use crate::lines::last_words;

/// How the images of a local Docker engine become those of the cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The nodes run on this very engine.
    SameEngine,
    /// A command copies them; it is given all their names.
    Copy(Vec<String>),
    /// A command reads an archive of them from its standard input.
    Load(Vec<String>),
    /// A registry that the nodes pull from is given them.
    Push(String),
    /// The nodes pull what they do not have, from wherever they can.
    Pull,
}

impl Delivery {
    /// What fits a cluster: the registry that was named; or by the name that its tool gives to contexts; or because the nodes run on
    /// the engine that this machine has. `engine` is that engine's version.
    pub(crate) fn of(context: &str, nodes: &[Node], engine: Option<&str>, registry: Option<&str>) -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let runtimes = || nodes.iter().filter_map(runtime);
        let is_docker = || runtimes().all(|runtime| runtime.starts_with("docker://"));
        let profile = context.strip_prefix("colima").map(|rest| rest.trim_start_matches('-'));
        let profile = profile.map(|name| if name.is_empty() { "default" } else { name });
        match (context.split_once('-'), profile) {
            _ if registry.is_some() => Self::Push(registry.unwrap_or_default().to_owned()),
            (Some(("kind", name)), _) => Self::Copy(words(&format!("kind load docker-image --name {name}"))),
            (Some(("k3d", name)), _) => Self::Copy(words(&format!("k3d image import --cluster {name}"))),
            _ if context == "minikube" => Self::Copy(words("minikube image load")),
            _ if context == "microk8s" => Self::Load(words("microk8s ctr image import -")),
            _ if context == "orbstack" || context == "docker-desktop" => Self::SameEngine,
            _ if context == "rancher-desktop" && !is_docker() => Self::Load(words("nerdctl --namespace k8s.io load")),
            (_, Some(profile)) if !is_docker() => {
                Self::Load(words(&format!("colima nerdctl --profile {profile} -- --namespace k8s.io load")))
            }
            _ if context == "rancher-desktop" || profile.is_some() => Self::SameEngine,
            _ if !nodes.is_empty() && runtimes().all(|it| it.strip_prefix("docker://") == engine) => Self::SameEngine,
            _ => Self::Pull,
        }
    }

    /// What is done with images, as a person would do it; nothing where they are there already.
    pub(crate) fn command(&self, images: &[String]) -> Option<String> {
        let names = images.join(" ");
        match self {
            _ if images.is_empty() => None,
            Self::SameEngine | Self::Pull => None,
            Self::Copy(words) => Some(format!("{} {names}", words.join(" "))),
            Self::Load(words) => Some(format!("docker save {names} | {}", words.join(" "))),
            Self::Push(registry) => Some(format!("docker push {registry}/... of {names}")),
        }
    }
}

fn runtime(node: &Node) -> Option<&str> {
    Some(node.status.as_ref()?.node_info.as_ref()?.container_runtime_version.as_str())
}

/// How many images a kubelet lists at most (`nodeStatusMaxImages`): images beyond it are unknown.
const LISTED: usize = 50;

/// The names of the nodes that do not have an image, as far as their kubelets list what they have.
pub(crate) fn lacking(nodes: &[Node], image: &str) -> Vec<String> {
    // They list `nginx` as `docker.io/library/nginx:latest`, or as they were asked for it.
    let whole = ImageName::new(image).whole();
    let lacks = |node: &&Node| {
        let listed = node.status.as_ref().and_then(|status| status.images.as_ref());
        let has = |name: &String| ImageName::new(name).whole() == whole;
        listed.is_none_or(|all| all.len() < LISTED && !all.iter().flat_map(|it| it.names.iter().flatten()).any(has))
    };
    nodes.iter().filter(lacks).filter_map(|node| node.metadata.name.clone()).collect()
}

/// The workloads whose nodes ask a registry for an image at each start, although no registry has it, in words.
pub(crate) fn always_pulled(objects: &[Object], only_here: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects {
        for container in pod::containers(&object.json) {
            let image = container["image"].as_str().unwrap_or_default();
            let why = match container["imagePullPolicy"].as_str() {
                Some("Always") => "imagePullPolicy is Always",
                None if ImageName::new(image).whole().ends_with(":latest") => {
                    "imagePullPolicy is Always for :latest unless it is set"
                }
                _ => continue,
            };
            if only_here.iter().any(|name| name == image) {
                let (kind, name, source) = (&object.kind, &object.name, &object.source);
                found.push(format!(
                    "{source}: the nodes would ask a registry for {image} of {kind} {name} at each start ({why}), and no registry has \
                     it; set imagePullPolicy: IfNotPresent, or give --registry"
                ));
            }
        }
    }
    found
}

/// Brings images of an engine to the nodes. Returns what they are to pull instead of each, where they get them from a registry.
pub(crate) async fn bring(
    delivery: &Delivery,
    engine: &Docker,
    images: &[String],
) -> Result<BTreeMap<String, String>, Error> {
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    match delivery {
        Delivery::SameEngine | Delivery::Pull => Ok(BTreeMap::new()),
        Delivery::Copy(words) => {
            let words: Vec<String> = words.iter().chain(images).cloned().collect();
            run(&words, None).await.map(|_| BTreeMap::new())
        }
        Delivery::Load(words) => run(words, Some((engine, images))).await.map(|_| BTreeMap::new()),
        Delivery::Push(registry) => push(registry, images).await,
    }
}

/// Tags images for a registry and pushes them, with the credentials of the `docker` command. Returns what nodes are to pull instead of
/// each: that very image, by its digest.
async fn push(registry: &str, images: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut pushed = BTreeMap::new();
    for image in images {
        let name = in_registry(registry, image);
        let docker = async |arguments: &[&str]| {
            let words: Vec<String> = ["docker"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
            run(&words, None).await
        };
        // The image may have that name already.
        let is_for_the_way = name != *image;
        if is_for_the_way {
            docker(&["tag", image, &name]).await?;
        }
        let digests = async {
            docker(&["push", &name]).await?;
            docker(&["image", "inspect", "--format", "{{join .RepoDigests \"\\n\"}}", &name]).await
        };
        let digests = digests.await;
        if is_for_the_way {
            docker(&["image", "rm", &name]).await?;
        }
        pushed.insert(image.clone(), by_digest(&name, &digests?).unwrap_or(name));
    }
    Ok(pushed)
}

/// `registry.example/team/app:1` for the image `app:1`, wherever it came from.
fn in_registry(registry: &str, image: &str) -> String {
    let name = ImageName::new(image);
    let (_, path) = name.place();
    format!("{registry}/{}{}", path.strip_prefix("library/").unwrap_or(&path), name.version())
}

/// Of an image's digests the one of this name's repository.
fn by_digest(name: &str, digests: &str) -> Option<String> {
    let repository = ImageName::new(name).name;
    digests.lines().find(|line| line.split_once('@').is_some_and(|(of, _)| of == repository)).map(str::to_owned)
}

/// How long a command may take: gigabytes over a slow line.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs a command, with an archive of an engine's images as its input if it reads one, and returns what it wrote.
async fn run(words: &[String], archive: Option<(&Docker, &[String])>) -> Result<String, Error> {
    let failed = |reason: String| Error::Images { command: words.join(" "), reason };
    let (program, arguments) = words.split_first().ok_or_else(|| failed("it is empty".to_owned()))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(format!("{program} is not installed here, or not in PATH")),
        _ => failed(error.to_string()),
    })?;
    let input = child.stdin.take().zip(archive);
    let fed = async {
        let Some((mut input, (engine, images))) = input else { return Ok(()) };
        let names: Vec<&str> = images.iter().map(String::as_str).collect();
        let mut archive = Box::pin(engine.export_images(&names));
        while let Some(chunk) = archive.next().await {
            let chunk = chunk.map_err(|error| failed(error.to_string()))?;
            if input.write_all(&chunk).await.is_err() {
                // It has ended, and its own words say why.
                break;
            }
        }
        Ok(())
    };
    let (fed, ended) = tokio::join!(fed, tokio::time::timeout(LIMIT, child.wait_with_output()));
    let output = ended.map_err(|_| failed(format!("it did not end within {}", e2e_plan::duration::human(LIMIT))))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => fed.map(|()| String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(failed(last_words(&output))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::{super::testing::object, *};

    fn node(runtime: &str) -> Node {
        let status = json!({ "images": [
            { "names": ["docker.io/library/nginx@sha256:1", "docker.io/library/nginx:1.22"] },
            { "names": ["registry.example/team/app:1"] },
        ]});
        let mut node: Node = serde_json::from_value(json!({ "metadata": { "name": "a" }, "status": status })).unwrap();
        let info = node.status.get_or_insert_default().node_info.get_or_insert_default();
        info.container_runtime_version = runtime.to_owned();
        node
    }

    fn copies(text: &str) -> Delivery {
        Delivery::Copy(text.split(' ').map(str::to_owned).collect())
    }

    fn loads(text: &str) -> Delivery {
        Delivery::Load(text.split(' ').map(str::to_owned).collect())
    }

    #[rstest]
    #[case("kind-dev", "containerd://2.0", copies("kind load docker-image --name dev"))]
    #[case("k3d-dev", "containerd://2.0", copies("k3d image import --cluster dev"))]
    #[case("minikube", "docker://27.0", copies("minikube image load"))]
    #[case("microk8s", "containerd://1.7", loads("microk8s ctr image import -"))]
    #[case("rancher-desktop", "containerd://1.7", loads("nerdctl --namespace k8s.io load"))]
    #[case("rancher-desktop", "docker://26.0", Delivery::SameEngine)]
    #[case("colima", "containerd://1.7", loads("colima nerdctl --profile default -- --namespace k8s.io load"))]
    #[case("colima-work", "containerd://1.7", loads("colima nerdctl --profile work -- --namespace k8s.io load"))]
    #[case("colima", "docker://26.0", Delivery::SameEngine)]
    #[case("orbstack", "docker://26.0", Delivery::SameEngine)]
    #[case("anything", "containerd://2.0", Delivery::Pull)]
    #[case("anything", "docker://28.0", Delivery::SameEngine)]
    #[case("anything", "docker://20.10.24", Delivery::Pull)]
    fn each_cluster_has_its_way(#[case] context: &str, #[case] runtime: &str, #[case] delivery: Delivery) {
        assert_eq!(Delivery::of(context, &[node(runtime)], Some("28.0"), None), delivery);
        let named = Delivery::of(context, &[node(runtime)], Some("28.0"), Some("registry.example/team"));
        assert_eq!(named, Delivery::Push("registry.example/team".to_owned()));
    }

    #[test]
    fn an_engine_is_known_by_its_version() {
        assert_eq!(Delivery::of("dev", &[node("docker://20.10.24")], None, None), Delivery::Pull);
        assert_eq!(Delivery::of("dev", &[], Some("28.0.1"), None), Delivery::Pull);
    }

    #[test]
    fn a_node_lacks_what_it_does_not_list() {
        let lacks = |image| lacking(&[node("containerd://2.0")], image);
        assert_eq!(lacks("nginx:1.22"), Vec::<String>::new());
        assert_eq!(lacks("registry.example/team/app:1"), Vec::<String>::new());
        assert_eq!(lacks("nginx"), ["a"], "another tag");
        assert_eq!(lacks("team/app:1"), ["a"], "another registry");
        let mut full = node("containerd://2.0");
        let images = full.status.as_mut().unwrap().images.as_mut().unwrap();
        images.resize(LISTED, images[0].clone());
        assert_eq!(lacking(&[full], "other:1"), Vec::<String>::new(), "a kubelet lists no more");
    }

    #[test]
    fn a_registry_gets_images_under_names_of_its_own() {
        let named = |image| in_registry("registry.example/team", image);
        assert_eq!(named("app:1"), "registry.example/team/app:1");
        assert_eq!(named("nginx"), "registry.example/team/nginx:latest");
        assert_eq!(named("other.example:5000/x/app:2"), "registry.example/team/x/app:2");
        let digests = "app@sha256:1\nregistry.example:5000/app@sha256:2";
        assert_eq!(
            by_digest("registry.example:5000/app:1", digests).as_deref(),
            Some("registry.example:5000/app@sha256:2")
        );
    }

    #[test]
    fn an_image_that_is_only_here_must_not_be_pulled_anew() {
        let app = |image: &str, policy: Option<&str>| {
            let container = json!({ "image": image, "imagePullPolicy": policy });
            object(json!({ "spec": { "template": { "spec": { "containers": [container] } } } }))
        };
        let only_here = ["app:dev".to_owned(), "app".to_owned()];
        let pulled = |image, policy| always_pulled(&[app(image, policy)], &only_here).len();
        assert_eq!(
            (pulled("app:dev", Some("Always")), pulled("app:dev", None), pulled("app:dev", Some("Never"))),
            (1, 0, 0)
        );
        assert_eq!((pulled("app", None), pulled("app", Some("IfNotPresent"))), (1, 0));
        assert_eq!(pulled("nginx:1.22", Some("Always")), 0, "a registry has it");
        let mut bare = app("app:dev", Some("Always"));
        bare.json = json!({ "kind": "Pod", "spec": bare.json["spec"]["template"]["spec"] });
        assert_eq!(always_pulled(&[bare], &only_here).len(), 1, "a Pod has no template");
        let said = always_pulled(&[app("app:dev", Some("Always"))], &only_here).concat();
        assert!(said.contains("app:dev of Deployment app") && said.contains("imagePullPolicy: IfNotPresent"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_is_given_up() {
        let words = ["sh", "-c", "exec sleep 9999"].map(str::to_owned);
        let error = run(&words, None).await.map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("it did not end within 30 min")));
    }

    #[tokio::test]
    async fn what_a_command_says_is_the_reason() {
        let words = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        let error = run(&words("sh|-c|echo so >&2; exit 1"), None).await.map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("could not bring images into the cluster: so")));
        let error = run(&words("there-is-no-such-tool"), None).await.map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("is not installed here")));
    }
}
