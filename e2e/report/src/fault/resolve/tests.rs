use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn victims() -> Vec<Victim> {
    let victim = |name: &str, replicas, strategy, talks_to: &[&str]| Victim {
        name: name.to_owned(),
        replicas,
        strategy,
        talks_to: talks_to.iter().map(|name| (*name).to_owned()).collect(),
        has_memory_limit: name == "postgres",
        volumes: match name {
            "postgres" => BTreeMap::from([("data".to_owned(), false), ("shm".to_owned(), true)]),
            _ => BTreeMap::new(),
        },
    };
    let (surge, all) = (Strategy::Surge, Strategy::AllAtOnce);
    vec![
        victim("backend", 2, surge, &["postgres"]),
        victim("nginx", 1, surge, &["backend"]),
        victim("postgres", 1, all, &[]),
    ]
}

fn resolved(text: &str, target: Target, seed: u64) -> Result<String, String> {
    let fault = text.parse().map_err(|error: FaultError| error.to_string())?;
    let resolved = resolve(&[fault], &victims(), target, MINUTE, seed).map_err(|error| error.to_string())?;
    Ok(resolved[0].to_string())
}

/// What 600 seeds make of a fault, without its time.
fn decided(text: &str, target: Target) -> BTreeSet<String> {
    let without_time = |fault: String| fault.split(" at ").next().unwrap_or_default().to_owned();
    (0..600).map(|seed| without_time(resolved(text, target, seed).unwrap())).collect()
}

#[rstest::rstest]
#[case("kill backend-0 at 10s")]
#[case("kill backend-1 with SIGTERM at 1500ms")]
#[case("delete backend-0 at 10s")]
#[case("pause postgres-0 for 3s at 30s")]
#[case("rollout backend at 20s")]
#[case("restart postgres at 5s")]
#[case("partition backend from postgres for 3s at 5s")]
#[case("partition backend-0 from backend-1 for 3s at 5s")]
#[case("partition backend from backend for 3s at 5s")]
#[case("delay backend-0 to postgres by 50ms for 5s at 10s")]
#[case("fill postgres-0 memory for 3s at 5s")]
#[case("fill postgres-0 shm for 2500ms at 5s")]
fn what_is_written_in_full_stays_as_it_is(#[case] text: &str) {
    assert_eq!(resolved(text, Target::Docker, 1), Ok(text.to_owned()));
    assert_eq!(resolved(text, Target::Docker, 2), Ok(text.to_owned()));
}

#[test]
fn a_node_is_drained_where_there_are_nodes() {
    let drain = "drain backend-1 for 20s at 10s";
    assert_eq!(resolved(drain, Target::K8s, 1), Ok(drain.to_owned()));
}

#[test]
fn a_rollout_that_stops_all_at_once_is_a_restart() {
    assert_eq!(resolved("rollout postgres at 5s", Target::Docker, 1).unwrap(), "restart postgres at 5s");
    assert_eq!(resolved("rollout nginx at 5s", Target::K8s, 1).unwrap(), "rollout nginx at 5s");
}

#[test]
fn a_seed_decides_the_rest_and_always_in_the_same_way() {
    let by_seed: BTreeSet<String> =
        (0..50).map(|seed| resolved("kill backend at random", Target::Local, seed).unwrap()).collect();
    assert!(by_seed.len() > 40, "{by_seed:?}");
    for pod in ["backend-0", "backend-1"] {
        assert!(by_seed.iter().any(|fault| fault.contains(pod)), "{by_seed:?}");
    }
    for fault in &by_seed {
        let at = fault.parse::<PlannedFault>().unwrap().at.unwrap();
        assert!((Duration::from_secs(6)..=Duration::from_secs(36)).contains(&at), "{fault}");
    }
    let again = || resolved("kill backend at random", Target::Local, 7);
    assert_eq!(again(), again());
}

#[test]
fn a_seed_decides_what_happens_and_to_which_component_too() {
    // A rollout of nginx is refused here, and that of postgres is a restart.
    let of_pods = ["backend-0", "backend-1", "nginx-0", "postgres-0"]
        .iter()
        .flat_map(|pod| ["kill {}", "delete {}", "pause {} for 2s"].map(|form| form.replace("{}", pod)));
    let of_components = ["restart backend", "restart nginx", "restart postgres", "rollout backend"].map(str::to_owned);
    let here: BTreeSet<String> = of_pods.chain(of_components).collect();
    assert_eq!(decided("random any at random", Target::Local), here);
    let more = [
        "partition backend from postgres for 2s",
        "partition nginx from backend for 2s",
        "delay backend to postgres by 100ms for 2s",
        "delay nginx to backend by 100ms for 2s",
        "fill postgres-0 memory for 2s",
        "fill postgres-0 shm for 2s",
    ];
    let on_docker = here.into_iter().chain(more.map(str::to_owned)).collect();
    assert_eq!(decided("random any at random", Target::Docker), on_docker);
    let of_pod: Vec<String> = decided("random nginx-0 at 3s", Target::K8s).into_iter().collect();
    assert_eq!(of_pod, ["delete nginx-0", "kill nginx-0"]);
    assert_eq!(decided("kill any at 3s", Target::Local).len(), 4);
}

#[test]
fn any_other_side_is_one_that_is_talked_to() {
    let other = |text: &str| decided(text, Target::Docker).into_iter().collect::<Vec<_>>();
    assert_eq!(other("partition backend from any for 3s at 5s"), ["partition backend from postgres for 3s"]);
    let of_postgres = ["delay postgres to backend by 5ms for 3s", "delay postgres to nginx by 5ms for 3s"];
    assert_eq!(other("delay postgres to any by 5ms for 3s at 5s"), of_postgres, "it talks to nobody by itself");
}

#[rstest::rstest]
#[case::nonsense("kick backend at 3s", Target::Docker, "`kick backend at 3s`: write one of `kill POD at 10s`")]
#[case::no_time("kill backend-0", Target::Docker, "write one of")]
#[case::no_unit("kill backend-0 at 10", Target::Docker, "`10` is not a duration; write a number with a unit")]
#[case::signal("kill backend with SIGHUP at 1s", Target::Docker, "SIGHUP is not sent; write SIGKILL or SIGTERM")]
#[case::no_pause("pause backend for 0s at 1s", Target::Docker, "must be longer than zero")]
#[case::no_delay("delay backend to nginx by 1us for 1s at 1s", Target::Docker, "`1us` is shorter than a millisecond")]
#[case::no_such_pod("kill backend-2 at 1s", Target::Docker, "there are backend-0, backend-1, nginx-0, postgres-0")]
#[case::no_such_component("rollout backend-0 at 1s", Target::Docker, "there are backend, nginx, postgres")]
#[case::nobody("random redis at 1s", Target::Docker, "there is no such pod or component")]
#[case::no_such_side(
    "partition redis from nginx for 1s at 1s",
    Target::Docker,
    "no such component or pod; there are backend, "
)]
#[case::no_other_side(
    "partition nginx from redis for 1s at 1s",
    Target::Docker,
    "no component or pod redis; there are backend, "
)]
#[case::itself("partition nginx from nginx-0 for 1s at 1s", Target::Docker, "nginx has one pod")]
#[case::same_pod(
    "delay backend-0 to backend-0 by 1ms for 1s at 1s",
    Target::Docker,
    "backend-0 sends nothing to another pod"
)]
#[case::too_late("pause postgres for 30s at 30s", Target::Docker, "window ends after 60.0 s")]
#[case::parted_too_late("partition backend from nginx for 30s at 30s", Target::Docker, "window ends after 60.0 s")]
#[case::no_nodes("drain backend-1 for 3s at 3s", Target::Docker, "there are no nodes on docker; use --target k8s")]
#[case::frozen_in_a_cluster("pause postgres for 3s at 3s", Target::K8s, "a run cannot freeze processes in a cluster")]
#[case::parted_in_a_cluster("partition backend from nginx for 3s at 3s", Target::K8s, "use --target docker")]
#[case::parted_here("delay backend to nginx by 1ms for 3s at 3s", Target::Local, "share this machine's network")]
#[case::filled_here("fill postgres memory for 3s at 3s", Target::Local, "share this machine's memory and disk")]
#[case::filled_in_a_cluster("fill postgres shm for 3s at 3s", Target::K8s, "use --target docker")]
#[case::no_limit("fill nginx memory for 3s at 3s", Target::Docker, "no container of nginx has a memory limit")]
#[case::no_end("fill postgres data for 3s at 3s", Target::Docker, "`emptyDir: {medium: Memory, sizeLimit: 64Mi}`")]
#[case::no_volume("fill postgres tmp for 3s at 3s", Target::Docker, "write one of data, shm, memory")]
#[case::alone("rollout nginx at 3s", Target::Docker, "write `restart nginx`, or use --target k8s")]
fn a_mistake_is_named_with_what_to_write(#[case] text: &str, #[case] target: Target, #[case] expected: &str) {
    let error = resolved(text, target, 1).unwrap_err();
    assert!(error.starts_with(&format!("`{text}`: ")) && error.contains(expected), "{error}");
}
