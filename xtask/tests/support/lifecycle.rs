//! What teardown promises, checked the same way on every target.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;

use crate::support::{
    Bench, REFERENCE, SMALL, assert_nothing_left, expect, files_with, id_in, labelled, printed, processes_of, said,
    wait_until,
};

/// Longer than a run could take to notice and remove everything, and far shorter than its load lasts.
const PROMPTLY: Duration = Duration::from_secs(30);
/// A load that is still under way when the signal comes.
const LONG: [&str; 2] = ["--duration", "60s"];

/// A signal at some moment ends the run with exit code 4, in order, and nothing of it stays.
pub(crate) fn interrupt(target: &str, id: &str, moment: &str, signal: Signal) {
    let bench = Bench::of(REFERENCE);
    let mut run = bench.start(target, id, &LONG);
    run.wait_for(moment);
    // There is something to remove, and the test would see it.
    let on_docker = target == "docker";
    assert!(wait_until(PROMPTLY, || !processes_of(id).is_empty() || on_docker && !labelled(id).is_empty()));

    run.signal(signal);
    let (status, took) = run.wait(PROMPTLY);

    assert_eq!(status.code(), Some(4), "after {took:?}:\n{}", run.said());
    let last = run.said().lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("error: interrupted; everything that was started has been removed"), "{last}");
    // Nothing has to be waited for: it was removed before the program ended.
    assert_eq!(processes_of(id), Vec::<String>::new(), "left by an orderly end");
    assert_nothing_left(&bench.run_directory(id), on_docker);
}

/// SIGKILL: what the run leaves is removed within ten seconds without any command, and nothing of a run that lives, also not by `gc`.
pub(crate) fn kill(target: &str, id: &str) {
    let on_docker = target == "docker";
    let bench = Bench::of(REFERENCE);
    let up = bench.command_on(SMALL, &["up", "--target", target]).output().expect("the program starts");
    let neighbour = id_in(&said(&up));

    let mut run = bench.start(target, id, &LONG);
    run.wait_for("requests/s");
    run.signal(Signal::KILL);
    run.wait(PROMPTLY);
    assert_nothing_left(&bench.run_directory(id), on_docker);

    bench.succeed(&["gc"]);

    let status = bench.output(&["status", &neighbour]);
    assert!(status.status.success(), "gc touched a run that lives: {}", said(&status));
    bench.succeed(&["down", &neighbour]);
    assert_nothing_left(&bench.run_directory(&neighbour), on_docker);
}

/// `trigger` runs CronJobs of `fixtures/kinds/on-request` in a system that is up, whose manifests are at this path.
pub(crate) fn trigger(target: &str, manifests: &Path) {
    let bench = Bench::of("../fixtures/kinds");
    let manifests = manifests.to_string_lossy();
    let id = id_in(&bench.succeed(&["up", "--target", target, "--manifests", &manifests]));

    let asked = |name: &str| {
        let output = bench.output(&["trigger", name]);
        (output.status.code(), printed(&output), said(&output))
    };
    for number in [1, 2] {
        let (code, shown, said) = asked("tidy");
        assert_eq!(code, Some(0), "{shown}{said}");
        assert!(shown.contains("/tidy  tidied\n") && !shown.contains("no-output-has-this"), "{shown}");
        assert!(said.starts_with(&format!("the Job tidy-manual-{number} succeeded: tidy-manual-{number}-")), "{said}");
    }
    let (code, shown, said) = asked("broken");
    assert_eq!(code, Some(1), "{shown}{said}");
    assert!(
        shown.contains("/broken  out of order\n") && said.starts_with("the Job broken-manual-3 failed"),
        "{shown}{said}"
    );
    let (code, _, said) = asked("keyless");
    assert!(code == Some(1) && said.contains("there is no Secret `nowhere` in the manifests"), "{said}");
    let (code, _, said) = asked("tydi");
    assert!(code == Some(2) && said.contains("there is no CronJob tydi; there are tidy, broken, keyless"), "{said}");

    bench.succeed(&["down", &id]);
    assert_nothing_left(&bench.run_directory(&id), target == "docker");
}

/// A component of a system that is up is deployed anew: it is ready again, in other pods than before, as `pods` names them for a run.
pub(crate) fn redeploy(target: &str, pods: impl Fn(&str) -> String) {
    let bench = Bench::of(super::SMALL);
    let id = id_in(&bench.succeed(&["up", "--target", target]));
    let before = pods(&id);
    let redeployed = bench.output(&["redeploy", "redis"]);
    let (after, status) = (pods(&id), bench.output(&["status"]));
    let unknown = bench.output(&["redeploy", "mysql"]);
    bench.succeed(&["down", &id]);
    expect(&redeployed, 0, &[]);
    assert!(!before.is_empty() && before != after, "{before} {after}");
    let shown = printed(&status);
    assert!(shown.lines().any(|line| line.contains("redis-0") && line.contains("Running")), "{shown}");
    expect(&unknown, 2, &[]);
}

/// `e2e --keep` leaves the system up and says how to look into it and how to remove it; `down` removes it. None of the run's
/// secret texts is in what stays.
pub(crate) fn keep(target: &str) {
    let bench = Bench::of(REFERENCE);
    let kept = bench.output(&["e2e", "--target", target, "--keep", "--duration", "2s", "--clients", "10"]);
    let words = said(&kept);
    let id = id_in(&words);
    let run = bench.run_directory(&id);
    // A busy machine may cross a threshold; the report must be there.
    assert!(matches!(kept.status.code(), Some(0 | 1)), "{:?}\n{words}", kept.status);
    assert!(words.contains("The system is up") && words.contains(&format!("cargo xtask down {id}")), "{words}");
    let secrets = fs::read_to_string(run.join("secrets.json")).expect("a run that is up has its secrets");
    let secrets: std::collections::BTreeMap<String, String> = serde_json::from_str(&secrets).expect("JSON");
    let secrets: Vec<String> = secrets.into_values().collect();
    assert!(secrets.len() > 1 && secrets.iter().all(|secret| secret.len() >= 16), "the run generates secrets");

    let status = bench.output(&["status", &id]);
    let shown = printed(&status);
    assert!(status.status.success() && shown.contains("postgres-0") && shown.contains("Running"), "{shown}");

    let down = bench.succeed(&["down", &id]);
    assert_nothing_left(&run, target == "docker");

    for file in ["report.json", "report.md", "junit.xml", "environment.json", "evidence/pods.json", "evidence/logs"] {
        assert!(run.join(file).exists(), "{file} is missing: there is less to look through than there should be");
    }
    assert_eq!(files_with(&run, &secrets), Vec::<std::path::PathBuf>::new(), "these files hold a secret");
    let all = [printed(&kept), words, shown, down].concat();
    assert!(!secrets.iter().any(|secret| all.contains(secret)), "a secret was printed");

    for verb in [&["status", &id][..], &["doctor", "--env", &id], &["redeploy", "backend", "--run", &id]] {
        expect(&bench.output(verb), 3, &["this system is down"]);
    }
}
