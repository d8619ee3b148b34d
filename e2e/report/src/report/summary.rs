//! A report in a few lines, for the end of a run on a terminal. Main function: [`render`].

use super::{Report, Severity, Verdict};

/// A few lines with the verdict first; `elapsed` is how long it took, in words.
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
    if let Some(figures) = &report.registration {
        lines.push(format!("  registered     {} of {} clients", figures.registered, figures.clients));
    }
    if let Some(figures) = &report.throughput {
        let p99 = figures.latency_ms.map_or(String::new(), |latency| format!(", p99 {:.1} ms", latency.p99));
        lines.push(format!(
            "  throughput     {:.0} operations/s, {} errors{p99}",
            figures.operations_per_second, figures.errors
        ));
    }
    if let Some(figures) = &report.conservation {
        lines.push(format!(
            "  conservation   {} acknowledged, {} missing, {} duplicate",
            figures.acknowledged, figures.missing, figures.duplicate
        ));
    }
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Warning) {
        lines.push(format!("  {} {}", paint("31", &finding.code.to_string()), finding.claim));
        if finding.code.is_cause() && !finding.fix.is_empty() {
            lines.push(format!("    fix: {}", finding.fix));
        }
    }
    lines.join("\n")
}
