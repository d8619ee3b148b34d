//! Stock images on the target `local`: the program of this machine keeps what the image's documentation promises. Each system asks for it
//! in its probes, so that a run passes only if all of it is true.

mod support;

use std::{fs, path::Path, process::Command};

use rstest::rstest;

#[rstest]
#[case::debian("debian")]
#[case::mariadb("mariadb")]
#[case::memcached("memcached")]
#[case::mysql("mysql")]
#[case::nats("nats")]
#[case::nginx("nginx")]
#[case::postgres("postgres")]
#[case::rabbitmq("rabbitmq")]
#[case::redis("redis")]
#[case::valkey("valkey")]
fn a_stock_image_keeps_its_promises(#[case] image: &str) {
    let system = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/stock_images/{image}.yaml"));
    let project = tempfile::tempdir().expect("a directory");
    let runs = project.path().join("runs");
    fs::create_dir(project.path().join(".config")).expect("it can be made");
    fs::write(project.path().join(".config/e2e.toml"), "suites = []\n").expect("it can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    // Two nodes of RabbitMQ on two busy cores.
    command.args(["run", "--target", "local", "--bring-up", "120s", "--root"]).arg(project.path());
    command.arg("--manifests").arg(system).arg("--runs").arg(&runs).env("E2E_NO_INSTALL", "1");
    let output = command.output().expect("it starts");
    let (said, summary) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !support::has_programs(&said, image) {
        return;
    }
    assert!(output.status.success() && summary.starts_with("PASS on local"), "{summary}\n{said}\n{}", logs(&runs));
    assert_eq!(left_behind(&runs), [""; 0], "processes of the run");
}

fn logs(runs: &Path) -> String {
    let logs = fs::read_dir(runs.join("latest/evidence/logs")).into_iter().flatten().flatten();
    logs.map(|log| fs::read_to_string(log.path()).unwrap_or_default()).collect()
}

/// Command lines of processes that know the directory of the runs.
fn left_behind(runs: &Path) -> Vec<String> {
    let runs = runs.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ");
    let know = |process: &Path| ["cmdline", "environ"].iter().any(|file| read(&process.join(file)).contains(&runs));
    let known = processes.map(|process| process.path()).filter(|process| know(process));
    known.map(|process| read(&process.join("cmdline"))).collect()
}
