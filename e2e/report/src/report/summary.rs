//! A report's summary for a terminal. Main function: [`render`].

use e2e_figures::scenario::{LedgerResult, ScenarioResult};
use e2e_plan::duration::human_ms;

use super::{Report, Verdict, headline::headline, table::one_line};
use crate::finding::{Finding, Severity};

/// A screen of a terminal: what goes beyond it stands in the report.
const LINES: usize = 30;

/// A few lines, the verdict first.
pub fn render(report: &Report, colour: bool) -> String {
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
    let took = human_ms(report.duration_ms);
    let mut lines = vec![format!("{verdict} on {} in {took}: {}", report.target, report.verdict_reason)];
    let headline = headline(report);
    if let Some(headline) = &headline {
        let word = if headline.is_cause { "cause" } else { "found" };
        lines.push(format!("  {}: {}", paint("31", word), told(headline.finding)));
        lines.extend(headline.log_line().map(|line| format!("  from its log: {line}")));
        lines.extend(headline.fix().map(|fix| format!("  {}: {fix}", paint("32", "fix"))));
    }
    for suite in &report.suites {
        lines.push(format!(
            "  {:<14} {} passed, {} failed, {} skipped",
            suite.name, suite.passed, suite.failed, suite.skipped
        ));
    }
    lines.extend(report.scenarios.iter().map(|scenario| load(&scenario.figures)));
    let first = headline.map(|headline| headline.finding);
    let is_other = |finding: &&Finding| finding.severity != Severity::Warning && first != Some(*finding);
    for finding in report.findings.iter().filter(is_other) {
        lines.push(format!("  {} {}", paint("31", &finding.code.to_string()), told(finding)));
        if finding.code.is_cause() && !finding.fix.is_empty() {
            lines.push(format!("    fix: {}", finding.fix));
        }
    }
    if lines.len() > LINES {
        let more = lines.len() + 1 - LINES;
        lines.truncate(LINES - 1);
        lines.push(format!("  {more} more lines: see the report"));
    }
    lines.join("\n")
}

/// A claim with its component, in one line.
fn told(finding: &Finding) -> String {
    let claim = one_line(&finding.claim);
    match &finding.component {
        Some(component) if !claim.contains(component.as_str()) => format!("{component}: {claim}"),
        _ => claim,
    }
}

fn load(figures: &ScenarioResult) -> String {
    let rate = figures.rate_per_second.map(|rate| format!("{rate:.0} requests/s"));
    let rate = rate.unwrap_or_else(|| "the rate was not measured".to_owned());
    let mut words = vec![rate, format!("{} errors", figures.errors)];
    words.extend(figures.latency_ms.map(|latency| format!("p99 {:.1} ms", latency.p99)));
    if let Some(succeeded) = figures.client_outcomes.get(&figures.success) {
        words.push(format!("{succeeded} of {} clients {}", figures.clients, figures.success));
    }
    if let Some(LedgerResult { acknowledged, missing, duplicate, .. }) = &figures.ledger {
        words.push(format!("{acknowledged} acknowledged, {missing} missing, {duplicate} stored twice"));
    }
    format!("  {:<14} {}", figures.name, words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{finding::Code, testing::quiet};

    #[test]
    fn a_rate_that_was_not_measured_is_not_zero() {
        let of = |rate_per_second| {
            load(&ScenarioResult { name: "ask".to_owned(), rate_per_second, errors: 3, ..ScenarioResult::default() })
        };
        assert_eq!(of(None), "  ask            the rate was not measured, 3 errors");
        assert_eq!(of(Some(0.2)), "  ask            0 requests/s, 3 errors");
    }

    /// The cause and its fix come before everything else, and a screen is enough however much was found.
    #[test]
    fn cause_and_fix_come_first_on_one_screen() {
        let mut report = Report::new(&quiet());
        let finding = |code, claim: &str| Finding {
            claim: claim.to_owned(),
            fix: "Raise it. Then run again.".to_owned(),
            ..Finding::of("app", code, Severity::Error)
        };
        report.findings =
            vec![finding(Code::ProbeFailing, "it fails"), finding(Code::OomKilled, "used too much\nmemory")];
        let text = render(&report, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1..3], ["  cause: app: used too much memory", "  fix: Raise it."]);
        report.findings = vec![Finding {
            excerpt: Some("reading the configuration\nno such file\n\n".to_owned()),
            ..finding(Code::Crashed, "it crashed")
        }];
        assert!(render(&report, false).contains("it crashed\n  from its log: no such file\n  fix: "));
        report.findings.extend(vec![finding(Code::Crashed, "it crashed"); 40]);
        let text = render(&report, false);
        assert_eq!(text.lines().count(), LINES);
        assert!(text.ends_with("more lines: see the report"), "{text}");
    }
}
