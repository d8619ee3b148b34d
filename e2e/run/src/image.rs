//! Provides images to a Docker engine: present, else pulled, else built from a [`Recipe`].
//! Main function: [`ensure`].

mod agent;
mod cargo;
mod context;
mod dockerignore;
mod engine;
mod error;
mod process;
mod recipe;
mod sandbox;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bollard::Docker;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, try_join_all},
};
use tokio::sync::OnceCell;

pub(crate) use cargo::cargo_target_directory;
pub use cargo::{CargoError, cargo_binaries};
pub(crate) use context::directories;
pub use error::{Cause, Error, Failure, Refusal};
pub use process::Failed;
pub(crate) use recipe::{AGENT_IMAGE, SANDBOX_IMAGE};
pub use recipe::{Recipe, Recipes};
pub(crate) use sandbox::{orders, volume_path};

/// How an image was provided, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The image's name, as requested.
    pub image: String,
    /// What was done.
    pub origin: Origin,
    /// How long it took, including waiting for the images it needs.
    pub took: Duration,
}

/// What was done for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: the engine had it, and its recipe is unchanged.
    Present,
    /// A registry had it.
    Pulled,
    /// Its recipe made it.
    Made,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Present => "present",
            Self::Pulled => "pulled",
            Self::Made => "built",
        })
    }
}

/// Progress of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is being built.
    Making(String),
    /// The engine has an image of this name that its recipe did not build; it is used unchanged.
    Foreign(String),
    /// A line that a recipe printed.
    Line {
        /// The image's name; `cargo` for the build of all binaries.
        image: String,
        /// The line, without its end.
        line: String,
    },
    /// It is present.
    Done(Outcome),
}

/// Where [`ensure`] reports to.
pub type Progress<'a> = &'a (dyn Fn(Event) + Sync);

/// Provides `images` to the engine, concurrently unless they need each other.
///
/// An image that the engine has is left alone, unless this function built it and its recipe's content has changed since: then it is
/// rebuilt. Paths in recipes are relative to `root`. Returns an outcome for every image of `images` and for every image needed to
/// build them, dependencies first.
pub async fn ensure(
    docker: &Docker,
    images: &[String],
    recipes: &Recipes,
    root: &Path,
    progress: Progress<'_>,
) -> Result<Vec<Outcome>, Error> {
    let order = recipes.order(images).map_err(Error::Cycle)?;
    docker.ping().await.map_err(Error::NoEngine)?;
    let packages = order.iter().filter_map(|image| recipes.0.get(*image)?.package()).map(str::to_owned).collect();
    let cells = order.iter().map(|image| (*image, OnceCell::new())).collect();
    let work = Work { docker, recipes, root, progress, packages, binaries: OnceCell::new(), cells };

    join_all(images.iter().map(|image| work.provide(image))).await;

    let Work { mut cells, .. } = work;
    let results = order.iter().filter_map(|image| cells.remove(image)?.into_inner());
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(outcomes) } else { Err(Error::Missing(failures)) }
}

/// The images that the engine has.
pub(crate) async fn present(docker: &Docker, images: &[String]) -> Result<Vec<String>, Error> {
    let looks = inspect(docker, images).await?;
    Ok(looks.into_iter().filter_map(|(image, found)| found.map(|_| image.clone())).collect())
}

/// Those of the images that no registry can have: their recipes are never pulled, or the engine has them and they were made here.
pub(crate) async fn only_here(docker: &Docker, images: &[String], recipes: &Recipes) -> Result<Vec<String>, Error> {
    let is_only_here = |(image, found): &(&String, Option<engine::Present>)| match found {
        Some(found) => found.recipe.is_some() || !found.is_registered,
        None => recipes.0.get(*image).is_some_and(|recipe| !recipe.may_pull()),
    };
    Ok(inspect(docker, images).await?.into_iter().filter(is_only_here).map(|(image, _)| image.clone()).collect())
}

async fn inspect<'a>(
    docker: &Docker,
    images: &'a [String],
) -> Result<Vec<(&'a String, Option<engine::Present>)>, Error> {
    let looks = images.iter().map(async |image| Ok((image, engine::inspect(docker, image).await?)));
    try_join_all(looks).await.map_err(Error::NoEngine)
}

/// One call of [`ensure`]. Every image has a cell, so that two images that need a third one share its work.
struct Work<'a> {
    docker: &'a Docker,
    recipes: &'a Recipes,
    root: &'a Path,
    progress: Progress<'a>,
    packages: Vec<String>,
    binaries: OnceCell<Result<BTreeMap<String, PathBuf>, CargoError>>,
    cells: BTreeMap<&'a str, OnceCell<Result<Outcome, Failure>>>,
}

/// The content that a recipe builds its image from.
enum Content {
    /// A program that writes a root filesystem to its standard output.
    Script(PathBuf),
    /// A build context as a tar.
    Context(Vec<u8>),
}

impl Work<'_> {
    /// Provides one image after those it needs. Returns whether that succeeded; the cell holds the rest.
    fn provide<'s>(&'s self, image: &'s str) -> BoxFuture<'s, bool> {
        let work = move || async move {
            let start = Instant::now();
            let mut pull = None;
            match self.find_or_make(image, &mut pull).await {
                Ok(origin) => {
                    let outcome = Outcome { image: image.to_owned(), origin, took: start.elapsed() };
                    (self.progress)(Event::Done(outcome.clone()));
                    Ok(outcome)
                }
                Err(cause) => Err(Failure { image: image.to_owned(), pull, cause, after: start.elapsed() }),
            }
        };
        async move { self.cells[image].get_or_init(work).await.is_ok() }.boxed()
    }

    /// Present, else pulled, else built. `pull` receives the reason for a failed pull, for the error if the build fails too.
    async fn find_or_make(&self, image: &str, pull: &mut Option<Refusal>) -> Result<Origin, Cause> {
        let present = engine::inspect(self.docker, image).await?;
        let recipe = self.recipes.0.get(image);
        let ours = present.as_ref().is_some_and(|present| present.recipe.is_some());
        if present.is_some() && (!ours || recipe.is_none()) {
            if recipe.is_some_and(|recipe| !recipe.may_pull()) {
                (self.progress)(Event::Foreign(image.to_owned()));
            }
            return Ok(Origin::Present);
        }
        if present.is_none() && recipe.is_none_or(Recipe::may_pull) {
            let start = Instant::now();
            match engine::pull(self.docker, image).await {
                Ok(()) => return Ok(Origin::Pulled),
                Err(why) => *pull = Some(Refusal { why, after: start.elapsed() }),
            }
        }
        let recipe = recipe.ok_or(Cause::NoRecipe)?;
        let (content, digest) = self.content(recipe).await?;
        if present.as_ref().and_then(|present| present.recipe.as_ref()) == Some(&digest) {
            return Ok(Origin::Present);
        }
        self.make(image, recipe, content, &digest).await?;
        if let Some(old) = present {
            engine::remove_if_unused(self.docker, &old.id).await;
        }
        Ok(Origin::Made)
    }

    async fn make(&self, image: &str, recipe: &Recipe, content: Content, digest: &str) -> Result<(), Cause> {
        let needs = recipe.needs();
        let provided = join_all(needs.iter().map(|need| self.provide(need))).await;
        if let Some((need, _)) = needs.iter().zip(provided).find(|(_, there)| !there) {
            return Err(Cause::Needs(need.clone()));
        }
        (self.progress)(Event::Making(image.to_owned()));
        let on_line = |line: &str| self.line(image, line);
        match content {
            Content::Context(tar) => engine::build(self.docker, image, &tar, digest, &on_line).await,
            Content::Script(path) => {
                let filesystem = process::run(tokio::process::Command::new(&path).current_dir(self.root), &on_line)
                    .await
                    .map_err(|failed| Cause::Script { path, failed })?;
                engine::import(self.docker, image, filesystem, digest).await
            }
        }
    }

    /// An image's content, and a digest over it and the content of the images it needs.
    fn content<'s>(&'s self, recipe: &'s Recipe) -> BoxFuture<'s, Result<(Content, String), Cause>> {
        async move {
            match recipe {
                Recipe::Script { script, .. } => {
                    let path = self.root.join(script);
                    let digest = context::digest(&["script".as_bytes(), &context::read(&path)?]);
                    Ok((Content::Script(path), digest))
                }
                Recipe::Sandbox => Ok(built_in(sandbox::context())),
                Recipe::Agent => Ok(built_in(agent::context().await?)),
                Recipe::Cargo { package } => self.program(package).await,
                Recipe::Build { build, needs, .. } => {
                    let tar = context::of_directory(&self.root.join(build))?;
                    let mut digests = vec![context::digest(&["build".as_bytes(), &tar])];
                    for recipe in needs.iter().filter_map(|need| self.recipes.0.get(need)) {
                        digests.push(self.content(recipe).await?.1);
                    }
                    let parts: Vec<&[u8]> = digests.iter().map(String::as_bytes).collect();
                    Ok((Content::Context(tar), context::digest(&parts)))
                }
            }
        }
        .boxed()
    }

    /// The content of an image that holds one program of the workspace.
    async fn program(&self, package: &str) -> Result<(Content, String), Cause> {
        let tar = context::of_binary(package, &context::read(&self.binary(package).await?)?, &[]);
        let digest = context::digest(&["cargo".as_bytes(), &tar]);
        Ok((Content::Context(tar), digest))
    }

    /// A single call of cargo builds the binaries of all images: parallel ones would wait for each other's lock.
    async fn binary(&self, package: &str) -> Result<PathBuf, Cause> {
        let build = || async { cargo_binaries(self.root, &self.packages, &|line| self.line("cargo", line)).await };
        let binaries = self.binaries.get_or_init(build).await.as_ref().map_err(|error| Cause::Cargo(error.clone()))?;
        Ok(binaries[package].clone())
    }

    fn line(&self, image: &str, line: &str) {
        (self.progress)(Event::Line { image: image.to_owned(), line: line.to_owned() });
    }
}

/// The content of an image that comes out of this program.
fn built_in(context: Vec<u8>) -> (Content, String) {
    let digest = context::digest(&["built-in".as_bytes(), &context]);
    (Content::Context(context), digest)
}
