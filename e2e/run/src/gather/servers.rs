//! Ports of pods on which a well-known program may listen. Main function: [`ports_of`].

use e2e_plan::{Container, ResolvedContainer};

use crate::provider::pods::PodSpec;

/// A program that images bring.
#[derive(Debug)]
pub(super) struct WellKnown {
    /// The port that it has everywhere.
    pub(super) port: u16,
    /// The names of its images, without registry, owner and tag.
    pub(super) images: &'static [&'static str],
}

/// The ports of a pod on which such a program may listen, each with the container: its own port, and any of a container with its image.
pub(super) fn ports_of(pod: &PodSpec, known: &WellKnown) -> Vec<(u16, ResolvedContainer)> {
    let owner = |port: u16| pod.all_containers().find(|container| container.ports.iter().any(|own| own.number == port));
    let of = |port: u16| {
        // A port that no container declares is a Service's or a probe's.
        let container = owner(port).or_else(|| pod.component.pod.containers.first())?;
        let is_it = port == known.port || is_of(container, known);
        is_it.then(|| (port, container.resolve(&pod.identity("", None))))
    };
    pod.ports().filter_map(of).collect()
}

fn is_of(container: &Container, known: &WellKnown) -> bool {
    known.images.contains(&program(&container.image))
}

/// `registry:5000/bitnami/redis:7@sha256:00` is `redis`.
fn program(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split(':').next().unwrap_or(name)
}

/// The text of a variable, unless it is empty.
pub(super) fn variable<'a>(container: &'a ResolvedContainer, names: &[&str]) -> Option<&'a str> {
    let mut set = container.env.iter().filter(|(name, text)| names.contains(&name.as_str()) && !text.is_empty());
    set.next().map(|(_, text)| text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("redis:7", "redis")]
    #[case("registry:5000/bitnami/valkey:8@sha256:00", "valkey")]
    #[case("oliver006/redis_exporter", "redis_exporter")]
    fn an_image_is_known_by_its_last_name(#[case] image: &str, #[case] name: &str) {
        assert_eq!(program(image), name);
    }
}
