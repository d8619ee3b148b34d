//! A report's summary for a terminal. Main function: [`render`].

use e2e_figures::scenario::{LedgerResult, ScenarioResult};

use super::{Report, Verdict};
use crate::finding::Severity;

/// A few lines, the verdict first; `elapsed` is the run's formatted duration.
pub fn render(report: &Report, elapsed: &str, colour: bool) -> String {
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[1;{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let verdict = match report.verdict {
        Verdict::Pass => "32",
        Verdict::Fail => "31",
        Verdict::Incomplete => "33",
    };
    let verdict = paint(verdict, &report.verdict.word().to_uppercase());
    let mut lines = vec![format!("{verdict} on {} in {elapsed}: {}", report.target, report.verdict_reason)];
    for suite in &report.suites {
        lines.push(format!(
            "  {:<14} {} passed, {} failed, {} skipped",
            suite.name, suite.passed, suite.failed, suite.skipped
        ));
    }
    lines.extend(report.scenarios.iter().map(|scenario| load(&scenario.figures)));
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Warning) {
        lines.push(format!("  {} {}", paint("31", &finding.code.to_string()), finding.claim));
        if finding.code.is_cause() && !finding.fix.is_empty() {
            lines.push(format!("    fix: {}", finding.fix));
        }
    }
    lines.join("\n")
}

fn load(figures: &ScenarioResult) -> String {
    let rate = figures.rate_per_second.unwrap_or_default();
    let mut words = vec![format!("{rate:.0} requests/s"), format!("{} errors", figures.errors)];
    words.extend(figures.latency_ms.map(|latency| format!("p99 {:.1} ms", latency.p99)));
    if let Some(succeeded) = figures.client_outcomes.get(&figures.success) {
        words.push(format!("{succeeded} of {} clients {}", figures.clients, figures.success));
    }
    if let Some(LedgerResult { acknowledged, missing, duplicate, .. }) = &figures.ledger {
        words.push(format!("{acknowledged} acknowledged, {missing} missing, {duplicate} stored twice"));
    }
    format!("  {:<14} {}", figures.name, words.join(", "))
}
