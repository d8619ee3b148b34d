//! Why images are missing. Main type: [`Error`].

use std::{io, path::PathBuf, time::Duration};

use e2e_plan::duration::human;

use super::{CargoError, Failed};

/// Why [`ensure`](super::ensure) could not bring all images.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error("no Docker engine answers; start one, or set DOCKER_HOST to a running one")]
    NoEngine(#[source] bollard::errors::Error),
    /// Recipes need each other in a circle; the first name stands again at the end.
    #[error("image recipes depend on each other in a cycle: {}; remove one of these `needs` from .config/e2e.toml", .0.join(" -> "))]
    Cycle(Vec<String>),
    #[error("{}", describe(.0))]
    Missing(Vec<Failure>),
}

/// What was tried for one image.
#[derive(Debug)]
pub struct Failure {
    /// The image's name.
    pub image: String,
    /// Why it could not be pulled, if that was tried.
    pub pull: Option<Refusal>,
    /// Why it could not be made.
    pub cause: Cause,
    /// How long all of it was tried.
    pub after: Duration,
}

/// Why a registry did not give an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The engine's words.
    pub why: String,
    /// How long it took.
    pub after: Duration,
}

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Cause {
    #[error("no recipe")]
    NoRecipe,
    #[error("it needs {0}")]
    Needs(String),
    #[error("the Docker engine says: {0}")]
    Engine(#[from] bollard::errors::Error),
    #[error("cannot read {path}: {error}", path = path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{path}: {failed}", path = path.display())]
    Script { path: PathBuf, failed: Failed },
    #[error("the build failed: {0}")]
    Build(Failed),
    #[error("{0}")]
    Cargo(CargoError),
    #[error("this program cannot be the load's agent: {0}; generate the load on this machine with --load-from host")]
    Agent(String),
}

/// Every failure once, with the images that it met.
fn describe(failures: &[Failure]) -> String {
    let pulls = failures.iter().filter_map(|failure| {
        let refusal = failure.pull.as_ref()?;
        Some((refusal.why.clone(), failure.image.as_str(), refusal.after))
    });
    let recipes = failures.iter().map(|failure| (failure.cause.to_string(), failure.image.as_str(), failure.after));
    let images: Vec<&str> = failures.iter().map(|failure| failure.image.as_str()).collect();
    format!(
        "images are missing: {}{}{}\n  try: `docker pull` where a registry answers, `docker load` from a machine that has \
         them, or a corrected recipe under [images] in .config/e2e.toml",
        images.join(", "),
        grouped("pull of", pulls),
        grouped("recipe of", recipes),
    )
}

/// A line for each reason, with its images and the longest time.
fn grouped<'a>(what: &str, reasons: impl Iterator<Item = (String, &'a str, Duration)>) -> String {
    let mut groups: Vec<(String, Vec<&str>, Duration)> = Vec::new();
    for (why, image, after) in reasons {
        match groups.iter_mut().find(|group| group.0 == why) {
            Some((_, images, longest)) => {
                images.push(image);
                *longest = after.max(*longest);
            }
            None => groups.push((why, vec![image], after)),
        }
    }
    let line = |(why, images, after): &(String, Vec<&str>, Duration)| {
        format!("\n  {what} {} ({}): {why}", images.join(", "), human(*after))
    };
    groups.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_said_once_with_its_images() {
        let failure = |image: &str, cause| Failure {
            image: image.to_owned(),
            pull: Some(Refusal { why: "no such host".to_owned(), after: Duration::from_millis(20) }),
            cause,
            after: Duration::from_secs(1),
        };
        let failed = Failed { problem: "exit status: 1".to_owned(), last_lines: vec!["needs root".to_owned()] };
        let error = Error::Missing(vec![
            failure("base:1", Cause::Script { path: "make.sh".into(), failed }),
            failure("store:2", Cause::Needs("base:1".to_owned())),
            failure("queue:3", Cause::Needs("base:1".to_owned())),
        ]);
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().map(|line| line.split(" (").next().unwrap_or(line).trim()).collect();
        let start =
            ["images are missing: base:1, store:2, queue:3", "pull of base:1, store:2, queue:3", "recipe of base:1"];
        assert_eq!(lines[..3], start);
        assert_eq!(lines[3..5], ["| needs root", "recipe of store:2, queue:3"]);
        assert_eq!(text.matches("no such host").count(), 1);
        assert!(lines[5].starts_with("try: `docker pull`"));
    }
}
