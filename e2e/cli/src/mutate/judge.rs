//! What became of a mutant, from its run. Pure. Main function: [`of_run`].

use std::{fmt, time::Duration};

use anyhow::{Result, bail};
use e2e_report::{
    finding::{Finding, Severity},
    report::{Report, Verdict},
};
use e2e_run::exit::ExitCode;
use serde::Serialize;

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub(super) enum Fate {
    /// The plan, or the preparation of a run, refuses it.
    Refused { by: String },
    /// The linter has a remark that it has not on the original.
    Linted { by: String },
    /// A run fails and names a cause.
    Explained { by: String },
    /// A run fails.
    Failed { by: String },
    /// The plan, or a run that passes, warns of something new.
    Warned { by: String },
    /// Nothing noticed.
    Survived,
    /// The target does not act on the field.
    NotHonoured,
    /// A measurement is missing.
    NotJudged { by: String },
    /// Nothing was run.
    NotRun,
}

impl Fate {
    /// Whether something noticed the mistake; nothing where it could not be noticed.
    pub(super) fn is_killed(&self) -> Option<bool> {
        match self {
            Self::NotHonoured | Self::NotRun | Self::NotJudged { .. } => None,
            Self::Survived => Some(false),
            _ => Some(true),
        }
    }

    /// What it counts as, how it is said of one mutant, and what noticed or hindered it.
    pub(super) fn words(&self) -> (&'static str, &'static str, Option<&str>) {
        match self {
            Self::Refused { by } => ("refused", "refused", Some(by)),
            Self::Linted { by } => ("by lint", "killed by lint", Some(by)),
            Self::Explained { by } => ("with their cause", "killed, with its cause", Some(by)),
            Self::Failed { by } => ("by a failure", "killed", Some(by)),
            Self::Warned { by } => ("by a warning", "killed by a warning", Some(by)),
            Self::Survived => ("survived", "survived", None),
            Self::NotHonoured => ("not honoured on this target", "not honoured on this target", None),
            Self::NotJudged { by } => ("not judged", "not judged", Some(by)),
            Self::NotRun => ("not run", "not run", None),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.words() {
            (_, said, Some(by)) => write!(f, "{said}: {by}"),
            (_, said, None) => f.write_str(said),
        }
    }
}

/// What a run's report says that matters here.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    findings: Vec<Finding>,
    pub(super) has_passed: bool,
    /// Why the run ended as it did.
    pub(super) reason: String,
    up: Duration,
}

impl Seen {
    pub(super) fn of(report: Report) -> Self {
        let up = Duration::from_millis(report.environment.up_ms);
        Self {
            findings: report.findings,
            has_passed: report.verdict == Verdict::Pass,
            reason: report.verdict_reason,
            up,
        }
    }

    /// How long to wait for a mutant of this system: five times as long as for itself, at least 15 s, so that a probe has time to fail.
    pub(super) fn bring_up(&self) -> Duration {
        (5 * self.up).max(Duration::from_secs(15))
    }

    fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|own| (own.code, &own.component) == (finding.code, &finding.component))
    }
}

/// Judges a run by its exit code, its report and the last thing that it said, beside the run of the original.
///
/// # Errors
///
/// The run ended in a way that says nothing of the mutant.
pub(super) fn of_run(code: Option<ExitCode>, seen: Option<&Seen>, said: &str, original: &Seen) -> Result<Fate> {
    Ok(match (code, seen) {
        (Some(ExitCode::Pass), Some(seen)) => {
            let mut new = seen.findings.iter().filter(|finding| !original.has(finding));
            match new.find(|finding| finding.code.is_cause()) {
                Some(finding) => Fate::Warned { by: finding.named() },
                None => Fate::Survived,
            }
        }
        (Some(ExitCode::Fail | ExitCode::NotUp), Some(seen)) => {
            let errors = || seen.findings.iter().filter(|finding| finding.severity == Severity::Error);
            match errors().find(|finding| finding.code.is_cause()) {
                Some(cause) => Fate::Explained { by: cause.named() },
                None => Fate::Failed { by: errors().next().map_or_else(|| seen.reason.clone(), Finding::named) },
            }
        }
        (Some(ExitCode::Incomplete), Some(seen)) => Fate::NotJudged { by: seen.reason.clone() },
        // Images, programs and the cluster's own checks of objects.
        (Some(ExitCode::BadInput | ExitCode::NotUp), None) => Fate::Refused { by: said.to_owned() },
        _ => bail!("the run of a mutant could not be judged: {said}"),
    })
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::diagnosis::Cause;
    use e2e_report::finding::Code;
    use rstest::rstest;

    use super::*;

    fn seen(findings: &[(Code, Severity)]) -> Seen {
        let finding = |(code, severity): &(Code, Severity)| Finding {
            code: *code,
            severity: *severity,
            component: Some("shop".to_owned()),
            claim: String::new(),
            evidence: Vec::new(),
            fix: String::new(),
            excerpt: None,
        };
        let findings = findings.iter().map(finding).collect();
        Seen { findings, has_passed: true, reason: "the reason".to_owned(), up: Duration::ZERO }
    }

    const PROBE: (Code, Severity) = (Code::Probe(Cause::MethodOrPath), Severity::Error);
    const CHECK: (Code, Severity) = (Code::CheckFailed, Severity::Error);
    const THROTTLED: (Code, Severity) = (Code::CpuThrottled, Severity::Warning);
    const LEFT_OUT: (Code, Severity) = (Code::ManifestFieldIgnored, Severity::Warning);

    #[rstest]
    #[case::passes(ExitCode::Pass, Some(&[LEFT_OUT][..]), "survived")]
    #[case::warns_as_before(ExitCode::Pass, Some(&[THROTTLED][..]), "survived")]
    #[case::warns(ExitCode::Pass, Some(&[PROBE][..]), "killed by a warning: method-or-path (shop)")]
    #[case::fails(ExitCode::Fail, Some(&[CHECK][..]), "killed: check-failed (shop)")]
    #[case::fails_with_a_cause(ExitCode::NotUp, Some(&[CHECK, PROBE][..]), "killed, with its cause: method-or-path (shop)")]
    #[case::a_difference_to_the_snapshot(ExitCode::Fail, Some(&[][..]), "killed: the reason")]
    #[case::not_measured(ExitCode::Incomplete, Some(&[][..]), "not judged: the reason")]
    #[case::not_started(ExitCode::BadInput, None, "refused: what it said")]
    fn a_run_is_judged(#[case] code: ExitCode, #[case] findings: Option<&[(Code, Severity)]>, #[case] expected: &str) {
        let seen_of_run = findings.map(seen);
        let fate = of_run(Some(code), seen_of_run.as_ref(), "what it said", &seen(&[THROTTLED])).unwrap();
        assert_eq!(fate.to_string(), expected);
    }

    #[rstest]
    #[case::interrupted(Some(ExitCode::Interrupted))]
    #[case::killed(None)]
    fn a_run_that_says_nothing_ends_the_study(#[case] code: Option<ExitCode>) {
        let error = of_run(code, None, "interrupted", &Seen::default()).unwrap_err().to_string();
        assert_eq!(error, "the run of a mutant could not be judged: interrupted");
    }
}
