//! The few things that are asked of a Docker engine, through its HTTP API only: no `docker` program is needed.

use std::{collections::HashMap, env, time::Duration};

use bollard::{
    Docker, body_full,
    errors::Error,
    models::BuildInfo,
    query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder, RemoveImageOptions},
};
use e2e_plan::ImageName;
use futures_util::{Stream, StreamExt};
use tokio::time::{sleep, timeout};

use super::{Cause, Failed, process};

/// The label of an image that was made here; its value is the digest of what it was made from.
pub(super) const RECIPE_LABEL: &str = "e2e.recipe";

/// A registry answers within a second or two; a network that swallows packets would take minutes to say that it does not.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// While a layer is loaded the engine reports several times a second, and while it is unpacked it can be silent for long.
const NEXT_ANSWER: Duration = Duration::from_secs(120);

/// How often a build is started that loses a cached step, and the pause between: whoever removes images removes several.
const BUILDS: usize = 10;
const NEXT_BUILD: Duration = Duration::from_millis(500);

/// The variables with which people say how the network is reached; every Dockerfile accepts them.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// An image that the engine has.
pub(super) struct Present {
    pub(super) id: String,
    /// The digest of what it was made from, if it was made here.
    pub(super) recipe: Option<String>,
    /// Whether a registry has it too, as far as the engine knows.
    pub(super) is_registered: bool,
}

pub(super) async fn inspect(docker: &Docker, image: &str) -> Result<Option<Present>, Error> {
    match docker.inspect_image(image).await {
        Ok(found) => {
            let recipe = found.config.and_then(|config| config.labels?.remove(RECIPE_LABEL));
            let is_registered = found.repo_digests.is_some_and(|digests| !digests.is_empty());
            Ok(Some(Present { id: found.id.unwrap_or_default(), recipe, is_registered }))
        }
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the image's registry for it, without credentials. The error says why it did not come.
pub(super) async fn pull(docker: &Docker, image: &str) -> Result<(), String> {
    let options = CreateImageOptionsBuilder::new().from_image(&with_tag(image)).build();
    let mut answers = docker.create_image(Some(options), None, None);
    let mut limit = FIRST_ANSWER;
    loop {
        match timeout(limit, answers.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(_))) => limit = NEXT_ANSWER,
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Err(_) => return Err(format!("no answer for {} s", limit.as_secs())),
        }
    }
}

/// Builds an image from a context. The classic builder, because it is in every engine and needs no session.
///
/// To find cached steps, it looks at every image of the engine and fails if one of them is removed meanwhile, by anyone
/// ([moby#29011](https://github.com/moby/moby/issues/29011)). Such a build starts again.
pub(super) async fn build(
    docker: &Docker,
    image: &str,
    context: &[u8],
    digest: &str,
    on_line: &(dyn Fn(&str) + Sync),
) -> Result<(), Cause> {
    let proxies: HashMap<&str, String> =
        PROXY_VARIABLES.iter().filter_map(|name| Some((*name, env::var(name).ok()?))).collect();
    // A failed step leaves no container either (`forcerm`).
    let options = BuildImageOptionsBuilder::new()
        .t(image)
        .rm(true)
        .forcerm(true)
        .labels(&HashMap::from([(RECIPE_LABEL, digest)]))
        .buildargs(&proxies)
        .build();
    let mut builds = 1;
    loop {
        let answers = docker.build_image(options.clone(), None, Some(body_full(context.to_vec().into())));
        match built(answers, on_line).await {
            Err(Cause::Build(failed)) if builds < BUILDS && is_removed_meanwhile(&failed.problem) => {
                on_line(&format!("{}: it was removed during the build, which starts again", failed.problem));
                sleep(NEXT_BUILD).await;
                builds += 1;
            }
            result => return result,
        }
    }
}

/// The engine's words for an image that was in its list and is not any more.
fn is_removed_meanwhile(problem: &str) -> bool {
    problem.starts_with("unable to find image \"sha256:")
}

/// What a build comes to.
async fn built(
    mut answers: impl Stream<Item = Result<BuildInfo, Error>> + Unpin,
    on_line: &(dyn Fn(&str) + Sync),
) -> Result<(), Cause> {
    let mut output = Output { on_line, unfinished: String::new(), last_lines: Vec::new() };
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => output.push(&answer.stream.unwrap_or_default()),
            Err(Error::DockerStreamError { error } | Error::DockerResponseServerError { message: error, .. }) => {
                output.push("\n");
                return Err(Cause::Build(Failed { problem: error, last_lines: output.last_lines }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes an image of one layer from a root filesystem.
pub(super) async fn import(docker: &Docker, image: &str, filesystem: Vec<u8>, digest: &str) -> Result<(), Cause> {
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(&with_tag(image))
        .changes(vec![format!("LABEL {RECIPE_LABEL}={digest}"), "CMD [\"sh\"]".to_owned()])
        .build();
    let mut answers = docker.create_image(Some(options), Some(body_full(filesystem.into())), None);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

/// Removes an image that lost its name to a newer one, unless a container or another name still uses it.
pub(super) async fn remove_if_unused(docker: &Docker, id: &str) {
    // A refusal means that it is in use, and an image too many is no reason to fail.
    let _ = docker.remove_image(id, None::<RemoveImageOptions>, None).await;
}

/// A build's output comes in pieces that end anywhere, with what went to standard error in red.
struct Output<'a> {
    on_line: &'a (dyn Fn(&str) + Sync),
    unfinished: String,
    last_lines: Vec<String>,
}

impl Output<'_> {
    fn push(&mut self, piece: &str) {
        self.unfinished.push_str(&piece.replace("\x1b[91m", "").replace("\x1b[0m", ""));
        while let Some(end) = self.unfinished.find('\n') {
            let line: String = self.unfinished.drain(..=end).collect();
            let line = line.trim_end();
            if !line.is_empty() {
                (self.on_line)(line);
                process::keep(&mut self.last_lines, line);
            }
        }
    }
}

/// The engine takes a name without a tag for all tags when it pulls, and for `latest` everywhere else.
fn with_tag(image: &str) -> String {
    let name = ImageName::new(image);
    format!("{}{}", name.name, name.version())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_output_become_lines_without_colours() {
        let mut output = Output { on_line: &|_| {}, unfinished: String::new(), last_lines: Vec::new() };
        for piece in ["Step 1/2\n", "\x1b[91mE\x1b[0m", "\x1b[91m: no package\n", "\x1b[0m\n", "the end"] {
            output.push(piece);
        }
        assert_eq!(output.last_lines, ["Step 1/2", "E: no package"]);
        output.push("\n");
        assert_eq!(output.last_lines[2], "the end");
    }

    #[test]
    fn a_name_without_a_tag_means_latest() {
        assert_eq!(with_tag("redis"), "redis:latest");
        assert_eq!(with_tag("localhost:5000/redis"), "localhost:5000/redis:latest");
        assert_eq!(with_tag("redis:7"), "redis:7");
        assert_eq!(with_tag("redis@sha256:00"), "redis@sha256:00");
    }
}
