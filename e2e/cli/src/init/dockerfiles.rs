//! Where a project's images are built: its Dockerfiles, and what compose files and skaffold say of them. Main type: [`Dockerfiles`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

use e2e_plan::ImageName;
use serde_json::Value;

/// Deeper than this lie the examples of dependencies, not a project's own services.
const MAX_DEPTH: usize = 6;
/// The files of a root that may say which directory an image is built from.
const DESCRIPTIONS: [&str; 5] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml", "skaffold.yaml"];

/// Where an image is built.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A description names it, or a directory has its name.
    Sure(&'a Path),
    /// The only directory that it can be.
    Likely(&'a Path),
}

/// The directories of a project that have a Dockerfile.
pub(super) struct Dockerfiles {
    /// From the root.
    directories: Vec<PathBuf>,
    /// Names of images, as a description has them, with their directories.
    described: Vec<(String, PathBuf)>,
}

impl Dockerfiles {
    pub(super) fn of(root: &Path) -> Self {
        let mut directories = super::directories(root, MAX_DEPTH);
        directories.retain(|directory| root.join(directory).join("Dockerfile").is_file());
        directories.sort();
        let mut described = Vec::new();
        for text in DESCRIPTIONS.iter().filter_map(|name| fs::read_to_string(root.join(name)).ok()) {
            // What cannot be read says nothing.
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
            documents.iter().for_each(|document| describe(document, &mut described));
        }
        described.retain(|(_, directory)| directories.contains(directory));
        Self { directories, described }
    }

    /// The directory of an image, where one is known.
    pub(super) fn find(&self, image: &str) -> Option<Found<'_>> {
        let name = ImageName::new(image);
        let is_described = |described: &str| {
            let described = ImageName::new(described);
            described.name == name.name || described.last() == name.last()
        };
        let described = self.described.iter().filter(|(image, _)| is_described(image)).map(|(_, directory)| directory);
        let named = |directory: &&PathBuf| directory.components().any(|part| text(part) == name.last());
        let like = |directory: &&PathBuf| {
            directory.components().any(|part| {
                let rest = name.last().strip_suffix(text(part)).or_else(|| name.last().strip_prefix(text(part)));
                rest.is_some_and(|rest| rest.starts_with(['-', '_']) || rest.ends_with(['-', '_']))
            })
        };
        let sure = only(described).or_else(|| only(self.directories.iter().filter(named)));
        let likely = || only(self.directories.iter().filter(like)).or_else(|| only(self.directories.iter()));
        sure.map(Found::Sure).or_else(|| likely().map(Found::Likely))
    }
}

fn text(part: Component<'_>) -> &str {
    part.as_os_str().to_str().unwrap_or_default()
}

/// The directory that all of them are.
fn only<'a>(directories: impl Iterator<Item = &'a PathBuf>) -> Option<&'a Path> {
    let directories: BTreeSet<&PathBuf> = directories.collect();
    match directories.len() {
        1 => directories.first().map(|directory| directory.as_path()),
        _ => None,
    }
}

/// Looks for maps that name an image and its directory: services of compose, artifacts of skaffold.
fn describe(value: &Value, described: &mut Vec<(String, PathBuf)>) {
    match value {
        Value::Object(fields) => {
            let build = fields.get("build").or_else(|| fields.get("context"));
            let context = build.and_then(|build| build.as_str().or_else(|| build.get("context")?.as_str()));
            if let (Some(image), Some(context)) = (fields.get("image").and_then(Value::as_str), context) {
                let parts = Path::new(context).components().filter(|part| *part != Component::CurDir);
                described.push((image.to_owned(), parts.collect()));
            }
            fields.values().for_each(|value| describe(value, described));
        }
        Value::Array(items) => items.iter().for_each(|item| describe(item, described)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{super::tests::project, *};

    const SKAFFOLD: &str = "apiVersion: skaffold/v4beta6\nkind: Config\nbuild:\n  artifacts:\n    - image: registry.example/shop/cart\n      \
                            context: src/basket\n---\napiVersion: skaffold/v4beta6\nkind: Config\n";
    const COMPOSE: &str = "services:\n  web: {image: 'web:dev', build: ./src/site}\n  api: {image: api, build: {context: src/api}}\n  \
                           db: {image: 'postgres:15'}\n  gone: {image: gone, build: gone}\n";

    #[rstest]
    #[case::described_by_skaffold("cart:latest", Some(Found::Sure(Path::new("src/basket"))))]
    #[case::described_by_compose("web:dev", Some(Found::Sure(Path::new("src/site"))))]
    #[case::described_with_a_context("registry.example:5000/api:1", Some(Found::Sure(Path::new("src/api"))))]
    #[case::by_its_directory("mail:dev", Some(Found::Sure(Path::new("src/mail/docker"))))]
    #[case::by_a_part_of_its_name("shop-mail:dev", Some(Found::Likely(Path::new("src/mail/docker"))))]
    #[case::of_others("postgres:15", None)]
    #[case::described_and_not_there("gone", None)]
    #[case::of_a_dependency("left-pad", None)]
    fn directories_of_images(#[case] image: &str, #[case] expected: Option<Found<'_>>) {
        let project = project(&[
            ("skaffold.yaml", SKAFFOLD),
            ("docker-compose.yml", COMPOSE),
            ("src/basket/Dockerfile", ""),
            ("src/site/Dockerfile", ""),
            ("src/api/Dockerfile", ""),
            ("src/mail/docker/Dockerfile", ""),
            ("node_modules/left-pad/Dockerfile", ""),
        ]);
        assert_eq!(Dockerfiles::of(project.path()).find(image), expected);
    }

    #[test]
    fn the_only_dockerfile_is_likely() {
        let project = project(&[("Dockerfile", "")]);
        assert_eq!(Dockerfiles::of(project.path()).find("shop:dev"), Some(Found::Likely(Path::new(""))));
    }
}
