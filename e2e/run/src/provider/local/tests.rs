//! Pods as processes, with programs that every machine has.

use e2e_node::poll::{Look, until};

use super::*;
use crate::provider::{
    pods,
    testing::{plan, plan_of_pod},
};

const POD: &str = "app-0";

/// The pods of a plan, whose images `IMAGE` are a shell that runs the argument of each container.
fn local(directory: &tempfile::TempDir, spec: &str) -> LocalPods {
    prepared(directory, plan_of_pod(&spec.replace("IMAGE", "sh:1")))
}

fn prepared(directory: &tempfile::TempDir, plan: Plan) -> LocalPods {
    let program = Program { run: vec!["sh".to_owned(), "-c".to_owned()], ..Program::default() };
    with_program(directory, plan, program)
}

fn with_program(directory: &tempfile::TempDir, plan: Plan, program: Program) -> LocalPods {
    let run = RunDir::create(directory.path(), "one", |_| Ok(())).expect("a run directory");
    let found = FoundProgram { program, directories: Vec::new(), binary: None, working_directory: None };
    let found = FoundPrograms::from([("sh:1".to_owned(), found)]);
    LocalPods::prepare(&plan, pods::of(&plan, "test"), &found, directory.path(), &run).expect("places for pods")
}

/// What a container has written when it has ended.
async fn output(pods: &LocalPods, container: &str) -> String {
    pods.start(POD, container).expect("a shell");
    pods.wait_exit(POD, container).await;
    pods.logs(&|_| true).remove(&(POD.to_owned(), container.to_owned())).expect("a log").trim().to_owned()
}

#[tokio::test]
async fn a_pod_knows_the_address_that_probes_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [{ name: app, image: IMAGE, args: ['echo allowed: $ALLOWED_HOSTS'], env: [\
                { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } },\
                { name: ALLOWED_HOSTS, value: 'api,$(POD_IP)' }] }] }";
    let pods = local(&directory, spec);
    let named = pods.target(POD).expect("the pod").pod_ip;
    assert_eq!(output(&pods, "app").await, format!("allowed: api,{named}"));
    pods.teardown().await.expect("everything is removed");
}

/// A set `db` of two, whose pods a headless Service names and write where they find each other, and a Service with an address of its own.
const SET: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 2
  serviceName: GOVERNING
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec: { containers: [{ name: app, image: 'sh:1', ports: [{ containerPort: 5432 }], args: ['echo db-0.pods:5432,db-1.pods.default:5432'] }] }
---
apiVersion: v1
kind: Service
metadata: { name: pods }
spec: { clusterIP: None, selector: { app: db }, ports: [{ port: 5432 }] }
---
apiVersion: v1
kind: Service
metadata: { name: db }
spec: { selector: { app: db }, ports: [{ port: 5432 }] }
";

#[tokio::test]
async fn the_pods_of_a_set_have_names_of_their_own() {
    for (governing, has_names) in [("pods", true), ("db", false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let pods = prepared(&directory, plan(&SET.replace("GOVERNING", governing)));
        let own = ["db-0", "db-1"].map(|pod| pods.target(pod).expect("the pod").ports[&5432].to_string());
        pods.start("db-0", "app").expect("a shell");
        pods.wait_exit("db-0", "app").await;
        let said = pods.logs(&|_| true).remove(&("db-0".to_owned(), "app".to_owned())).expect("a log");
        let expected = if has_names { own.join(",") } else { "db-0.pods:5432,db-1.pods.default:5432".to_owned() };
        assert_eq!(said.trim(), expected);
        pods.teardown().await.expect("everything is removed");
    }
}

#[tokio::test]
async fn volumes_are_what_each_container_mounts() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [\
                { name: one, image: IMAGE, args: ['echo one > /data/sub/x; cat /podinfo/name /podinfo/namespace'], volumeMounts: [\
                  { name: a, mountPath: /data }, { name: a, mountPath: /data/sub, subPath: deep/inside },\
                  { name: info, mountPath: /podinfo }] },\
                { name: two, image: IMAGE, args: ['ls /data; cat /other/deep/inside/x'], volumeMounts: [\
                  { name: b, mountPath: /data }, { name: a, mountPath: /other }] }],\
                volumes: [{ name: a, emptyDir: {} }, { name: b, emptyDir: {} }, { name: info, downwardAPI: { items: [\
                  { path: name, fieldRef: { fieldPath: metadata.name } },\
                  { path: namespace, fieldRef: { fieldPath: metadata.namespace } }] } }] }";
    let pods = local(&directory, spec);
    assert_eq!(output(&pods, "one").await, "app-0e2e-one");
    assert_eq!(output(&pods, "two").await, "one", "its own /data is empty");
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn a_program_finds_mounts_at_its_places_and_has_ports_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [{ name: app, image: 'sh:1', args: ['cat $PLACE/part/name; ls $PLACE; cat $IN_A_MOUNT/name; \
                [ -e $NOWHERE ]; echo $? $PORT; basename -- 81'], volumeMounts: [{ name: info, mountPath: /etc/app/part },\
                { name: info, mountPath: /etc/other }, { name: info, mountPath: /mnt }] }],\
                volumes: [{ name: info, downwardAPI: { items: [{ path: in/name, fieldRef: { fieldPath: metadata.name } },\
                  { path: name, fieldRef: { fieldPath: metadata.name } }] } }] }";
    let program = "run = ['sh', '-c']\nclients = { basename = [] }\nport_flags = ['--']\n\
                   env = { PLACE = '{path:/etc/app}', IN_A_MOUNT = '{path:/mnt/in}', NOWHERE = '{path:/data}', PORT = '{port:81}' }\n";
    let pods = with_program(&directory, plan_of_pod(spec), toml::from_str(program).expect("a program"));
    let said = output(&pods, "app").await;
    let port = said.rsplit('\n').next().expect("a line");
    assert!(port != "81" && port.parse::<u16>().is_ok(), "{said}");
    assert_eq!(said.replace(port, "PORT"), "app-0part\napp-01 PORT\nPORT");
    assert_eq!(pods.target(POD).expect("the pod").ports, BTreeMap::new(), "nobody else knows the port");
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn a_neighbour_in_the_pod_is_found_at_its_port() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [\
                { name: app, image: IMAGE, args: ['echo $CACHE localhost:8080'], env: [{ name: CACHE, value: 'redis://localhost:6379/0' }] },\
                { name: cache, image: IMAGE, args: ['echo 127.0.0.1:6379'], ports: [{ containerPort: 6379 }] }] }";
    let pods = local(&directory, spec);
    let port = pods.target(POD).expect("the pod").ports[&6379].port();
    assert_eq!(output(&pods, "app").await, format!("redis://127.0.0.1:{port}/0 localhost:8080"));
    assert_eq!(output(&pods, "cache").await, format!("127.0.0.1:{port}"));
    pods.teardown().await.expect("everything is removed");
}

/// A script stands for an image's entrypoint and server. What else the image's containers run finds it by these names.
#[tokio::test]
async fn a_script_runs_for_whoever_calls_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("server.sh"), "echo \"$@\" at $PORT").expect("a script");
    let program = "script = 'server.sh'\ncommands = ['serve']\nenv = { PORT = '{port:81}' }\nclients = { basename = [] }\nport_flags = ['--']\n";
    let spec = "{ containers: [\
                { name: plain, image: 'sh:1', args: [-v] },\
                { name: path, image: 'sh:1', command: [/usr/bin/serve], args: [-v] },\
                { name: shell, image: 'sh:1', command: [sh, -c, 'echo a client at $PORT; exec serve -v'] },\
                { name: whole, image: 'sh:1', args: [sh, -c, 'exec /usr/bin/serve -v'] },\
                { name: path-of-manifest, image: 'sh:1', command: [sh, -c, 'serve $PATH'], env: [{ name: PATH, value: /scripts }] },\
                { name: entry, image: 'sh:1', command: [/usr/local/bin/docker-entrypoint.sh, serve, -v] },\
                { name: flag, image: 'sh:1', command: [docker-entrypoint.sh, -v] },\
                { name: other, image: 'sh:1', command: [docker-entrypoint.sh, echo, hello] }] }";
    let pods = with_program(&directory, plan_of_pod(spec), toml::from_str(program).expect("a program"));
    let said = output(&pods, "plain").await;
    let port = said.strip_prefix("-v at ").expect("the script's words");
    let expected = [
        ("path", "serve -v at PORT"),
        ("shell", "a client at\nserve -v at PORT"),
        ("whole", "serve -v at PORT"),
        ("entry", "serve -v at PORT"),
        ("flag", "-v at PORT"),
        ("other", "hello"),
    ];
    for (container, expected) in expected {
        assert_eq!(output(&pods, container).await.replace(port, "PORT"), expected, "{container}");
    }
    let path = output(&pods, "path-of-manifest").await;
    assert!(path.contains(":/scripts:"), "{path}");
    // A probe asks as the container itself does.
    for command in [["basename", "--", "81"], ["sh", "-c", "basename -- 81"]] {
        let command: Vec<String> = command.map(str::to_owned).into();
        let said = pods.exec(POD, "shell", &command).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&said.output).trim(), port, "{command:?}");
    }
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn a_new_instance_is_fresh_and_another_pod_finds_only_claims() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [{ name: app, image: IMAGE, args: ['for place in . /own /data; do ls $place | wc -l; touch $place/x; done'], \
                volumeMounts: [{ name: own, mountPath: /own }, { name: data, mountPath: /data }] }],\
                volumes: [{ name: own, emptyDir: {} }, { name: data, persistentVolumeClaim: { claimName: data } }] }";
    let pods = local(&directory, spec);
    assert_eq!(output(&pods, "app").await, "0\n0\n0");
    assert_eq!(output(&pods, "app").await, "0\n0\n0\n0\n1\n1", "an emptyDir is the pod's");
    pods.replace(POD).expect("room for another pod");
    assert_eq!(output(&pods, "app").await, "0\n0\n0\n0\n1\n1\n0\n0\n1");
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn a_container_that_ends_leaves_no_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let pods =
        local(&directory, "{ containers: [{ name: app, image: IMAGE, args: ['sleep 1000 & echo $!; exit 1'] }] }");
    let left: u32 = output(&pods, "app").await.parse().expect("a number");
    let look = || async {
        match super::super::owner::start_of(left) {
            None => Look::Done(()),
            Some(_) => Look::NotYet(format!("{left} runs")),
        }
    };
    until("its end", Duration::from_secs(5), Duration::from_millis(10), look).await.expect("nothing is left");
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn all_containers_thaw_also_when_one_of_them_has_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [{ name: app, image: IMAGE, args: ['exec sleep 1000'] }, { name: other, image: IMAGE, args: ['exec sleep 1000'] }] }";
    let pods = local(&directory, spec);
    for container in ["app", "other"] {
        pods.start(POD, container).expect("a shell");
    }
    pods.strike(POD, Blow::Freeze).expect("both are frozen");
    let frozen = async |count: usize| {
        let look = || async {
            let states = pods.process_states(POD).expect("a process table");
            if states.matches('T').count() == count { Look::Done(()) } else { Look::NotYet(states) }
        };
        until("stopped processes", Duration::from_secs(5), Duration::from_millis(10), look).await.expect("so many");
    };
    frozen(2).await;
    pods.kill(POD, "app", Duration::ZERO).await;
    frozen(1).await;
    pods.strike(POD, Blow::Thaw).expect("nothing is frozen any more");
    frozen(0).await;
    pods.strike(POD, Blow::Kill).expect_err("one of them has ended");
    pods.wait_exit(POD, "other").await;
    pods.teardown().await.expect("everything is removed");
}

#[tokio::test]
async fn a_pod_that_comes_later_has_ports_that_no_other_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let spec = "{ containers: [{ name: app, image: IMAGE, ports: [{ containerPort: 80 }] }] }";
    let plan = plan_of_pod(&spec.replace("IMAGE", "sh:1"));
    let pods = prepared(&directory, plan.clone());
    // Its process restarts, so that nothing listens there now.
    let first = pods.target(POD).expect("the pod").ports[&80];
    let mut taken = Vec::new();
    for number in 0..3 {
        let name = format!("late-{number}");
        let later = pods::of(&plan, "test").into_iter().map(|pod| PodSpec { name: name.clone(), ..pod }).collect();
        pods.admit(later, &FoundPrograms::new(), directory.path()).expect("places for pods");
        taken.push(pods.target(&name).expect("the pod").ports[&80].port());
    }
    // In sequence after the first: chosen by the same one, which gives none away twice.
    assert!(
        taken.iter().all(|port| (1..100).contains(&(i32::from(*port) - i32::from(first.port())).rem_euclid(15_000))),
        "{first} {taken:?}"
    );
    pods.teardown().await.expect("everything is removed");
}
