//! What to read first: what is wrong and what to do, each in a sentence. Main function: [`headline`].

use super::Report;
use crate::finding::{Code, Finding, Severity};

/// What to read first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Headline<'a> {
    /// The finding that explains most: the first cause, else the first error, else the first gap.
    pub(super) finding: &'a Finding,
    /// Its number among the findings, from 1.
    pub(super) number: usize,
    /// Whether it says why, and not only what.
    pub(super) is_cause: bool,
    /// How many errors and gaps there are besides.
    pub(super) others: usize,
}

/// What a line has that tells of an error.
const TELLING: [&str; 12] = [
    "cannot",
    "could not",
    "denied",
    "error",
    "exception",
    "fail",
    "fatal",
    "no such",
    "not found",
    "panic",
    "refused",
    "unable",
];

impl<'a> Headline<'a> {
    /// What to do, in its first sentence; nothing where nobody knows.
    pub(super) fn fix(&self) -> Option<&'a str> {
        Some(first_sentence(&self.finding.fix)).filter(|fix| !fix.is_empty())
    }

    /// The last line of the log in its excerpt that tells of an error, else the last one: a program that ends by itself mostly says why there.
    pub(super) fn log_line(&self) -> Option<&'a str> {
        let log = self.finding.excerpt.as_deref().filter(|_| self.finding.patch().is_none())?;
        let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
        let tells = |line: &&str| {
            let line = line.to_lowercase();
            TELLING.iter().any(|word| line.contains(word))
        };
        lines.clone().rfind(tells).or_else(|| lines.next_back())
    }

    /// The patch for the manifests that the doctor proved.
    pub(super) fn patch(&self) -> Option<&'a str> {
        self.finding.patch()
    }
}

impl Finding {
    /// Its excerpt, where that is a patch for the manifests and not a log.
    pub fn patch(&self) -> Option<&str> {
        self.excerpt.as_deref().filter(|_| matches!(self.code, Code::Probe(_)))
    }
}

/// The headline of a report; nothing when nothing is wrong.
pub(super) fn headline(report: &Report) -> Option<Headline<'_>> {
    let wrong = || report.findings.iter().enumerate().filter(|(_, finding)| finding.severity != Severity::Warning);
    let cause = wrong().find(|(_, finding)| finding.is_proven_cause());
    let (index, finding) = cause.or_else(|| wrong().min_by_key(|(_, finding)| finding.severity))?;
    Some(Headline { finding, number: index + 1, is_cause: cause.is_some(), others: wrong().count() - 1 })
}

/// A text up to the end of its first sentence.
fn first_sentence(text: &str) -> &str {
    let end = text.match_indices(". ").find(|(at, _)| {
        let next = text[at + 2..].chars().next();
        next.is_some_and(char::is_uppercase)
    });
    end.map_or(text, |(at, _)| &text[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("raise the limit", "raise the limit")]
    #[case("Raise it, e.g. to 5. Then run again.", "Raise it, e.g. to 5.")]
    #[case("", "")]
    fn a_fix_is_cut_after_its_first_sentence(#[case] text: &str, #[case] first: &str) {
        assert_eq!(first_sentence(text), first);
    }
}
