//! `cargo xtask bench up`: from nothing to all-healthy, against docker-compose with health conditions.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use e2e::{
    environment::Environment,
    exit::ExitCode,
    poll::{Look, until},
    progress::Progress,
    run::{Options, make_images, stop_process},
    run_dir::{self, new_run_id, random_hex},
};
use xshell::{Shell, cmd};

use crate::options::{block_on, root};

/// Time from nothing to all-healthy: docker-compose, this framework on docker, this framework on local, in turns.
///
/// docker-compose runs fixtures/compose/docker-compose.yml, the same six components with health conditions; a backend counts as
/// healthy when its /readyz answers, which is also what the manifests' readiness probe asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Longer than any of them takes, short enough to notice one that hangs.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let compose = compose_program(&shell)?;
    block_on(make_images(&Options::new(root()), &Progress::new()))??;
    // Apart from the runs that people make, of which the latest one stays what it was.
    let runs = shell.create_temp_dir()?;
    println!("{:<6} {:>12} {:>12} {:>12} {:>15}", "round", "compose s", "docker s", "local s", "docker/compose");
    let (mut ratios, mut locals, mut dockers) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let compose = compose_up(&shell, &compose)?.as_secs_f64();
        let docker = framework_up("docker", runs.path())?.as_secs_f64();
        let local = framework_up("local", runs.path())?.as_secs_f64();
        println!("{round:<6} {compose:>12.2} {docker:>12.2} {local:>12.2} {:>15.2}", docker / compose);
        ratios.push(docker / compose);
        dockers.push(docker);
        locals.push(local);
    }
    println!(
        "median of {} rounds: docker/compose {:.2}, docker {:.2} s, local {:.2} s",
        args.rounds,
        median(&mut ratios),
        median(&mut dockers),
        median(&mut locals)
    );
    Ok(ExitCode::Pass)
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// `docker compose` where the plugin is there, else `docker-compose`.
fn compose_program(shell: &Shell) -> Result<Vec<&'static str>> {
    for program in [&["docker", "compose"][..], &["docker-compose"]] {
        let (first, rest) = (program[0], &program[1..]);
        if cmd!(shell, "{first} {rest...} version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
            return Ok(program.to_vec());
        }
    }
    bail!("neither `docker compose` nor `docker-compose` is there; install one of them")
}

/// From the call to the last answer of /readyz; everything is removed again, whatever happens.
fn compose_up(shell: &Shell, program: &[&str]) -> Result<Duration> {
    let (first, rest) = (program[0], &program[1..]);
    let project = format!("e2ebench{}", std::process::id());
    let file = "fixtures/compose/docker-compose.yml";
    let _environment = [shell.push_env("POSTGRES_PASSWORD", random_hex()), shell.push_env("TOKEN_KEY", random_hex())];
    let started = Instant::now();
    let up =
        cmd!(shell, "{first} {rest...} -p {project} -f {file} up -d").quiet().ignore_stdout().ignore_stderr().run();
    let ready = up.context("docker-compose could not start the system").and_then(|()| compose_ready(shell, &project));
    let took = started.elapsed();
    cmd!(shell, "{first} {rest...} -p {project} -f {file} down -v -t 5")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .with_context(|| format!("cannot remove the compose project {project}"))?;
    ready.map(|()| took)
}

/// Every backend and, through nginx, the whole system answers.
fn compose_ready(shell: &Shell, project: &str) -> Result<()> {
    // One call of the quick client: docker-compose's own `port` takes half a second each, which is not bring-up.
    let filter = format!("label=com.docker.compose.project={project}");
    let format = r#"{{.Label "com.docker.compose.service"}} {{.Ports}}"#;
    let ports = cmd!(shell, "docker ps --filter {filter} --format {format}").quiet().read()?;
    let urls: Vec<String> = ports.lines().filter_map(readiness_url).collect();
    // Two backends and nginx.
    if urls.len() != 3 {
        bail!("docker-compose published other ports than 8000, 8000 and 8080: {ports}");
    }
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
    block_on(async {
        for url in &urls {
            until(url, LIMIT, Duration::from_millis(20), || async {
                match client.get(url).send().await {
                    Ok(answer) if answer.status().is_success() => Look::Done(()),
                    Ok(answer) => Look::NotYet(answer.status().to_string()),
                    Err(error) => Look::NotYet(error.to_string()),
                }
            })
            .await?;
        }
        Ok(())
    })?
}

/// `backend-1 127.0.0.1:49153->8000/tcp` is `http://127.0.0.1:49153/readyz`; the engine and the stores have none.
fn readiness_url(line: &str) -> Option<String> {
    let (service, ports) = line.split_once(' ')?;
    let serves = service.starts_with("backend") || service == "nginx";
    let address = ports.split(", ").find_map(|port| port.split_once("->").map(|(address, _)| address))?;
    serves.then(|| format!("http://{address}/readyz"))
}

/// From the call of the program to `environment.json`, images and programs being there; the system is removed again.
fn framework_up(target: &str, runs: &Path) -> Result<Duration> {
    let id = new_run_id();
    let environment = runs.join("runs").join(&id).join(run_dir::ENVIRONMENT);
    let started = Instant::now();
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(["up", "--target", target, "--hold", "--run-id", &id, "--runs"])
        .arg(runs)
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let up = block_on(until("the system", LIMIT, Duration::from_millis(10), || {
        let look = match (environment.exists(), child.try_wait()) {
            (true, _) => Look::Done(true),
            (false, Ok(Some(_))) => Look::Done(false),
            _ => Look::NotYet("it is being brought up".to_owned()),
        };
        async { look }
    }))?;
    let took = started.elapsed();
    stop_process(child.id());
    child.wait()?;
    if !up? || !Environment::read(&environment)?.ready {
        bail!("`cargo xtask up --target {target}` did not become ready; run it to see why");
    }
    Ok(took)
}
