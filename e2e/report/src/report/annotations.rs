//! Findings at the lines of the manifests that they are about. Main functions: [`places`], [`annotations`].

use e2e_plan::Line;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Report;
use crate::{
    diagnose::troubles,
    environment::Component,
    finding::{Code, Finding, Severity},
    run_data::RunData,
};

/// The line that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingPlace {
    /// Position of the finding in the report's `findings`, from 0.
    pub finding: usize,
    /// The line.
    #[serde(flatten)]
    pub line: Line,
}

/// A finding for a line of a file, as a code forge shows it beside the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation<'a> {
    /// How bad.
    pub severity: Severity,
    /// Where; nothing where no manifest says it.
    pub line: Option<&'a Line>,
    /// A few words.
    pub title: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// More than ten of a kind in one step are not shown
/// (<https://docs.github.com/en/rest/checks/runs>).
const MOST: usize = 10;

/// The lines that findings are about, as far as manifests say it.
pub(super) fn places(data: &RunData, findings: &[Finding]) -> Vec<FindingPlace> {
    let place = |(index, finding): (usize, &Finding)| {
        let name = finding.component.as_ref()?;
        let component = data.environment.components.iter().find(|component| component.name == *name)?;
        let path = path(data, component, finding.code).filter(|path| component.places.contains_key(path));
        let line = component.places.get(&path.unwrap_or_default())?.clone();
        Some(FindingPlace { finding: index, line })
    };
    findings.iter().enumerate().filter_map(place).collect()
}

/// The field that a finding is about, as in [`e2e_plan::Places`].
fn path(data: &RunData, component: &Component, code: Code) -> Option<String> {
    let any = |end: &str| component.places.keys().find(|path| path.ends_with(end)).cloned();
    match code {
        Code::Probe(_) | Code::ProbeFailing | Code::ProbeErrored => {
            let spec = component.probes.iter().find(|spec| troubles(data, component, spec).next().is_some())?;
            Some(format!("{}.{}", spec.container, spec.which.field()))
        }
        Code::OomKilled | Code::MemoryAtLimit => any(".limits.memory"),
        Code::CpuThrottled => any(".limits.cpu"),
        Code::ImageUnavailable => any(".image"),
        Code::NoReplicas => Some("replicas".to_owned()),
        _ => None,
    }
}

/// The findings as annotations: causes, errors and gaps, worst first.
pub fn annotations(report: &Report) -> Vec<Annotation<'_>> {
    let wrong = report.findings.iter().enumerate().filter(|(_, finding)| finding.severity != Severity::Warning);
    let annotation = |(index, finding): (usize, &'_ Finding)| {
        let place = report.places.iter().find(|place| place.finding == index);
        let about = finding.component.as_ref().map(|component| format!("{component}: ")).unwrap_or_default();
        let fix = if finding.fix.is_empty() { String::new() } else { format!("\n{}", finding.fix) };
        Annotation {
            severity: finding.severity,
            line: place.map(|place| &place.line),
            title: format!("{about}{}", finding.code),
            message: format!("{}{fix}", finding.claim),
        }
    };
    wrong.map(annotation).take(MOST).collect()
}

impl Annotation<'_> {
    /// The workflow command of GitHub Actions
    /// (<https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>), escaped as its toolkit escapes
    /// (<https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>): no text can end the command or begin another one.
    pub fn workflow_command(&self) -> String {
        let command = match self.severity {
            Severity::Error => "error",
            Severity::Gap | Severity::Warning => "warning",
        };
        let place = self.line.map_or(String::new(), |Line { file, line }| {
            format!("file={},line={line},", property(&file.to_string_lossy()))
        });
        format!("::{command} {place}title={}::{}", property(&self.title), data(&self.message))
    }
}

/// The text behind a command.
pub fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_command_or_begins_another() {
        let line = Line { file: "a,b:c.yaml".into(), line: 7 };
        let annotation = Annotation {
            severity: Severity::Error,
            line: Some(&line),
            title: "app: oom-killed, 100%".to_owned(),
            message: "killed\r\n::set-output name=x::y, 50%".to_owned(),
        };
        assert_eq!(
            annotation.workflow_command(),
            "::error file=a%2Cb%3Ac.yaml,line=7,title=app%3A oom-killed%2C 100%25::killed%0D%0A::set-output name=x::y, 50%25"
        );
        let gap = Annotation { severity: Severity::Gap, line: None, ..annotation };
        assert!(gap.workflow_command().starts_with("::warning title=app"), "{}", gap.workflow_command());
    }

    #[test]
    fn a_finding_points_at_the_field_that_it_is_about() {
        let mut data = crate::testing::quiet();
        let line = |line| Line { file: "app.yaml".into(), line };
        let finding = |code, component: &str| Finding {
            claim: "it is".to_owned(),
            fix: "do".to_owned(),
            ..Finding::of(component, code, Severity::Error)
        };
        let findings =
            [finding(Code::OomKilled, "app"), finding(Code::Crashed, "app"), finding(Code::Crashed, "other")];
        assert_eq!(places(&data, &findings), [], "a run that recorded no places");
        data.environment.components[0].places =
            [(String::new(), line(3)), ("app.limits.memory".to_owned(), line(20))].into();
        let lines: Vec<_> =
            places(&data, &findings).into_iter().map(|place| (place.finding, place.line.line)).collect();
        assert_eq!(lines, [(0, 20), (1, 3)]);
    }
}
