//! The report as a comment on a pull request or the summary of a CI job: short, and never longer than a forge takes. Main function:
//! [`render`].

use super::{Report, markdown};

/// Begins each comment, so that a later run finds and replaces the one before.
const MARKER: &str = "<!-- e2e-report -->";

/// GitHub takes comments of at most 65,536 characters; bytes are never fewer.
pub const LONGEST: usize = 65_536;

/// Renders a report in at most `longest` bytes: cause and fix first, the figures, then the sections of the page, as many as have room.
/// What has no room is counted.
pub fn render(report: &Report, longest: usize) -> String {
    let left_out = |count: usize| {
        format!("\n{count} more sections do not fit here; `report.html` of the run `{}` has them all.\n", report.run_id)
    };
    let room = longest.saturating_sub(left_out(usize::MAX).len());
    let mut text = cut(format!("{MARKER}\n{}", markdown::head(report, "##")), room);
    let mut missing = 0;
    for section in markdown::sections(report) {
        match text.len() + section.len() <= room {
            true => text += &section,
            false => missing += 1,
        }
    }
    if missing > 0 {
        text += &left_out(missing);
    }
    text
}

/// A text of at most so many bytes, with an open block of code closed.
fn cut(mut text: String, room: usize) -> String {
    const CLOSED: &str = "\n```\n…\n";
    if text.len() <= room {
        return text;
    }
    let end = (0..=room.saturating_sub(CLOSED.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    let is_open = text.lines().filter(|line| line.starts_with("```")).count() % 2 == 1;
    text + if is_open { CLOSED } else { "…\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        finding::{Code, Finding, Severity},
        testing::quiet,
    };

    fn report(findings: usize, length: usize) -> Report {
        let mut report = Report::new(&quiet());
        let finding = |number: usize| Finding {
            claim: format!("claim {number}: {}", "ü".repeat(length)),
            evidence: vec!["evidence/pods.json".to_owned()],
            fix: "Fix it.".to_owned(),
            ..Finding::of("app", Code::Crashed, Severity::Error)
        };
        report.findings = (0..findings).map(finding).collect();
        report
    }

    /// A comment fits whatever was found, and begins with the cause.
    #[rstest::rstest]
    #[case(1, 10, true)]
    #[case(400, 300, false)]
    #[case(1, 100_000, false)]
    fn a_comment_fits_and_begins_with_the_cause(#[case] findings: usize, #[case] length: usize, #[case] whole: bool) {
        let text = render(&report(findings, length), LONGEST);
        assert!(text.len() <= LONGEST, "{}", text.len());
        assert!(text.starts_with(MARKER) && text.contains("**Cause** (app): claim 0"));
        assert_eq!(text.contains("do not fit here"), !whole);
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
}
