//! Examines a probe that runs a command in its container. Main function: [`diagnose_command`].

use std::time::Duration;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Diagnosis, Flip},
    observation::{Kind, Observation, Verdict},
};
use e2e_plan::{Probe, ProbeAction};

use super::{
    Case, Found, concluded,
    fix::{self, Change},
    lab::PROBE,
    seconds, tried,
};
use crate::{
    node::{Runtime, observe},
    probe::Profile,
};

/// How many times as long as the probe the command may run once.
const PATIENCE: u32 = 10;
/// The port of tcpmux (RFC 1078), on which no container listens.
const CLOSED: u16 = 1;

/// Runs the command of an exec probe. One that is not done in time is run once more with ten times the time, and `true` beside it tells a slow
/// command from a slow runtime. One that succeeds is run against a port on which nobody listens: a probe that succeeds then too cannot fail.
pub async fn diagnose_command<R: Runtime>(case: &Case, runtime: &R, profile: &Profile, pod: &str) -> Diagnosis {
    let ProbeAction::Exec { command } = &case.probe.action else {
        let text = "not an exec probe";
        return concluded(Observation::new(Verdict::NotMeasured, Kind::Unsupported, text), None, None, Vec::new());
    };
    let run = async |command: Vec<String>, timeout: Duration| {
        let probe = Probe { action: ProbeAction::Exec { command }, timeout, ..case.probe.clone() };
        observe(runtime, profile, pod, &case.container, &probe).await
    };
    let within = case.probe.timeout;
    let first = run(command.clone(), within).await;
    let mut trials = vec![tried(PROBE, &first)];
    if first.success() {
        let ports = runtime.target(pod).map(|target| target.ports.into_keys().collect::<Vec<_>>()).unwrap_or_default();
        let Some((port, changed)) = against_closed(command, &ports) else {
            return concluded(first, None, None, trials);
        };
        let control = run(changed, within).await;
        trials.push(tried(
            format!("the command against port {CLOSED}, on which nobody listens, in place of {port}"),
            &control,
        ));
        let cannot_fail = control.success();
        let found = concluded(first, None, None, trials);
        let explanation = format!(
            "it also succeeds against port {CLOSED}, on which nobody listens, so it proves nothing of port {port}"
        );
        return if cannot_fail { Diagnosis { explanation, ..found } } else { found };
    }
    if first.kind != Kind::Timeout {
        return concluded(first, None, None, trials);
    }
    let nothing = run(vec!["true".to_owned()], within).await;
    let patient = run(command.clone(), within * PATIENCE).await;
    let again = run(command.clone(), within).await;
    trials.push(tried("`true` in its place", &nothing));
    trials.push(tried("the command with ten times the time", &patient));
    trials.push(tried("the probe once more", &again));
    if nothing.kind == Kind::Timeout {
        let explanation = format!(
            "not even `true` ends within {}: the container runtime is slow to start a process, or the container gets no processor",
            seconds(within)
        );
        return Diagnosis { explanation, ..concluded(first, None, None, trials) };
    }
    if !patient.success() || again.success() {
        let explanation = match (patient.kind, again.success()) {
            (_, true) => "the command is done in time on some runs and not on others".to_owned(),
            (Kind::Timeout, _) => format!("the command is still running after {}", seconds(within * PATIENCE)),
            _ => format!("the command takes longer than {}, and then fails: {}", seconds(within), patient.outcome()),
        };
        return Diagnosis { explanation, ..concluded(first, None, None, trials) };
    }
    let took = patient.total_ms / 1000.0;
    // Half as long again leaves room for a busier moment; Kubernetes takes whole seconds.
    let enough = (took * 1.5).ceil().max(within.as_secs_f64().floor() + 1.0);
    let start = match nothing.success() {
        true => format!(", of which starting a process takes {:.2} s", nothing.total_ms / 1000.0),
        false => String::new(),
    };
    let explanation = format!("the command takes {took:.1} s{start}, and the probe waits for {}", seconds(within));
    let flip = Flip { axis: Axis::Timeout, from: format!("{}s", within.as_secs_f64()), to: format!("{enough}s") };
    let changes = vec![Change::Timeout(Duration::from_secs_f64(enough))];
    let found = Found::of_flip(Cause::TooSlow, flip, explanation, changes);
    let fix = Some(fix::of(case, &found));
    concluded(first, Some(found), fix, trials)
}

/// The command with the first of `ports` that it names as a whole number replaced by a closed one.
fn against_closed(command: &[String], ports: &[u16]) -> Option<(u16, Vec<String>)> {
    ports.iter().find_map(|port| {
        let changed: Vec<String> = command.iter().map(|word| with_number(word, *port, CLOSED)).collect();
        (changed != command).then_some((*port, changed))
    })
}

/// A text in which a whole number is replaced by another.
fn with_number(text: &str, from: u16, to: u16) -> String {
    let (from, to) = (from.to_string(), to.to_string());
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&from) {
        let (before, behind) = (&rest[..at], &rest[at + from.len()..]);
        let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
        let is_whole = !is_digit(before.chars().next_back()) && !is_digit(behind.chars().next());
        replaced += before;
        replaced += if is_whole { &to } else { &from };
        rest = behind;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use e2e_kubelet::{diagnosis::Confidence, status::Exit};
    use e2e_plan::ProbeKind;
    use rstest::rstest;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        doctor::tests::{POD, case},
        node::{ExecError, ExecResult, KillError, StartError},
        probe::Target,
    };

    /// A container in which `true` and the probe's command take so many milliseconds; the command fails where nobody listens, if it looks.
    struct Container {
        nothing_ms: u64,
        command_ms: u64,
        looks: bool,
    }

    impl Runtime for Container {
        async fn start(&self, _: &str, _: &str) -> Result<(), StartError> {
            Ok(())
        }

        async fn wait_exit(&self, _: &str, _: &str) -> Exit {
            std::future::pending().await
        }

        async fn kill(&self, _: &str, _: &str, _: Duration) -> Result<(), KillError> {
            Ok(())
        }

        async fn exec(&self, _: &str, _: &str, command: &[String], timeout: Duration) -> Result<ExecResult, ExecError> {
            let is_nothing = command == ["true"];
            let takes = Duration::from_millis(if is_nothing { self.nothing_ms } else { self.command_ms });
            sleep(takes.min(timeout)).await;
            if takes > timeout {
                return Err(ExecError::TimedOut);
            }
            let is_closed = command.iter().any(|word| word.ends_with(":1"));
            Ok(ExecResult { exit_code: i32::from(self.looks && is_closed), output: Vec::new() })
        }

        fn target(&self, _: &str) -> Option<Target> {
            Some(Target::new(POD, 6379, SocketAddr::from(([127, 0, 0, 1], 6379))))
        }
    }

    async fn examine(container: Container) -> Diagnosis {
        let mut case = case(&[], Duration::from_secs(1));
        case.which = ProbeKind::Readiness;
        case.probe.action = ProbeAction::Exec { command: vec!["check".to_owned(), "redis:6379".to_owned()] };
        diagnose_command(&case, &container, &Profile::default(), "app-0").await
    }

    #[rstest]
    #[case::slow_command(Container { nothing_ms: 20, command_ms: 3_000, looks: true }, Some(Cause::TooSlow), "the command takes 3.0 s")]
    #[case::slow_runtime(Container { nothing_ms: 2_000, command_ms: 3_000, looks: true }, None, "not even `true` ends within 1.0 s")]
    #[case::hangs(Container { nothing_ms: 20, command_ms: 60_000, looks: true }, None, "still running after 10.0 s")]
    #[case::cannot_fail(Container { nothing_ms: 20, command_ms: 20, looks: false }, None, "proves nothing of port 6379")]
    #[case::well(Container { nothing_ms: 20, command_ms: 20, looks: true }, None, "")]
    #[tokio::test(start_paused = true)]
    async fn a_command_is_told_from_the_runtime(
        #[case] container: Container,
        #[case] cause: Option<Cause>,
        #[case] explanation: &str,
    ) {
        let found = examine(container).await;
        assert_eq!(found.cause, cause, "{found:#?}");
        assert!(found.explanation.contains(explanation), "{}", found.explanation);
        assert_eq!(found.explanation.is_empty(), explanation.is_empty(), "{}", found.explanation);
        // Nothing was made to succeed and taken back.
        assert_ne!(found.confidence, Confidence::Proven);
        let patch = found.fix.and_then(|fix| fix.patch);
        assert_eq!(patch.is_some_and(|patch| patch.contains("timeoutSeconds: 5")), cause.is_some());
    }

    #[rstest]
    #[case("redis:6379", "redis:1")]
    #[case("http://a:6379/b", "http://a:1/b")]
    #[case("16379 63790", "16379 63790")]
    fn a_port_is_a_whole_number(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(with_number(text, 6379, CLOSED), expected);
    }
}
