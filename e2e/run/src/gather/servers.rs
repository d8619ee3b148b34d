//! Ports of pods on which a well-known program may listen. Main function: [`ports_of`].

use e2e_plan::{Container, ImageName, ResolvedContainer};

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
    known.images.contains(&ImageName::new(&container.image).last())
}

/// The text of a variable, unless it is empty.
pub(super) fn variable<'a>(container: &'a ResolvedContainer, names: &[&str]) -> Option<&'a str> {
    let mut set = container.env.iter().filter(|(name, text)| names.contains(&name.as_str()) && !text.is_empty());
    set.next().map(|(_, text)| text.as_str())
}
