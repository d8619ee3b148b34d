//! `cargo xtask bench up`: from nothing to all-healthy, against docker-compose with health conditions.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use e2e_cli::{
    failure::Ended,
    interrupts::{Interrupts, stop},
    options::block_on,
};
use e2e_node::poll::{Look, until};
use e2e_report::{
    environment::Environment,
    run_dir::{self, new_run_id, random_hex},
};
use e2e_run::{Options, exit::ExitCode, make_images, progress::Progress};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};
use xshell::{Shell, cmd};

use crate::root;

/// Measure the time from nothing to all-healthy: docker-compose, this framework on docker and on local, alternating.
///
/// docker-compose runs fixtures/compose/docker-compose.yml, the same six components with health conditions. A backend is healthy
/// when its /readyz answers, as for the manifests' readiness probe.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// A limit that only a hanging bring-up exceeds.
const LIMIT: Duration = Duration::from_secs(120);

/// A limit that only a hanging removal exceeds; it normally takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    let compose = compose_program(&shell)?;
    block_on(make_images(&Options::new(root()), &Progress::new()))??;
    // A separate directory, so that `latest` does not change.
    let runs = shell.create_temp_dir()?;
    block_on(rounds(args, &compose, runs.path()))?
}

/// A line for each round, and the medians.
async fn rounds(args: &Args, compose: &[&str], runs: &Path) -> Result<ExitCode> {
    let mut interrupts = Interrupts::install()?;
    println!("{:<6} {:>12} {:>12} {:>12} {:>15}", "round", "compose s", "docker s", "local s", "docker/compose");
    let (mut ratios, mut locals, mut dockers) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let compose = compose_up(compose, interrupts.recv()).await?.as_secs_f64();
        let docker = framework_up("docker", runs, interrupts.recv()).await?.as_secs_f64();
        let local = framework_up("local", runs, interrupts.recv()).await?.as_secs_f64();
        println!("{round:<6} {compose:>12.2} {docker:>12.2} {local:>12.2} {:>15.2}", docker / compose);
        ratios.push(docker / compose);
        dockers.push(docker);
        locals.push(local);
    }
    println!(
        "median of {} rounds: docker/compose {:.2}, docker {:.2} s, local {:.2} s",
        args.rounds,
        median(&ratios),
        median(&dockers),
        median(&locals)
    );
    Ok(ExitCode::Pass)
}

fn interrupted() -> anyhow::Error {
    Ended(ExitCode::Interrupted, "interrupted; everything started has been removed".to_owned()).into()
}

/// The median of at least one value.
pub(super) fn median(values: &[f64]) -> f64 {
    e2e_load::stats::median(values.to_vec()).unwrap_or(f64::NAN)
}

/// `docker compose` if the plugin is installed, else `docker-compose`.
fn compose_program(shell: &Shell) -> Result<Vec<&'static str>> {
    for program in [&["docker", "compose"][..], &["docker-compose"]] {
        let (first, rest) = (program[0], &program[1..]);
        if cmd!(shell, "{first} {rest...} version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
            return Ok(program.to_vec());
        }
    }
    let text = "neither `docker compose` nor `docker-compose` was found; install one of them";
    Err(Ended(ExitCode::NotUp, text.to_owned()).into())
}

/// The time from the call to the last /readyz. Ends early with `interrupted`. Removes everything in any case.
async fn compose_up(program: &[&str], interrupted: impl Future<Output = ()>) -> Result<Duration> {
    let project = format!("e2ebench{}", std::process::id());
    let secrets = [("POSTGRES_PASSWORD", random_hex()), ("TOKEN_KEY", random_hex())];
    let compose = |arguments: &[&str]| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["-p", &project, "-f", "fixtures/compose/docker-compose.yml"]).args(arguments);
        command.current_dir(root()).envs(secrets.clone());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C must reach only this program, which then cleans up.
        command.process_group(0);
        command
    };
    let started = Instant::now();
    let mut up = compose(&["up", "-d"]).spawn().with_context(|| format!("cannot run {}", program.join(" ")))?;
    let ready = async {
        well(&mut up).await.context("docker-compose could not start the system")?;
        compose_ready(&project).await
    };
    let ready = tokio::select! {
        ready = ready => ready,
        () = interrupted => {
            // Whatever it created is removed next.
            let _ = stop(&mut up, PATIENCE).await;
            Err(self::interrupted())
        }
    };
    let took = started.elapsed();
    let mut down = compose(&["down", "-v", "-t", "5"]).spawn().context("cannot run docker-compose")?;
    let removed = timeout(PATIENCE, well(&mut down)).await.context("it takes longer than a minute").flatten();
    removed.with_context(|| {
        format!("cannot remove the compose project {project}: `{} -p {project} down -v` does that", program.join(" "))
    })?;
    ready.map(|()| took)
}

/// Waits for a program to succeed; the error contains its output.
async fn well(child: &mut Child) -> Result<()> {
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said).await?;
    }
    let status = child.wait().await?;
    ensure!(status.success(), "it ended with {status}: {}", said.trim());
    Ok(())
}

/// Waits until every backend and, through nginx, the whole system answers.
async fn compose_ready(project: &str) -> Result<()> {
    // A single call of docker: docker-compose's `port` takes half a second each, which is not bring-up time.
    let filter = format!("label=com.docker.compose.project={project}");
    let format = r#"{{.Label "com.docker.compose.service"}} {{.Ports}}"#;
    let shell = Shell::new()?;
    let ports = cmd!(shell, "docker ps --filter {filter} --format {format}").quiet().read()?;
    let urls: Vec<String> = ports.lines().filter_map(readiness_url).collect();
    // Two backends and nginx.
    if urls.len() != 3 {
        bail!("docker-compose did not publish 8000, 8000 and 8080: {ports}");
    }
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
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
}

/// `backend-1 127.0.0.1:49153->8000/tcp` is `http://127.0.0.1:49153/readyz`; the engine and the stores have none.
fn readiness_url(line: &str) -> Option<String> {
    let (service, ports) = line.split_once(' ')?;
    let serves = service.starts_with("backend") || service == "nginx";
    let address = ports.split(", ").find_map(|port| port.split_once("->").map(|(address, _)| address))?;
    serves.then(|| format!("http://{address}/readyz"))
}

/// The time from the call to `environment.json`, with images and programs built; then removes the system.
async fn framework_up(target: &str, runs: &Path, interrupted: impl Future<Output = ()>) -> Result<Duration> {
    let id = new_run_id();
    let environment = runs.join("runs").join(&id).join(run_dir::ENVIRONMENT);
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["up", "--target", target, "--hold", "--run-id", &id, "--runs"])
        .arg(runs)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    let up = until("the system", LIMIT, Duration::from_millis(10), || {
        let look = match (environment.exists(), child.try_wait()) {
            (true, _) => Look::Done(true),
            (false, Ok(Some(_))) => Look::Done(false),
            _ => Look::NotYet("bring-up in progress".to_owned()),
        };
        async { look }
    });
    let up = tokio::select! {
        up = up => up.map_err(anyhow::Error::from),
        () = interrupted => Err(self::interrupted()),
    };
    let took = started.elapsed();
    stop(&mut child, PATIENCE)
        .await
        .with_context(|| format!("the system on {target} was not removed; remove the rest with `cargo xtask gc`"))?;
    if !up? || !Environment::read(&environment)?.ready {
        bail!("`cargo xtask up --target {target}` did not become ready; run it to see why");
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use e2e_cli::failure::exit_code;

    use super::*;

    /// A docker-compose that notes how it is called; `up` does as it is told.
    fn compose(directory: &Path, up: &str) -> String {
        let path = directory.join("compose");
        let log = directory.join("log");
        let script = format!("#!/bin/sh\necho $5 >> {}\ncase $5 in up) {up};; esac\n", log.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[tokio::test]
    async fn an_interrupt_and_a_failure_remove_the_compose_project() {
        let cases = [
            ("exec sleep 60", Duration::from_millis(500), ExitCode::Interrupted, "interrupted"),
            ("echo no room >&2; exit 1", Duration::from_secs(60), ExitCode::Fail, "no room"),
        ];
        for (script, interrupt, code, said) in cases {
            let directory = tempfile::tempdir().unwrap();
            let program = compose(directory.path(), script);
            let started = Instant::now();
            let error = compose_up(&[&program], tokio::time::sleep(interrupt)).await.unwrap_err();
            assert!(exit_code(&error) == code && format!("{error:#}").contains(said), "{error:#}");
            let log = fs::read_to_string(directory.path().join("log")).unwrap();
            let calls: Vec<&str> = log.lines().collect();
            assert_eq!(calls, ["up", "down"]);
            assert!(started.elapsed() < Duration::from_secs(30));
        }
    }
}
