//! How images get to a cluster's nodes. Main type: [`Way`].

use k8s_openapi::api::core::v1::Node;
use tokio::process::Command;

use super::error::Error;

/// How the images of a local Docker engine become those of the cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// The nodes run on this very engine.
    SameEngine,
    /// A command copies them, for all images at once.
    Copy(Vec<String>),
    /// The nodes pull what they do not have.
    Registry,
}

impl Way {
    /// What fits a cluster: by the name that its tool gives to contexts, or because the nodes run on the engine that this
    /// machine has. `engine` is that engine's version.
    pub(crate) fn of(context: &str, nodes: &[Node], engine: Option<&str>) -> Self {
        let copy = |words: &[&str]| Self::Copy(words.iter().map(|word| (*word).to_owned()).collect());
        if let Some(name) = context.strip_prefix("kind-") {
            return copy(&["kind", "load", "docker-image", "--name", name]);
        }
        if let Some(name) = context.strip_prefix("k3d-") {
            return copy(&["k3d", "image", "import", "--cluster", name]);
        }
        if context == "minikube" {
            return copy(&["minikube", "image", "load"]);
        }
        let runs_on = |node: &Node| {
            let runtime =
                node.status.as_ref()?.node_info.as_ref()?.container_runtime_version.strip_prefix("docker://")?;
            Some(engine == Some(runtime))
        };
        let is_same = !nodes.is_empty() && nodes.iter().all(|node| runs_on(node) == Some(true));
        match context {
            "orbstack" | "docker-desktop" => Self::SameEngine,
            _ if is_same => Self::SameEngine,
            _ => Self::Registry,
        }
    }

    /// The command that copies images; `None` where nothing has to be copied.
    pub(crate) fn command(&self, images: &[String]) -> Option<Vec<String>> {
        match self {
            Self::Copy(words) if !images.is_empty() => Some(words.iter().chain(images).cloned().collect()),
            Self::Copy(_) | Self::SameEngine | Self::Registry => None,
        }
    }
}

/// Runs such a command.
pub(crate) async fn copy(words: &[String]) -> Result<(), Error> {
    let failed = |reason: String| Error::Images { command: words.join(" "), reason };
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await;
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed(format!("{program} is not installed here, or not in PATH")),
        _ => failed(error.to_string()),
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(said.lines().rfind(|line| !line.is_empty()).unwrap_or("no output").to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeStatus, NodeSystemInfo};

    use super::*;

    fn node(runtime: &str) -> Node {
        let info = NodeSystemInfo { container_runtime_version: runtime.to_owned(), ..NodeSystemInfo::default() };
        let status = NodeStatus { node_info: Some(info), ..NodeStatus::default() };
        Node { status: Some(status), ..Node::default() }
    }

    #[test]
    fn each_tool_has_its_command() {
        let images = ["a:1".to_owned(), "b:2".to_owned()];
        let command = |context| Way::of(context, &[node("containerd://2.0")], Some("28.0")).command(&images);
        let words = |text: &str| Some(text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(command("kind-dev"), words("kind load docker-image --name dev a:1 b:2"));
        assert_eq!(command("k3d-dev"), words("k3d image import --cluster dev a:1 b:2"));
        assert_eq!(command("minikube"), words("minikube image load a:1 b:2"));
        assert_eq!(command("orbstack"), None);
        assert_eq!(command("anything"), None);
    }

    #[test]
    fn an_engine_is_known_by_its_version() {
        assert_eq!(Way::of("dev", &[node("docker://20.10.24")], Some("20.10.24")), Way::SameEngine);
        assert_eq!(Way::of("dev", &[node("docker://20.10.24")], Some("28.0.1")), Way::Registry);
        assert_eq!(Way::of("dev", &[node("docker://20.10.24")], None), Way::Registry);
        assert_eq!(Way::of("dev", &[], Some("28.0.1")), Way::Registry);
    }
}
