//! Examines a probe that runs a command in its container. Main function: [`diagnose_command`].

mod missing;
mod variants;

use std::time::Duration;

use e2e_figures::Random;
use e2e_kubelet::{
    diagnosis::{Cause, Diagnosis, Fix, Trial},
    observation::{Kind, Observation, Verdict},
    shell::{is_shell, script_at},
};
use e2e_plan::{Probe, ProbeAction};
use tokio::time::Instant;

use self::variants::Variant;
use super::{
    Case, Found, concluded,
    fix::{self, Change},
    lab::PROBE,
    rounds::{FLIPS, Pattern, SEEN, Side, coin, pattern, sides},
    script::{OF_BASH, negates, programs, script_in, starts_only, with_number},
    seconds, tried,
};
use crate::{
    node::{Runtime, observe},
    probe::Profile,
};

/// How many times as long as the probe the command may run once.
const PATIENCE: u32 = 10;
/// The longest time for repeats of a command that is late each time.
const REPEATS: Duration = Duration::from_secs(30);
/// The port of tcpmux (RFC 1078), on which no container listens.
const CLOSED: u16 = 1;
/// Builtins of shells that look at something other than a program's success.
const LOOKS: [&str; 5] = [".", "[", "test", "kill", "read"];
/// Programs that succeed in every container, whatever its app does.
const IDLE: [&str; 9] = ["true", "echo", "printf", "sleep", "date", "hostname", "pwd", "env", "id"];

/// Runs the command of an exec probe. One that is not done in time is run with ten times the time, and `true` beside it tells a slow command
/// from a slow runtime. One that fails is run as its author may have meant it, and with what it may lack. One that succeeds is run against a
/// port on which nothing listens, and without its programs: a probe that succeeds then too cannot fail.
pub async fn diagnose_command<R: Runtime>(case: &Case, runtime: &R, profile: &Profile, pod: &str) -> Diagnosis {
    let ProbeAction::Exec { command } = &case.probe.action else {
        let text = "not an exec probe";
        return concluded(
            case,
            Observation::new(Verdict::NotMeasured, Kind::Unsupported, text),
            None,
            None,
            Vec::new(),
        );
    };
    let mut bench = Bench { case, runtime, profile, pod, command, trials: Vec::new(), coin: coin() };
    let first = bench.run(PROBE, command.clone(), case.probe.timeout).await;
    let seen = match first.kind {
        _ if first.success() => bench.of_success().await,
        Kind::Timeout => bench.of_timeout().await,
        Kind::CannotExec | Kind::Exited => bench.of_failure(&first).await,
        _ => Seen::Nothing,
    };
    let trials = bench.trials;
    match seen {
        Seen::Nothing => concluded(case, first, None, None, trials),
        Seen::Remark(explanation, advice) => {
            Diagnosis { explanation, ..concluded(case, first, None, advice.map(Fix::advice), trials) }
        }
        Seen::Cause(found) => {
            // The patch is the change that was proved.
            let verified = (found.confirmed && !found.changes.is_empty()).then_some(true);
            let fix = Fix { verified, ..fix::of(case, &found) };
            concluded(case, first, Some(found), Some(fix), trials)
        }
    }
}

/// What the runs of a command show.
enum Seen {
    Nothing,
    /// No cause, but words for what was seen, and the remedy if there is a special one.
    Remark(String, Option<&'static str>),
    Cause(Found),
}

/// A command under examination.
struct Bench<'a, R> {
    case: &'a Case,
    runtime: &'a R,
    profile: &'a Profile,
    pod: &'a str,
    command: &'a [String],
    /// The probe comes first.
    trials: Vec<Trial>,
    coin: Random,
}

impl<R: Runtime> Bench<'_, R> {
    async fn observe(&self, command: Vec<String>, timeout: Duration) -> Observation {
        let probe = Probe { action: ProbeAction::Exec { command }, timeout, ..self.case.probe.clone() };
        observe(self.runtime, self.profile, self.pod, &self.case.container, &probe).await
    }

    /// Runs a command and records it; a repeat counts with the first.
    async fn run(&mut self, change: impl Into<String>, command: Vec<String>, timeout: Duration) -> Observation {
        let observation = self.observe(command, timeout).await;
        let trial = tried(change, &observation);
        match self.trials.iter_mut().find(|known| known.change == trial.change) {
            Some(known) => {
                known.sent += 1;
                known.succeeded += trial.succeeded;
            }
            None => self.trials.push(trial),
        }
        observation
    }

    async fn run_in_time(&mut self, change: &str, command: Vec<String>) -> Observation {
        self.run(change, command, self.case.probe.timeout).await
    }

    /// The ports of the pod.
    fn ports(&self) -> Vec<u16> {
        self.runtime.target(self.pod).map(|target| target.ports.into_keys().collect()).unwrap_or_default()
    }

    async fn of_success(&mut self) -> Seen {
        // One that succeeds for the lack of something can fail where it is there.
        let negates = script_in(self.command).is_some_and(|at| negates(&self.command[at]));
        if let Some((port, changed)) = against_closed(self.command, &self.ports()).filter(|_| !negates) {
            let change = format!("the command against port {CLOSED}, on which nothing listens, in place of {port}");
            if self.run_in_time(&change, changed).await.success() {
                let text = format!(
                    "it also succeeds against port {CLOSED}, on which nothing listens, so it proves nothing about port {port}"
                );
                return Seen::Remark(text, None);
            }
            return Seen::Nothing;
        }
        let programs = programs(self.command);
        if starts_only(self.command, &IDLE) {
            let text = "the command asks nothing of the app, so it proves nothing about it";
            return Seen::Remark(text.to_owned(), None);
        }
        // A script that looks at a file, for example, needs no program.
        let looks = |program: &String| LOOKS.contains(&program.as_str()) || OF_BASH.contains(&program.as_str());
        let Some(at) = script_at(self.command)
            .filter(|_| !negates && programs.iter().all(|program| !looks(program) && !program.contains('/')))
        else {
            return Seen::Nothing;
        };
        let mut without = self.command.to_vec();
        without[at] = format!("PATH=/nonexistent\n{}", without[at]);
        let named = programs.join(" and ");
        if self.run_in_time(&format!("the command where {named} cannot be found"), without).await.success() {
            let text = format!("it also succeeds where {named} cannot be found, so it proves nothing about the app");
            return Seen::Remark(text, None);
        }
        Seen::Nothing
    }

    async fn of_timeout(&mut self) -> Seen {
        let within = self.case.probe.timeout;
        let nothing = self.run_in_time("`true` in its place", vec!["true".to_owned()]).await;
        if nothing.kind == Kind::Timeout {
            let text = format!(
                "not even `true` ends within {}: the container runtime is slow to start a process, or the container gets no CPU time",
                seconds(within)
            );
            return Seen::Remark(text, Some("give the container more CPU, and the probe a longer timeoutSeconds"));
        }
        let patient = self.run("the command with ten times the time", self.command.to_vec(), within * PATIENCE).await;
        match patient.kind {
            Kind::Timeout => {
                let text = format!("the command is still running after {}", seconds(within * PATIENCE));
                return Seen::Remark(
                    text,
                    Some("find out what the command waits for: an answer from the app, input, a name to resolve"),
                );
            }
            _ if !patient.success() => {
                let text =
                    format!("the command takes longer than {}, and then fails: {}", seconds(within), patient.outcome());
                return Seen::Remark(
                    text,
                    Some("find out from the command's output why it fails; a longer timeout does not help"),
                );
            }
            _ => {}
        }
        let begun = Instant::now();
        while self.trials[0].sent < FLIPS as u32 && (self.trials[0].sent < 2 || begun.elapsed() < REPEATS) {
            if self.run_in_time(PROBE, self.command.to_vec()).await.success() {
                return Seen::Remark("the command is done in time on some runs and not on others".to_owned(), None);
            }
        }
        let start = match nothing.success() {
            true => format!(", of which starting a process takes {:.2} s", nothing.took().as_secs_f64()),
            false => String::new(),
        };
        let text = format!(
            "the command takes {}{start}, and the probe waits for {}",
            seconds(patient.took()),
            seconds(within)
        );
        Seen::Cause(Found::too_slow(patient.took(), within, text))
    }

    async fn of_failure(&mut self, first: &Observation) -> Seen {
        let has_shell = self.has_own_shell(first).await;
        for variant in self.variants(first, has_shell) {
            if !self.run_in_time(&variant.change, variant.command.clone()).await.success() {
                continue;
            }
            if let Some(without) = &variant.without
                && self.run_in_time(&as_command(without), without.clone()).await.success()
            {
                continue;
            }
            if !self.are_alike(&variant.alike).await {
                continue;
            }
            return self.of_variant(variant).await;
        }
        if could_not_start(first)
            && let Some(seen) = self.of_script().await
        {
            return seen;
        }
        // A script may go on without the program that it starts first.
        if (could_not_start(first) || script_in(self.command).is_some())
            && let Some(seen) = self.of_missing(first).await
        {
            return seen;
        }
        self.of_repeats().await
    }

    /// Whether the container has the shell that the command names, which then lacks something else.
    async fn has_own_shell(&mut self, first: &Observation) -> bool {
        let shell = self.command[0].clone();
        could_not_start(first)
            && is_shell(&shell)
            && self
                .run_in_time(&format!("{shell} alone"), [&shell, "-c", ":"].map(str::to_owned).to_vec())
                .await
                .success()
    }

    /// The cause for a variant that has succeeded.
    async fn of_variant(&mut self, variant: Variant) -> Seen {
        if !self.prove(&variant).await {
            return self.of_repeats().await;
        }
        let Variant { command, cause, flip, explanation, .. } = variant;
        let changes = vec![Change::Command(command)];
        Seen::Cause(Found { confirmed: true, ..Found::of_flip(cause, flip, explanation, changes) })
    }

    /// Whether the probe fails and the variant succeeds whenever a fair coin picks them; see [`rounds`](super::rounds).
    async fn prove(&mut self, variant: &Variant) -> bool {
        for side in sides(&mut self.coin) {
            let held = match side {
                Side::Fails => !self.run_in_time(PROBE, self.command.to_vec()).await.success(),
                Side::Succeeds => self.run_in_time(&variant.change, variant.command.clone()).await.success(),
            };
            if !held {
                return false;
            }
        }
        true
    }

    /// Repeats the probe until it has been run so often, as far as time allows.
    async fn repeat(&mut self, count: usize) -> Vec<bool> {
        let mut series = vec![false];
        let begun = Instant::now();
        while series.len() < count && begun.elapsed() < self.case.probe.timeout * PATIENCE {
            series.push(self.run_in_time(PROBE, self.command.to_vec()).await.success());
        }
        series
    }

    /// A probe that fails for no reason of its own may be flaky.
    async fn of_repeats(&mut self) -> Seen {
        let mut series = self.repeat(FLIPS).await;
        if series.contains(&true) {
            series.extend(self.repeat(SEEN).await.split_off(1));
        }
        if pattern(&series) != Pattern::Wavers {
            return Seen::Nothing;
        }
        let failures = series.iter().filter(|success| !**success).count();
        let text = format!("{PROBE} failed {failures} of {} times with nothing changed", series.len());
        Seen::Cause(Found::of_everyone(Cause::Flaky, text))
    }
}

/// Whether a command or one of its programs was not found or not executable (POSIX, Shell Command Language, 2.8.2).
fn could_not_start(observation: &Observation) -> bool {
    observation.kind == Kind::CannotExec || matches!(observation.exit_code, Some(126 | 127))
}

/// How another command is listed.
fn as_command(command: &[String]) -> String {
    format!("the command as `{}`", written(command))
}

/// A command as a list of its items.
fn written(command: &[String]) -> String {
    format!("{command:?}")
}

/// The command with the first of `ports` that it names as a whole number replaced by a closed one.
fn against_closed(command: &[String], ports: &[u16]) -> Option<(u16, Vec<String>)> {
    ports.iter().find_map(|port| {
        let changed: Vec<String> = command.iter().map(|word| with_number(word, *port, CLOSED)).collect();
        (changed != command).then_some((*port, changed))
    })
}

#[cfg(test)]
mod tests;
