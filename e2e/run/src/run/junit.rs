//! `junit.xml`, which every test runner can write: its tests, as the report counts them and as records of those that leave none.
//! Main type: [`Case`].

use std::fmt::Write as _;

use e2e_report::{
    record::{Measured, Outcome, Record},
    run_data::Test,
    xml::escaped,
};
use roxmltree::{Document, Node};

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// Its class: nextest's test binary, pytest's module.
    class: String,
    /// Its name in there.
    name: String,
    duration_ms: u64,
    outcome: Outcome,
    /// What kind of failure it was, such as nextest's `test timeout`.
    kind: Option<String>,
    /// Why it failed or was skipped.
    reason: Option<String>,
}

/// The tests of a file. One that is cut short gives none: who knows what stood in the rest.
pub(super) fn read(text: &str) -> Vec<Case> {
    let Ok(document) = Document::parse(text) else { return Vec::new() };
    document.descendants().filter(|node| node.has_tag_name("testcase")).filter_map(case).collect()
}

fn case(node: Node<'_, '_>) -> Option<Case> {
    let child = |names: [&str; 2]| node.children().find(|child| names.iter().any(|name| child.has_tag_name(*name)));
    let (failure, skipped) = (child(["failure", "error"]), child(["skipped", "disabled"]));
    let said = failure.or(skipped);
    let suite = || node.parent_element().and_then(|parent| parent.attribute("name"));
    let seconds: f64 = node.attribute("time").and_then(|time| time.parse().ok()).unwrap_or(0.0);
    Some(Case {
        class: node
            .attribute("classname")
            .filter(|class| !class.is_empty())
            .or_else(suite)
            .unwrap_or_default()
            .to_owned(),
        name: node.attribute("name")?.to_owned(),
        duration_ms: (seconds * 1000.0).round() as u64,
        outcome: match (failure, skipped) {
            (Some(_), _) => Outcome::Failed,
            (None, Some(_)) => Outcome::Skipped,
            (None, None) => Outcome::Passed,
        },
        kind: failure.and_then(|failure| failure.attribute("type")).map(str::to_owned),
        reason: said.and_then(|said| {
            let text = said.attribute("message").filter(|message| !message.trim().is_empty()).or_else(|| said.text());
            text.and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty())).map(str::to_owned)
        }),
    })
}

/// nextest's word for a test that it ended: it did not find out what it wanted to know.
const TIMED_OUT: &str = "test timeout";

impl Case {
    pub(super) fn failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }

    /// As the report counts tests.
    pub(super) fn test(&self) -> Test {
        Test { binary: self.class.clone(), name: self.name.clone(), passed: !self.failed(), failure: self.kind.clone() }
    }

    /// A record of what the file alone says.
    fn record(&self) -> Record {
        let found = || if self.outcome == Outcome::Passed { "passed" } else { "its runner gives no reason" }.to_owned();
        Record {
            suite: if self.class.is_empty() { "tests".to_owned() } else { self.class.clone() },
            case: self.name.clone(),
            test: self.name.clone(),
            outcome: self.outcome,
            detail: self.reason.clone().unwrap_or_else(found),
            duration_ms: self.duration_ms,
            measured: Measured::Nothing,
        }
    }
}

/// Records of the tests that left none themselves. One that its runner ended before it had found anything stays without.
pub(super) fn missing_records(cases: &[Case], records: &[Record]) -> Vec<Record> {
    let left_none = |case: &&Case| {
        case.kind.as_deref() != Some(TIMED_OUT) && !records.iter().any(|record| record.test == case.name)
    };
    cases.iter().filter(left_none).map(Case::record).collect()
}

/// The file for suites that leave records and write no such file.
pub(super) fn of_records(records: &[Record]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let suites: std::collections::BTreeSet<&str> = records.iter().map(|record| record.suite.as_str()).collect();
    for suite in suites {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  <testsuite name=\"{}\">", attribute(suite));
        for record in records.iter().filter(|record| record.suite == suite) {
            let name = if record.test.is_empty() { &record.case } else { &record.test };
            let seconds = record.duration_ms as f64 / 1000.0;
            let detail = attribute(&record.detail);
            let inside = match record.outcome {
                Outcome::Passed => String::new(),
                Outcome::Failed => format!("<failure message=\"{detail}\"/>"),
                Outcome::Skipped => format!("<skipped message=\"{detail}\"/>"),
            };
            let (suite, name) = (attribute(suite), attribute(name));
            let _ = writeln!(
                text,
                "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{seconds}\">{inside}</testcase>"
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text + "</testsuites>\n"
}

/// Text as an attribute's value. XML has no way to write most control characters.
fn attribute(text: &str) -> String {
    escaped(&text.replace(char::is_control, " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As pytest 8 and nextest 0.9 write it.
    const PYTEST: &str = r#"<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" tests="4">
        <testcase classname="checks.test_shop" name="test_order[a/b]" time="0.012" />
        <testcase classname="checks.test_shop" name="test_stock" time="0.5"><failure message="assert 1 == 2&#10;and more">def test_stock(): ...</failure></testcase>
        <testcase classname="" name="checks.test_broken" time="0.0"><error message="collection failure">x</error></testcase>
        <testcase classname="checks.test_shop" name="test_later" time="0.0"><skipped type="pytest.skip" message="no card" /></testcase>
        </testsuite></testsuites>"#;

    fn record(test: &str) -> Record {
        let text = format!(r#"{{"suite": "mine", "case": "<a> & \"b\"", "test": "{test}", "outcome": "passed"}}"#);
        serde_json::from_str(&text).expect("a record of a few words")
    }

    #[test]
    fn tests_without_a_record_get_one() {
        let cases = read(PYTEST);
        let made = missing_records(&cases, &[]);
        let told: Vec<(&str, &str, Outcome, &str)> = made
            .iter()
            .map(|record| (record.suite.as_str(), record.case.as_str(), record.outcome, record.detail.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("checks.test_shop", "test_order[a/b]", Outcome::Passed, "passed"),
                ("checks.test_shop", "test_stock", Outcome::Failed, "assert 1 == 2"),
                ("pytest", "checks.test_broken", Outcome::Failed, "collection failure"),
                ("checks.test_shop", "test_later", Outcome::Skipped, "no card"),
            ]
        );
        assert_eq!(made.iter().map(|record| record.duration_ms).collect::<Vec<_>>(), [12, 500, 0, 0]);
        assert_eq!(missing_records(&cases, &[record("test_stock")]).len(), 3);
    }

    #[test]
    fn a_test_that_its_runner_ended_has_found_nothing() {
        let text = r#"<testsuites><testsuite name="s"><testcase name="probes::b" classname="e2e::suites"><failure type="test timeout">x</failure></testcase></testsuite></testsuites>"#;
        let cases = read(text);
        assert_eq!(cases[0].test().failure.as_deref(), Some("test timeout"));
        assert!(missing_records(&cases, &[]).is_empty());
    }

    #[test]
    fn a_file_that_is_cut_short_names_no_test() {
        assert!(read(&PYTEST[..PYTEST.len() / 2]).is_empty());
    }

    #[test]
    fn records_make_a_file_that_names_them() {
        let cases = read(&of_records(&[record(""), record("a_test")]));
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!((names, cases[0].class.as_str()), (vec!["<a> & \"b\"", "a_test"], "mine"));
    }
}
