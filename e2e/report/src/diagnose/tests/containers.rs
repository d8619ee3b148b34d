//! Why containers ended.

use super::*;

/// The same container, killed by the kubelet between these seconds.
fn killed(mut container: ContainerReport, first: u64, last: u64) -> ContainerReport {
    let (first, last) = (Duration::from_secs(first), Duration::from_secs(last));
    let killing = Event::normal("Killing", "Container app failed liveness probe, will be restarted");
    container.events.push(Event { count: 2, first, last, ..killing });
    container
}

/// An init container that failed twice and then did what it was for is named; its good end is no crash.
#[test]
fn an_init_container_that_failed_is_named() {
    let mut data = quiet();
    let init = ContainerReport {
        name: "migrate".to_owned(),
        ..ended(&[(2, 1, "Error"), (4, 1, "Error"), (6, 0, "Completed")])
    };
    data.snapshot.pods.get_mut("app-0").unwrap().init_containers.push(init);
    let claim = claim(&data, Code::Crashed);
    assert_eq!(finding(&data, Code::Crashed).evidence, ["evidence/pods.json#/pods/app-0/init_containers"]);
    assert!(claim.starts_with("the program of the init container migrate of app ended on its own"), "{claim}");
    assert!(claim.contains("app-0 2 times, the last time with exit code 1"), "{claim}");
}

/// A Job whose first try failed, as while a database starts, has done what it was for.
#[test]
fn a_job_that_succeeds_at_its_second_try_is_no_error() {
    let mut data = run(ended(&[(2, 1, "Error"), (6, 0, "Completed")]));
    let pod = data.snapshot.pods.get_mut("app-0").unwrap();
    pod.completes = true;
    let container = &mut pod.containers[0];
    container.status.state = ContainerState::Terminated(container.terminations[1].clone());
    container.status.restart_count = 1;
    pod.sum_up();
    for code in [Code::Crashed, Code::Restarted] {
        assert_eq!(finding(&data, code).severity, Severity::Warning, "{code}");
    }
    assert!(claim(&data, Code::Crashed).contains("app-0 1 time, the last time with exit code 1"));
}

/// What the claim of the first code says, for the ends of a container, of which the kubelet killed some.
#[rstest::rstest]
#[case::nobody_killed_it(
    &[(2, 1, "Error"), (4, 1, "Error")], None, &[Code::Crashed, Code::RestartLoop],
    "app-0 2 times, the last time with exit code 1 after 2.0 s"
)]
#[case::the_kubelet_killed_it(
    &[(12, 0, "Completed"), (22, 0, "Completed")], Some((11, 21)), &[Code::RestartLoop],
    "exit code 0): `Container app failed liveness probe, will be restarted`"
)]
#[case::an_end_before_the_first_kill_is_the_programs_own(
    &[(4, 3, "Error"), (22, 0, "Completed")], Some((21, 21)), &[Code::Crashed, Code::RestartLoop],
    "app-0 1 time, the last time with exit code 3"
)]
#[case::a_kill_for_memory_that_the_runtime_missed(
    &[(4, 137, "OOMKilled"), (22, 137, "Error")], None, &[Code::OomKilled, Code::RestartLoop], ""
)]
#[case::an_exit_code_is_the_programs_own(
    &[(4, 137, "OOMKilled"), (22, 3, "Error")], None, &[Code::OomKilled, Code::Crashed, Code::RestartLoop], ""
)]
#[case::a_kill_for_memory_before_another_end(
    &[(4, 137, "OOMKilled"), (22, 0, "Completed")], Some((21, 21)), &[Code::OomKilled, Code::RestartLoop],
    "more than 64 MiB of memory and was killed for it (OOMKilled): app-0 1 time"
)]
fn ends_of_a_container(
    #[case] ends: &[(u64, i32, &str)],
    #[case] kills: Option<(u64, u64)>,
    #[case] expected: &[Code],
    #[case] words: &str,
) {
    let data = run(kills.into_iter().fold(ended(ends), |container, (first, last)| killed(container, first, last)));
    assert_eq!(codes(&data), expected);
    let claimed = claim(&data, expected[0]);
    assert!(claimed.contains(words), "{claimed}");
    let is_last_for_memory = ends.last().is_some_and(|end| end.2 == "OOMKilled");
    assert_eq!(claim(&data, Code::RestartLoop).contains("OOMKilled"), is_last_for_memory, "it tells the last end");
}

/// The sum of the limits of a pod is nobody's limit.
#[rstest::rstest]
#[case::known(&[("app", 128), ("sidecar", 64)], "container app of app used more than 128 MiB of memory")]
#[case::not_known(&[], "container app of app used more than the limit of container app of memory")]
fn a_kill_is_measured_at_the_limit_of_its_container(#[case] limits: &[(&str, u64)], #[case] words: &str) {
    let mut data = run(ended(&[(4, 137, "OOMKilled")]));
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(sidecar());
    let component = &mut data.environment.components[0];
    component.memory_limit_bytes = Some(192 * MEBIBYTE);
    component.container_memory_limit_bytes =
        limits.iter().map(|(name, limit)| ((*name).to_owned(), limit * MEBIBYTE)).collect();
    let claim = claim(&data, Code::OomKilled);
    assert!(claim.starts_with(words), "{claim}");
}

#[test]
fn each_container_that_was_killed_has_its_own_finding() {
    let mut data = run(ended(&[(4, 137, "OOMKilled")]));
    let other =
        ContainerReport { name: "sidecar".to_owned(), ..ended(&[(5, 137, "OOMKilled"), (9, 137, "OOMKilled")]) };
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(other);
    let kills = findings(&data).into_iter().filter(|finding| finding.code == Code::OomKilled);
    let fixes: Vec<String> = kills.map(|finding| format!("{} {}", finding.claim, finding.fix)).collect();
    let [app, sidecar] = fixes.as_slice() else { panic!("{fixes:#?}") };
    assert!(app.contains("app-0 1 time") && app.contains("of container app in Deployment app"), "{app}");
    assert!(
        sidecar.contains("app-0 2 times") && sidecar.contains("of container sidecar in Deployment app"),
        "{sidecar}"
    );
}

fn sidecar() -> ContainerReport {
    ContainerReport { name: "sidecar".to_owned(), ..ended(&[]) }
}

/// The samples do not say which of several containers it was.
#[test]
fn a_limit_that_is_used_up_by_several_containers_blames_none() {
    let mut data = run(killed(ended(&[(12, 0, "Completed")]), 0, 100));
    let usage = Usage { memory_bytes: 63 * MEBIBYTE, ..Usage::default() };
    let pods = BTreeMap::from([("app-0".to_owned(), usage)]);
    data.resources.samples = vec![Sample { at_unix_ms: 0, pods, machines: BTreeMap::new() }; 3];
    let fix = |data: &RunData| finding(data, Code::MemoryAtLimit).fix;
    assert!(fix(&data).starts_with("Raise resources.limits.memory of container app in Deployment app"));
    data.snapshot.pods.get_mut("app-0").unwrap().containers.push(sidecar());
    assert!(fix(&data).starts_with("Raise resources.limits.memory of the containers in Deployment app"));
}

#[test]
fn a_limit_that_is_used_up_counts_when_the_component_is_in_trouble() {
    let sample = |mebibytes: u64| Sample {
        at_unix_ms: 0,
        pods: BTreeMap::from([("app-0".to_owned(), Usage { memory_bytes: mebibytes * MEBIBYTE, ..Usage::default() })]),
        machines: BTreeMap::new(),
    };
    let at = |restarted: &[(u64, i32, &str)], samples: &[u64]| {
        let mut data = run(killed(ended(restarted), 0, 100));
        data.resources.samples = samples.iter().copied().map(sample).collect();
        data
    };
    let in_trouble: &[(u64, i32, &str)] = &[(12, 0, "Completed")];
    let data = at(in_trouble, &[10, 61, 62, 63]);
    assert_eq!(codes(&data), [Code::MemoryAtLimit, Code::Restarted]);
    assert!(claim(&data, Code::MemoryAtLimit).ends_with("app-0 used 95% or more of it in 3 of 4 samples"));
    assert_eq!(codes(&at(in_trouble, &[60, 60, 62, 63])), [Code::Restarted], "60 of 64 is less than 95%");
    assert_eq!(codes(&at(&[], &[63, 63, 63])), [], "a healthy program may live at its limit");
}
