//! Pods against a real Docker engine. Without one these tests say so and do nothing.

use bollard::{
    body_full,
    query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder},
};

use super::*;
use crate::{
    image::{self, Recipes, SANDBOX_IMAGE},
    provider::{
        pods,
        testing::{deployment, plan, service},
    },
};

/// The pods of a plan in an engine, whose only image is that of sandboxes: it holds the program `/pause`.
struct Bench {
    pods: DockerPods,
    _directory: tempfile::TempDir,
}

/// The only pod.
const POD: &str = "app-0";
/// What it consists of.
const APP: &str = "{ containers: [{ name: app, image: IMAGE }] }";
const APP_AND_OTHER: &str = "{ containers: [{ name: app, image: IMAGE }, { name: other, image: IMAGE }] }";

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
        image::ensure(&engine.client, &images, &recipes, directory.path(), &|_| ()).await.expect("the sandbox's image");
        // It leads to the only pod once that is ready.
        let service = service("app", "app", 80);
        let plan = plan(&[deployment("app", &spec.replace("IMAGE", SANDBOX_IMAGE)), service].join("---\n"));
        let run = RunDir::create(directory.path(), &run_id, |_| Ok(())).expect("a run directory");
        let pods =
            DockerPods::prepare(engine, pods::of(&plan, "test"), &plan.services, &run, false).await.expect("a network");
        Some(Self { pods, _directory: directory })
    }

    /// The same with the container `app` started.
    async fn started(name: &str, spec: &str) -> Option<Self> {
        let bench = Self::new(name, spec).await?;
        bench.start("app").await.expect("a start");
        Some(bench)
    }

    async fn start(&self, container: &str) -> Result<(), String> {
        self.pods.start(POD, container).await.map_err(|error| error.to_string())
    }

    async fn id(&self, container: &str) -> String {
        self.pods.container(POD, container).await.expect("a container").id().to_owned()
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
    let Some(bench) = Bench::started("again", APP_AND_OTHER).await else { return };
    bench.start("other").await.expect("a start");
    let client = &bench.pods.engine.client;
    // As when the engine starts again, but for the other container, which must not stay in a network of its own.
    let ended = bench.sandbox().await;
    client.kill_container(&bench.id("app").await, None).await.expect("its end");
    client.kill_container(&ended, None).await.expect("its end");
    assert_eq!(bench.pods.wait_exit(POD, "app").await.code, 137);
    // Its sandbox can no longer be told of this change.
    bench.pods.set_ready(POD, true);

    let error = bench.start("app").await.expect_err("there is no network to join");
    assert!(error.contains("the sandbox of app-0") && error.contains("recreates it"), "{error}");
    assert_eq!(bench.pods.wait_exit(POD, "other").await, exit::REMOVED);
    bench.start("app").await.expect("a start in another sandbox");
    bench.start("other").await.expect("a start in another sandbox");
    assert_ne!(bench.sandbox().await, ended);
    assert_eq!(bench.pods.without_addresses(), None, "Services keep their addresses");
    bench.remove().await;
}

#[tokio::test]
async fn all_containers_thaw_also_when_one_of_them_was_killed() {
    let Some(bench) = Bench::started("thaw", APP_AND_OTHER).await else { return };
    bench.start("other").await.expect("a start");
    let is_paused =
        async |container: &str| bench.pods.engine.is(&bench.id(container).await, |state| state.paused).await;
    bench.pods.strike(POD, Blow::Freeze).await.expect("both are frozen");
    assert!(is_paused("app").await && is_paused("other").await);
    bench.pods.kill(POD, "app", Duration::ZERO).await.expect("its end");
    bench.pods.strike(POD, Blow::Thaw).await.expect("nothing is frozen any more");
    assert!(!is_paused("other").await);
    bench.pods.strike(POD, Blow::Terminate).await.expect_err("one of them has ended");
    bench.remove().await;
}

/// The program of the image, as the first of its container, takes no notice of SIGTERM.
#[tokio::test]
async fn a_grace_period_may_be_longer_than_the_engine_has_for_an_answer() {
    let Some(mut bench) = Bench::started("grace", APP).await else { return };
    let usual = bench.pods.engine.client.clone();
    bench.pods.engine.client = usual.clone().with_timeout(Duration::from_secs(1));
    bench.pods.kill(POD, "app", Duration::from_secs(3)).await.expect("it is killed after its grace period");
    bench.pods.engine.client = usual;
    assert_eq!(bench.pods.wait_exit(POD, "app").await.code, 137);
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
    bench.copy_pause_into(&bench.id("one").await, "/data").await;
    bench.start("two").await.expect("the same program");
    let client = &bench.pods.engine.client;
    let path = format!("{}/deep/inside/pause", image::volume_path(0));
    let path = DownloadFromContainerOptionsBuilder::default().path(&path).build();
    let chunk = client.download_from_container(&bench.sandbox().await, Some(path)).next().await;
    chunk.expect("an answer").expect("what `one` has in its /data is in the volume");
    bench.remove().await;
}

#[tokio::test]
async fn a_volume_in_memory_takes_no_more_than_its_limit_and_can_be_filled() {
    let spec = "{ containers: [{ name: app, image: IMAGE, volumeMounts: [{ name: scratch, mountPath: /scratch }] }], \
                volumes: [{ name: scratch, emptyDir: { medium: Memory, sizeLimit: 32Mi } }] }";
    let Some(bench) = Bench::started("fill", spec).await else { return };
    let app = bench.id("app").await;
    let copy = async || {
        let to = UploadToContainerOptionsBuilder::default().path("/scratch").build();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1024 * 1024);
        header.set_cksum();
        archive.append_data(&mut header, "file", &[1; 1024 * 1024][..]).expect("a tar in memory");
        let archive = archive.into_inner().expect("its end");
        let copied = bench.pods.engine.client.upload_to_container(&app, Some(to), body_full(archive.into())).await;
        copied.map_err(|error| error.to_string())
    };
    bench.pods.fill_volume(POD, "scratch").await.expect("it is full");
    let refused = copy().await.expect_err("there is no space");
    assert!(refused.contains("no space left"), "{refused}");
    bench.pods.release_volume(POD, "scratch").await.expect("it is empty");
    assert_eq!(copy().await, Ok(()));
    bench.pods.fill_volume(POD, "scratch").await.expect("again");
    bench.remove().await;
}

#[tokio::test]
async fn a_container_whose_memory_is_used_up_has_no_more_than_it_uses() {
    let spec = "{ containers: [{ name: app, image: IMAGE, resources: { limits: { memory: 64Mi } } }] }";
    let Some(bench) = Bench::started("memory", spec).await else { return };
    let app = bench.id("app").await;
    let limit = async || {
        let inspected = bench.pods.engine.client.inspect_container(&app, None).await.expect("an answer");
        inspected.host_config.and_then(|host| Some((host.memory?, host.memory_swap?)))
    };
    let mib = |count: i64| Some((count * 1024 * 1024, count * 1024 * 1024));
    bench.pods.fill_memory(POD).await.expect("another limit");
    assert_eq!(limit().await, mib(6), "it uses less than the smallest limit of an engine");
    bench.pods.release_memory(POD).await.expect("its own limit");
    assert_eq!(limit().await, mib(64));
    bench.remove().await;
}

/// That packets are lost and late show the complete runs of `xtask/tests/faults_docker.rs`.
#[tokio::test]
async fn a_kernel_that_can_disturb_networks_is_told_from_one_that_cannot() {
    let Some(bench) = Bench::new("disturb", APP).await else { return };
    bench.pods.make_sandboxes(1, 1).await;
    let faults =
        ["partition a from b for 1s at 1s", "delay a to b by 50ms for 1s at 1s", "delay a to b by 1ms for 1s at 1s"];
    let faults = faults.map(|fault| fault.parse().expect("a fault"));
    bench.pods.prove(faults.iter()).await.expect("both can be done here");
    assert_eq!(bench.pods.without_addresses(), None);
    bench.remove().await;
}

#[tokio::test]
async fn a_command_that_the_image_lacks_is_no_exit_status() {
    let Some(bench) = Bench::started("exec", APP).await else { return };
    let error = bench.pods.exec(POD, "app", &["backendd".to_owned()]).await.expect_err("there is no such program");
    assert!(error.to_string().contains("executable file not found"), "{error}");
    bench.remove().await;
}

#[tokio::test]
async fn a_new_instance_is_fresh_and_another_pod_finds_only_claims() {
    let spec = "{ containers: [{ name: app, image: IMAGE, volumeMounts: [{ name: own, mountPath: /own }, \
                { name: data, mountPath: /data }] }], \
                volumes: [{ name: own, emptyDir: {} }, { name: data, persistentVolumeClaim: { claimName: data } }] }";
    let Some(bench) = Bench::new("fresh", spec).await else { return };
    // A directory of the image, and those of the volumes.
    let image = image::volume_path(9);
    let places = [image.as_str(), "/own", "/data"];
    let left = async || {
        bench.start("app").await.expect("a start");
        let (app, client) = (bench.id("app").await, &bench.pods.engine.client);
        let mut left = Vec::new();
        for place in places {
            let path = DownloadFromContainerOptionsBuilder::default().path(&format!("{place}/pause")).build();
            let found = client.download_from_container(&app, Some(path)).next().await;
            left.push(found.is_some_and(|it| it.is_ok()));
            bench.copy_pause_into(&app, place).await;
        }
        bench.pods.kill(POD, "app", Duration::ZERO).await.expect("its end");
        left
    };
    assert_eq!(left().await, [false, false, false]);
    assert_eq!(left().await, [false, true, true], "an emptyDir is the pod's");
    let sandbox = bench.sandbox().await;
    bench.pods.replace(POD).await.expect("room for another pod");
    assert_eq!(left().await, [false, false, true]);
    assert_ne!(bench.sandbox().await, sandbox);
    bench.remove().await;
}
