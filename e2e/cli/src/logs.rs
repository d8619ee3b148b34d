//! `cargo xtask logs`: what a component's containers have said.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use e2e::control::{self, Control, LogPart};
use e2e_kubelet::snapshot::Snapshot;
use e2e_report::{
    environment::Environment,
    evidence,
    run_dir::{self, RunDir},
};
use e2e_run::{Options, exit::ExitCode};

use crate::{directories::run_directory, options::block_on};

/// Show the logs of a component of a running system, or of a finished run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask logs backend\n  cargo xtask logs -f backend")]
pub(crate) struct Args {
    /// The component.
    component: String,
    /// Run id or directory [default: the latest run].
    #[arg(long)]
    run: Option<PathBuf>,
    /// Keep showing new lines until the system is down.
    #[arg(long, short)]
    follow: bool,
}

/// The polling interval: shorter is not noticeable.
const PERIOD: Duration = Duration::from_millis(500);
/// How much longer than an answer takes the next question waits: a long log is read whole for each, and must not keep the engine busy.
const REST: u32 = 9;

pub(crate) fn run(args: &Args, project: &Options) -> Result<ExitCode> {
    let directory = run_directory(args.run.as_deref(), project)?;
    let environment = Environment::read(&directory.join(run_dir::ENVIRONMENT))?;
    let mut shown = Shown::default();
    let was_up = match Control::of(&environment) {
        Ok(control) => block_on(live(args, &control, &mut shown))??,
        // Secrets go with the system.
        Err(_) => false,
    };
    if !was_up {
        print(shown.whole_lines(kept(&directory, &environment, &args.component)?));
    }
    print(shown.open_lines());
    Ok(ExitCode::Pass)
}

/// Shows what there is, or follows it until the system is down. Returns whether it was up.
async fn live(args: &Args, control: &Control, shown: &mut Shown) -> Result<bool> {
    let mut was_up = false;
    loop {
        let asked = Instant::now();
        match control.logs_after(&args.component, &shown.lengths).await {
            Err(control::Error::NoAnswer { .. }) => return Ok(was_up),
            news => print(shown.whole_lines(news?)),
        }
        was_up = true;
        if !args.follow {
            return Ok(was_up);
        }
        tokio::time::sleep(PERIOD.max(asked.elapsed() * REST)).await;
    }
}

fn print(lines: Vec<String>) {
    lines.iter().for_each(|line| println!("{line}"));
}

/// The gathered logs of a finished run.
fn kept(directory: &RunDir, environment: &Environment, component: &str) -> Result<BTreeMap<String, LogPart>> {
    let component = environment.component(component)?;
    let snapshot: Snapshot =
        directory.read_json(evidence::PODS).context("this system is down and its run gathered no logs")?;
    let pods = component.pod_names().filter_map(|name| Some((name.clone(), snapshot.pods.get(&name)?)));
    let mut logs = BTreeMap::new();
    for (name, pod) in pods {
        for container in pod.all_containers() {
            if let Ok(text) = directory.read(evidence::log_file(&name, &container.name)) {
                logs.insert(format!("{name}/{}", container.name), LogPart::after(0, &text));
            }
        }
    }
    Ok(logs)
}

/// What was shown of each container's log.
#[derive(Debug, Default)]
struct Shown {
    /// The length of the lines that were shown.
    lengths: BTreeMap<String, usize>,
    /// The line after them, which has no end yet.
    open: BTreeMap<String, String>,
}

impl Shown {
    /// New lines, each after the name of its container. One that has no end yet is asked for again: a secret may stand in it whose other
    /// half is still to come.
    fn whole_lines(&mut self, news: BTreeMap<String, LogPart>) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, LogPart { from, text }) in news {
            let (whole, open) = text.split_at(text.rfind('\n').map_or(0, |end| end + 1));
            lines.extend(whole.lines().map(|line| format!("{name}  {line}")));
            self.lengths.insert(name.clone(), from + whole.len());
            self.open.insert(name, open.to_owned());
        }
        lines
    }

    /// The lines that never got an end.
    fn open_lines(&self) -> Vec<String> {
        let open = self.open.iter().filter(|(_, line)| !line.is_empty());
        open.map(|(name, line)| format!("{name}  {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_shown_once_and_the_last_one_without_its_end() {
        let mut shown = Shown::default();
        let mut ask = |log: &str| {
            let seen = shown.lengths.get("db-0/db").copied().unwrap_or_default();
            let lines = shown.whole_lines([("db-0/db".to_owned(), LogPart::after(seen, log))].into());
            (seen, lines, shown.open_lines())
        };
        let lines = |lines: &[&str]| lines.iter().map(|line| format!("db-0/db  {line}")).collect::<Vec<_>>();
        assert_eq!(ask("one\ntw"), (0, lines(&["one"]), lines(&["tw"])));
        assert_eq!(ask("one\ntwo\nthree"), (4, lines(&["two"]), lines(&["three"])));
        assert_eq!(ask("one\ntwo\nthree"), (8, lines(&[]), lines(&["three"])));
        assert_eq!(ask("new\n"), (8, lines(&["new"]), lines(&[])), "a container that was started anew");
    }
}
