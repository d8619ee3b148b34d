//! Pods against a real Docker engine. Without one these tests say so and do nothing.

use bollard::{
    body_full,
    query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};

use super::*;
use crate::{
    image::{self, Recipes, SANDBOX_IMAGE},
    provider::{pods, testing::plan_of_pod},
};

/// The pods of a plan in an engine, whose only image is that of sandboxes: it holds the program `/pause`.
struct Bench {
    pods: DockerPods,
    _directory: tempfile::TempDir,
}

/// The only pod.
const POD: &str = "app-0";

impl Bench {
    async fn new(name: &str, spec: &str) -> Option<Self> {
        let run_id = format!("test-{name}-{}", &e2e_report::run_dir::random_hex()[..8]);
        let engine = match Engine::connect(&run_id).await {
            Ok(engine) => engine,
            Err(error) => {
                eprintln!("SKIPPED: {error}");
                return None;
            }
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let images = [SANDBOX_IMAGE.to_owned()];
        let recipes = Recipes::default().with_built_in();
        image::ensure(engine.client(), &images, &recipes, directory.path(), &|_| ())
            .await
            .expect("the sandbox's image");
        let plan = plan_of_pod(&spec.replace("IMAGE", SANDBOX_IMAGE));
        let run = RunDir::create(directory.path(), &run_id, |_| Ok(())).expect("a run directory");
        let pods =
            DockerPods::prepare(engine, pods::of(&plan, "test"), &plan.services, &run, false).await.expect("a network");
        Some(Self { pods, _directory: directory })
    }

    async fn start(&self, container: &str) -> Result<(), String> {
        self.pods.start(POD, container).await.map_err(|error| error.to_string())
    }

    async fn sandbox(&self) -> String {
        let pod = self.pods.pod(POD).expect("the pod");
        self.pods.sandbox(&pod).await.expect("a sandbox").id.clone()
    }

    /// Copies `/pause` of the sandbox into one of its directories.
    async fn copy_pause(&self, to: &str) {
        self.copy_pause_into(&self.sandbox().await, to).await;
    }

    /// Copies `/pause` of the sandbox into a directory of a container.
    async fn copy_pause_into(&self, container: &str, to: &str) {
        let (client, sandbox) = (&self.pods.engine.client, self.sandbox().await);
        let from = DownloadFromContainerOptionsBuilder::default().path("/pause").build();
        let mut archive = Vec::new();
        let mut chunks = client.download_from_container(&sandbox, Some(from));
        while let Some(chunk) = chunks.next().await {
            archive.extend_from_slice(&chunk.expect("an archive"));
        }
        let to = UploadToContainerOptionsBuilder::default().path(to).build();
        client.upload_to_container(container, Some(to), body_full(archive.into())).await.expect("a copy");
    }

    async fn remove(self) {
        self.pods.teardown().await.expect("everything is removed");
    }
}

#[tokio::test]
async fn a_container_that_cannot_start_names_the_cause_with_every_try() {
    let spec = "{ containers: [{ name: app, image: IMAGE, command: [backendd] }] }";
    let Some(bench) = Bench::new("nothing", spec).await else { return };
    for attempt in 1..=3 {
        let error = bench.start("app").await.expect_err("there is no such program");
        assert!(error.contains("executable file not found"), "try {attempt}: {error}");
    }
    bench.remove().await;
}

#[tokio::test]
async fn a_container_starts_once_what_it_lacked_is_there() {
    let spec = "{ containers: [{ name: app, image: IMAGE, command: [/tools/pause], \
                volumeMounts: [{ name: tools, mountPath: /tools }] }], volumes: [{ name: tools, emptyDir: {} }] }";
    let Some(bench) = Bench::new("late", spec).await else { return };
    let error = bench.start("app").await.expect_err("the volume is empty");
    assert!(error.contains("/tools/pause"), "{error}");
    bench.copy_pause(&image::volume_path(0)).await;
    assert_eq!(bench.start("app").await, Ok(()));
    bench.remove().await;
}

#[tokio::test]
async fn a_pod_whose_sandbox_has_ended_is_made_anew() {
    let spec = "{ containers: [{ name: app, image: IMAGE }, { name: other, image: IMAGE }] }";
    let Some(bench) = Bench::new("again", spec).await else { return };
    bench.start("app").await.expect("a start");
    bench.start("other").await.expect("a start");
    let client = &bench.pods.engine.client;
    // As when the engine starts again, but for the other container, which must not stay in a network of its own.
    let (ended, app) = (bench.sandbox().await, bench.pods.container(POD, "app").await.expect("a container"));
    client.kill_container(app.id(), None).await.expect("its end");
    client.kill_container(&ended, None).await.expect("its end");
    assert_eq!(bench.pods.wait_exit(POD, "app").await.code, 137);

    let error = bench.start("app").await.expect_err("there is no network to join");
    assert!(error.contains("the sandbox of app-0") && error.contains("recreates it"), "{error}");
    assert_eq!(bench.pods.wait_exit(POD, "other").await, exit::UNKNOWN);
    bench.start("app").await.expect("a start in another sandbox");
    bench.start("other").await.expect("a start in another sandbox");
    assert_ne!(bench.sandbox().await, ended);
    bench.remove().await;
}

#[tokio::test]
async fn volumes_in_memory_and_directories_in_volumes_are_the_pods() {
    let mount = |name: &str| {
        format!(
            "{{ name: {name}, image: IMAGE, command: [/tools/pause], volumeMounts: [{{ name: memory, mountPath: /tools }}, \
             {{ name: disk, mountPath: /data, subPath: deep/inside }}] }}"
        )
    };
    let spec = format!(
        "{{ containers: [{}, {}], volumes: [{{ name: disk, emptyDir: {{}} }}, {{ name: memory, emptyDir: {{ medium: Memory }} }}] }}",
        mount("one"),
        mount("two")
    );
    let Some(bench) = Bench::new("volumes", &spec).await else { return };
    // The sandbox alone has it mounted now, at the place of the second volume.
    bench.copy_pause(&image::volume_path(1)).await;
    bench.start("one").await.expect("a program from the volume in memory");
    let one = bench.pods.container(POD, "one").await.expect("a container");
    bench.copy_pause_into(one.id(), "/data").await;
    bench.start("two").await.expect("the same program");
    let client = &bench.pods.engine.client;
    let path = format!("{}/deep/inside/pause", image::volume_path(0));
    let path = DownloadFromContainerOptionsBuilder::default().path(&path).build();
    let chunk = client.download_from_container(&bench.sandbox().await, Some(path)).next().await;
    chunk.expect("an answer").expect("what `one` has in its /data is in the volume");
    bench.remove().await;
}

#[tokio::test]
async fn a_command_that_the_image_lacks_is_no_exit_status() {
    let spec = "{ containers: [{ name: app, image: IMAGE }] }";
    let Some(bench) = Bench::new("exec", spec).await else { return };
    bench.start("app").await.expect("a start");
    let error = bench.pods.exec(POD, "app", &["backendd".to_owned()]).await.expect_err("there is no such program");
    assert!(error.to_string().contains("executable file not found"), "{error}");
    bench.remove().await;
}

#[tokio::test]
async fn a_container_is_made_anew_once_it_is_outdated() {
    let Some(bench) = Bench::new("renew", "{ containers: [{ name: app, image: IMAGE }] }").await else { return };
    let mut ids = Vec::new();
    for is_outdated in [false, false, true] {
        if is_outdated {
            bench.pods.renew([POD].into_iter());
        }
        bench.start("app").await.expect("a start");
        ids.push(bench.pods.container(POD, "app").await.expect("a container").id().to_owned());
        bench.pods.kill(POD, "app", Duration::ZERO).await.expect("its end");
    }
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    bench.remove().await;
}
