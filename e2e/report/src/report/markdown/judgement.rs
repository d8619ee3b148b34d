//! The sections made from findings: problems, causes and fixes. Main function: [`findings`].

use std::fmt::Write;

use crate::{
    finding::{Finding, Severity},
    report::{
        Report, Verdict,
        table::{fenced, one_line},
    },
};

pub(super) fn findings(report: &Report) -> String {
    let mut text = "## Key findings\n\n".to_owned();
    if report.findings.is_empty() {
        text += "None: every check passed, no container restarted, no figure crossed its threshold.\n\n";
    }
    for (index, finding) in report.findings.iter().enumerate() {
        let about = finding.component.as_ref().map(|component| format!(" ({component})")).unwrap_or_default();
        let _ = writeln!(text, "### {}. {}{about}\n\n{}\n", index + 1, finding.code, one_line(&finding.claim));
        if let Some(excerpt) = &finding.excerpt {
            text += &fenced(if finding.patch().is_some() { "yaml" } else { "" }, excerpt);
        }
        let _ = writeln!(text, "- Severity: {}", severity(finding.severity));
        let _ = writeln!(text, "- Evidence: {}\n", finding.evidence.join(", "));
    }
    text
}

pub(super) fn root_causes(report: &Report) -> String {
    let causes = report.findings.iter().enumerate().filter(|(_, finding)| finding.is_proven_cause());
    let causes: Vec<String> = causes
        .map(|(index, cause)| {
            let evidence = cause.evidence.join(", ");
            format!("- **{}**: finding {}, from {evidence}\n", cause.named(), index + 1)
        })
        .collect();
    let text = match (causes.is_empty(), report.verdict) {
        (true, Verdict::Pass) => "None, since nothing failed.\n".to_owned(),
        (true, _) => "No cause is known; the findings above are observations.\n".to_owned(),
        (false, _) => causes.concat(),
    };
    format!("## Root causes\n\n{text}\n")
}

/// The fixes of causes and of isolated findings. If a cause is known, the next run shows which effects remain. Fixes of warnings
/// are advice.
pub(super) fn path_forward(report: &Report) -> String {
    let (advice, wrong): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Warning);
    let has_cause = wrong.iter().any(|finding| finding.is_proven_cause());
    let (effects, others): (Vec<&Finding>, Vec<&Finding>) =
        wrong.into_iter().partition(|finding| has_cause && finding.code.is_effect());
    let mut steps = fixes(&others);
    let mut names: Vec<String> = effects.into_iter().map(Finding::named).collect();
    names.dedup();
    if !names.is_empty() {
        steps.push(format!(
            "Run again. These may be effects of the causes above; any that remain have another cause: {}.",
            names.join(", ")
        ));
    }
    let steps: Vec<String> = steps.iter().enumerate().map(|(index, step)| format!("{}. {step}\n", index + 1)).collect();
    let text = if steps.is_empty() { "Nothing to fix.\n".to_owned() } else { steps.concat() };
    let advice: String = fixes(&advice).iter().map(|fix| format!("- {fix}\n")).collect();
    let advice = match advice.is_empty() {
        true => advice,
        false => format!("Advice (does not affect the verdict):\n\n{advice}\n"),
    };
    format!("## Path forward\n\n{text}\n{advice}")
}

/// Each fix once.
fn fixes(findings: &[&Finding]) -> Vec<String> {
    let mut fixes: Vec<String> = Vec::new();
    for finding in findings.iter().filter(|finding| !finding.fix.is_empty()) {
        if !fixes.contains(&finding.fix) {
            fixes.push(finding.fix.clone());
        }
    }
    fixes
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Gap => "gap: a measurement is missing",
        Severity::Warning => "warning",
    }
}
