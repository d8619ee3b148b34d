//! Images against a real Docker engine. Without one these tests say so and do nothing.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    process,
    sync::Mutex,
};

use bollard::{
    Docker,
    query_parameters::{
        CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    },
};
use e2e_run::image::{Cause, Error, Event, Origin, Outcome, Recipe, Recipes, ensure};
use futures_util::StreamExt;

#[tokio::test]
async fn an_image_is_made_once_and_again_when_its_recipe_changes() {
    let Some(bench) = Bench::new("made").await else { return };
    bench.write("image/Dockerfile", "FROM scratch\nCOPY hello /hello\n");
    bench.write("image/hello", "one");
    let recipes = recipes([(&bench.image, build("image"))]);

    assert_eq!(bench.how(&recipes).await, Origin::Made);
    assert_eq!(bench.how(&recipes).await, Origin::Present);
    let first = bench.id().await;

    bench.write("image/hello", "two");
    assert_eq!(bench.how(&recipes).await, Origin::Made);
    assert_ne!(bench.id().await, first);
    assert!(bench.docker.inspect_image(&first).await.is_err(), "the replaced image {first} is still there");
    bench.remove().await;
}

/// The classic builder looks at every image for cached steps and gives up on one that was removed meanwhile.
#[tokio::test]
async fn a_build_outlives_the_removal_of_other_images() {
    const IMAGES: usize = 100;
    let Some(bench) = Bench::new("beside-removals").await else { return };
    bench.write("image/Dockerfile", "FROM scratch\nCOPY hello /hello\n");
    let recipes = recipes([(&bench.image, build("image"))]);

    let others: Vec<String> = (0..IMAGES).map(|other| format!("{}-{other}", bench.image)).collect();
    for other in &others {
        bench.import(other).await;
    }
    let are_removed = Cell::new(false);
    let removals = async {
        for other in &others {
            remove(&bench.docker, other).await;
        }
        are_removed.set(true);
    };
    let builds = async {
        for round in 0.. {
            bench.write("image/hello", &format!("{round}"));
            assert_eq!(bench.how(&recipes).await, Origin::Made);
            if are_removed.get() {
                break;
            }
        }
    };
    futures_util::join!(removals, builds);
    bench.remove().await;
}

#[tokio::test]
async fn an_image_that_others_made_is_never_replaced() {
    let Some(bench) = Bench::new("foreign").await else { return };
    bench.write("image/Dockerfile", "FROM scratch\nCOPY hello /hello\n");
    bench.write("image/hello", "ours");
    bench.import(&bench.image).await;
    let theirs = bench.id().await;

    let recipes = recipes([(&bench.image, build("image"))]);
    let events = Mutex::new(Vec::new());
    let outcomes = bench.ensure(&recipes, &|event| events.lock().expect("no panic holds it").push(event)).await;
    assert_eq!(outcomes.expect("an image").first().map(|outcome| outcome.origin), Some(Origin::Present));
    assert_eq!(bench.id().await, theirs);
    let events = events.into_inner().expect("no panic holds it");
    assert!(events.contains(&Event::Foreign(bench.image.clone())), "{events:?}");
    bench.remove().await;
}

#[tokio::test]
async fn needs_come_first_and_a_script_makes_a_filesystem() {
    let Some(bench) = Bench::new("needs").await else { return };
    let base = bench.image.replace("e2e-test-", "e2e-test-base-");
    bench.write("script.sh", "#!/bin/sh\ncd \"$(dirname \"$0\")\" && echo making >&2 && tar -c script.sh\n");
    bench.write("image/Dockerfile", &format!("FROM {base}\nCOPY Dockerfile /\n"));
    let needs = vec![base.clone()];
    let recipes = recipes([
        (&base, Recipe::Script { script: "script.sh".into(), pull: false }),
        (&bench.image, Recipe::Build { build: "image".into(), needs, pull: false }),
    ]);

    let lines = Mutex::new(Vec::new());
    let progress = |event| {
        if let Event::Line { image, line } = event {
            lines.lock().expect("no panic holds it").push((image, line));
        }
    };
    let outcomes = bench.ensure(&recipes, &progress).await.expect("both images");
    let made: Vec<_> = outcomes.iter().map(|outcome| (outcome.image.as_str(), outcome.origin)).collect();
    assert_eq!(made, [(base.as_str(), Origin::Made), (bench.image.as_str(), Origin::Made)]);
    assert!(lines.into_inner().expect("no panic holds it").contains(&(base.clone(), "making".to_owned())));

    // An image that is there does not ask for what it was made from; a changed need makes it again.
    let alone: Vec<_> = bench.ensure(&recipes, &|_| {}).await.expect("one image");
    assert_eq!(alone.iter().map(|outcome| outcome.image.as_str()).collect::<Vec<_>>(), [bench.image.as_str()]);
    bench.write("script.sh", "#!/bin/sh\ncd \"$(dirname \"$0\")\" && tar -c script.sh image\n");
    let again = bench.ensure(&recipes, &|_| {}).await.expect("both images");
    assert!(again.len() == 2 && again.iter().all(|outcome| outcome.origin == Origin::Made), "{again:?}");
    bench.remove().await;
    remove(&bench.docker, &base).await;
}

#[tokio::test]
async fn failures_are_named_and_leave_no_container() {
    let Some(bench) = Bench::new("failing").await else { return };
    let label = format!("e2e.test={}", process::id());
    bench.write("image/Dockerfile", &format!("FROM scratch\nLABEL {label}\nCOPY not-there /\n"));
    bench.write("script.sh", "#!/bin/sh\necho needs a better machine >&2\nexit 3\n");
    let (base, top) = ("e2e-test-failing-base:none".to_owned(), "e2e-test-failing-top:none".to_owned());
    let recipes = recipes([
        (&bench.image, build("image")),
        (&base, Recipe::Script { script: "script.sh".into(), pull: false }),
        (&top, Recipe::Build { build: "image".into(), needs: vec![base.clone()], pull: false }),
    ]);

    let images = [bench.image.clone(), top.clone()];
    let error = ensure(&bench.docker, &images, &recipes, bench.root(), &|_| {}).await.expect_err("nothing can be made");
    let text = error.to_string();
    let Error::Missing(failures) = error else { panic!("{text}") };
    assert_eq!(failures.len(), 3, "{text}");
    assert!(failures.iter().any(|failure| matches!(&failure.cause, Cause::Needs(need) if *need == base)), "{text}");
    assert!(
        text.contains("not-there") && text.contains(&format!("LABEL {label}")),
        "the build's own words are missing: {text}"
    );
    assert_eq!(text.matches("| needs a better machine").count(), 1, "{text}");

    let label = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&label).build();
    let left = bench.docker.list_containers(Some(options)).await.expect("a list");
    assert!(left.is_empty(), "containers left by the failed build: {left:?}");
    // The step that went well stays in the engine's build cache.
    let options = ListImagesOptionsBuilder::new().all(true).filters(&label).build();
    for step in bench.docker.list_images(Some(options)).await.expect("a list") {
        remove(&bench.docker, &step.id).await;
    }
}

#[tokio::test]
async fn an_image_without_a_recipe_says_what_was_tried() {
    let Some(bench) = Bench::new("unknown").await else { return };
    let error = bench.ensure(&Recipes::default(), &|_| {}).await.expect_err("nobody has this image");
    let text = error.to_string();
    let failure = match &error {
        Error::Missing(failures) => &failures[0],
        _ => panic!("{text}"),
    };
    assert!(matches!(failure.cause, Cause::NoRecipe) && failure.pull.is_some(), "{text}");
    assert!(text.contains(&format!("pull of {}", bench.image)) && text.contains("docker load"), "{text}");
}

/// An engine, a directory for recipes and an image name of its own.
struct Bench {
    docker: Docker,
    directory: tempfile::TempDir,
    image: String,
}

impl Bench {
    async fn new(name: &str) -> Option<Self> {
        let docker = match Docker::connect_with_defaults() {
            Ok(docker) => docker.ping().await.map(|_| docker),
            Err(error) => Err(error),
        };
        match docker {
            Ok(docker) => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                Some(Self { docker, directory, image: format!("e2e-test-{name}:{}", process::id()) })
            }
            Err(error) => {
                eprintln!("SKIPPED: no Docker engine: {error}");
                None
            }
        }
    }

    /// An image that nothing of ours made, from a root filesystem of nothing: two empty blocks are a whole tar.
    async fn import(&self, image: &str) {
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(image).build();
        let nothing = bollard::body_full(vec![0_u8; 1024].into());
        let mut answers = self.docker.create_image(Some(options), Some(nothing), None);
        while let Some(answer) = answers.next().await {
            answer.expect("an import");
        }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, name: &str, content: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        if name.ends_with(".sh") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
    }

    async fn ensure(&self, recipes: &Recipes, progress: &(dyn Fn(Event) + Sync)) -> Result<Vec<Outcome>, Error> {
        ensure(&self.docker, std::slice::from_ref(&self.image), recipes, self.root(), progress).await
    }

    async fn how(&self, recipes: &Recipes) -> Origin {
        self.ensure(recipes, &|_| {}).await.expect("an image").pop().expect("an outcome").origin
    }

    async fn id(&self) -> String {
        self.docker.inspect_image(&self.image).await.expect("the image").id.expect("an id")
    }

    async fn remove(&self) {
        remove(&self.docker, &self.image).await;
    }
}

async fn remove(docker: &Docker, image: &str) {
    let options = RemoveImageOptionsBuilder::new().force(true).build();
    docker.remove_image(image, Some(options), None).await.expect("the image was there");
}

fn build(directory: &str) -> Recipe {
    Recipe::Build { build: directory.into(), needs: Vec::new(), pull: false }
}

fn recipes<const N: usize>(recipes: [(&String, Recipe); N]) -> Recipes {
    Recipes(recipes.into_iter().map(|(image, recipe)| (image.clone(), recipe)).collect::<BTreeMap<_, _>>())
}
