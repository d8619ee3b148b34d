//! The texts of a run's secrets, which nothing that is kept or printed may show. Main type: [`Secrets`].

use std::{cmp::Reverse, collections::BTreeSet, ffi::OsStr, fs, io, path::Path};

use e2e_plan::json::change_texts;
use e2e_report::{
    run_dir::{self, EVIDENCE, RunDir},
    xml::escaped,
};
use serde_json::Value;

/// What stands in place of a secret text.
const REDACTED: &str = "<secret>";
/// Before text of XML in which nothing is escaped.
const CDATA: &str = "<![CDATA[";

/// Secret texts, and what JSON makes of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    /// Longest first: one may be the beginning of another. None is empty, which would match everywhere.
    forms: Vec<String>,
}

impl Secrets {
    pub(crate) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let forms: BTreeSet<String> =
            texts.into_iter().flat_map(|text| [in_json(&text), text]).filter(|form| !form.is_empty()).collect();
        let mut forms: Vec<String> = forms.into_iter().collect();
        forms.sort_by_key(|form| Reverse(form.len()));
        Self { forms }
    }

    /// Those texts that `environment.json` does not show. A user's name or a database's is often kept in a Secret and is also the name of
    /// a component, without which nobody can read a report.
    pub(crate) fn hidden(texts: impl IntoIterator<Item = String>, environment: &str) -> Self {
        let is_inside = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric());
        let is_shown = |secret: &str| {
            environment.match_indices(secret).any(|(at, _)| {
                !is_inside(environment[..at].chars().next_back())
                    && !is_inside(environment[at + secret.len()..].chars().next())
            })
        };
        Self::new(texts.into_iter().filter(|secret| !secret.is_empty() && !is_shown(secret)))
    }

    /// Text without secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), REDACTED))
    }

    /// Replaces secrets in all files behind the report: a probe's body or a test's output may contain one.
    pub(crate) fn scrub(&self, directory: &RunDir) -> Result<(), run_dir::Error> {
        for name in [run_dir::RESULTS, EVIDENCE] {
            self.scrub_directory(directory, &directory.join(name))?;
        }
        let junit = directory.join(run_dir::JUNIT);
        if junit.exists() { self.scrub_file(directory, &junit) } else { Ok(()) }
    }

    fn scrub_directory(&self, directory: &RunDir, path: &Path) -> Result<(), run_dir::Error> {
        let failed = |error: io::Error| run_dir::Error::new("read", path, error);
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                self.scrub_directory(directory, &entry.path())?;
            } else if kind.is_file() {
                self.scrub_file(directory, &entry.path())?;
            }
        }
        Ok(())
    }

    fn scrub_file(&self, directory: &RunDir, path: &Path) -> Result<(), run_dir::Error> {
        let bytes = fs::read(path).map_err(|error| run_dir::Error::new("read", path, error))?;
        let text = String::from_utf8_lossy(&bytes);
        // Only text values, not the syntax: a secret may be `0` or a quotation mark.
        let redacted = match path.extension().and_then(OsStr::to_str) {
            Some("json") => self.redact_json(&text),
            Some("xml") => Some(self.redact_xml(&text)),
            _ => None,
        };
        let redacted = redacted.unwrap_or_else(|| self.redact(&text));
        if redacted == text { Ok(()) } else { directory.write(path, &redacted).map(drop) }
    }

    /// Nothing where the text is no JSON; the text itself where it holds no secret.
    fn redact_json(&self, text: &str) -> Option<String> {
        let data: Value = serde_json::from_str(text).ok()?;
        let mut redacted = data.clone();
        self.redact_strings(&mut redacted);
        if redacted == data { Some(text.to_owned()) } else { serde_json::to_string_pretty(&redacted).ok() }
    }

    fn redact_strings(&self, data: &mut Value) {
        change_texts(data, &mut |text| {
            // A word that is longer than the secret is the format's own, such as `passed`, or a name.
            if !is_word(text) || self.forms.contains(text) {
                *text = self.redact(text);
            }
        });
    }

    /// The same of XML: text between tags and the values of attributes, and no names of either.
    fn redact_xml(&self, text: &str) -> String {
        let hide = |text: &str| {
            let plain = from_xml(text);
            let redacted = self.redact(&plain);
            if redacted == plain { text.to_owned() } else { escaped(&redacted) }
        };
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(tag) = rest.find('<') {
            redacted.push_str(&hide(&rest[..tag]));
            rest = &rest[tag..];
            if rest.starts_with(CDATA) {
                let end = rest.find("]]>").unwrap_or(rest.len());
                redacted.push_str(CDATA);
                redacted.push_str(&self.redact(&rest[CDATA.len()..end]));
                rest = &rest[end..];
                continue;
            }
            let mut is_quoted = false;
            let end = rest.find(|c| {
                is_quoted ^= c == '"';
                c == '>' && !is_quoted
            });
            let (tag, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = after;
            for (index, part) in tag.split('"').enumerate() {
                let quote = if index > 0 { "\"" } else { "" };
                redacted.push_str(quote);
                redacted.push_str(&if index % 2 == 1 { hide(part) } else { part.to_owned() });
            }
        }
        redacted + &hide(rest)
    }
}

/// A text as it stands within quotation marks of JSON.
fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What XML writes for single characters, the ampersand last.
const ENTITIES: [(&str, &str); 8] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&#10;", "\n"),
    ("&#xa;", "\n"),
    ("&#xA;", "\n"),
    ("&amp;", "&"),
];

/// The text that stands between tags of XML or in an attribute.
fn from_xml(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

/// Whether a text is a single word, as enumerations are written.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(texts: [&str; N]) -> Secrets {
        Secrets::new(texts.map(str::to_owned))
    }

    #[test]
    fn secrets_do_not_survive() {
        let secrets = of(["s3cret", "s3cret-2", ""]);
        assert_eq!(secrets.redact("password s3cret-2, again s3cret"), "password <secret>, again <secret>");
    }

    #[test]
    fn what_the_environment_shows_is_no_secret() {
        let environment = r#"{"name": "shop", "env": {"MODE": {"plain": "fast-lane"}}}"#;
        let secrets = ["shop", "sho", "lane", "s3cret", ""].map(str::to_owned);
        assert_eq!(Secrets::hidden(secrets, environment).forms, ["s3cret", "sho"]);
    }

    /// A password may be part of the words of a format.
    #[test]
    fn words_that_hold_a_secret_are_no_secrets() {
        let secrets = of(["pass", "test"]);
        let mut record = serde_json::json!({ "outcome": "passed", "detail": "pass, passed on", "env": "pass" });
        secrets.redact_strings(&mut record);
        let expected =
            serde_json::json!({ "outcome": "passed", "detail": "<secret>, <secret>ed on", "env": "<secret>" });
        assert_eq!(record, expected);
        let xml = "<testsuite name=\"a test > b\"><testcase name=\"test\"/>test<![CDATA[\"test <b>]]></testsuite>";
        let expected = "<testsuite name=\"a &lt;secret&gt; &gt; b\"><testcase name=\"&lt;secret&gt;\"/>&lt;secret&gt;<![CDATA[\"<secret> <b>]]></testsuite>";
        assert_eq!(secrets.redact_xml(xml), expected);
    }

    #[test]
    fn a_redacted_file_is_read_as_before() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        run.write("results/a.json", r#"{"duration_ms": 50, "detail": "port 50 of \"50\"", "50": [50]}"#).unwrap();
        run.write(run_dir::JUNIT, r#"<testcase name="asked 50"/>"#).unwrap();
        of(["50"]).scrub(&run).unwrap();
        let record: Value = run.read_json("results/a.json").unwrap();
        let expected = r#"{"duration_ms": 50, "detail": "port <secret> of \"<secret>\"", "50": [50]}"#;
        assert_eq!(record, serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(run.read(run_dir::JUNIT).unwrap(), r#"<testcase name="asked &lt;secret&gt;"/>"#);
    }

    /// Whatever file a secret is in, however deep, and however the file's format writes it.
    #[test]
    fn a_secret_is_found_as_files_write_it() {
        let secret = "-----BEGIN KEY-----\na\"b\\c&<d>\n";
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        run.write_json("evidence/objects/pods.json", &serde_json::json!([{ "args": [secret] }])).unwrap();
        run.write("evidence/app.log", &format!("{secret} {{\"key\":{}}}", Value::from(secret))).unwrap();
        fs::write(run.join("results/raw"), [&[0xff], secret.as_bytes()].concat()).unwrap();
        let xml = format!(
            "<a b=\"{}\">{}</a>",
            escaped(secret).replace('\n', "&#10;"),
            secret.replace('&', "&amp;").replace('<', "&lt;")
        );
        run.write(run_dir::JUNIT, &xml).unwrap();
        of([secret]).scrub(&run).unwrap();
        for (file, expected) in [
            ("evidence/objects/pods.json", "[\n  {\n    \"args\": [\n      \"<secret>\"\n    ]\n  }\n]"),
            ("evidence/app.log", "<secret> {\"key\":\"<secret>\"}"),
            ("results/raw", "\u{fffd}<secret>"),
            (run_dir::JUNIT, "<a b=\"&lt;secret&gt;\">&lt;secret&gt;</a>"),
        ] {
            assert_eq!(run.read(file).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        let run = RunDir::create(parent.path(), "one", |_| Ok(())).unwrap();
        fs::remove_dir(run.join(EVIDENCE)).unwrap();
        let error = of(["50"]).scrub(&run).unwrap_err().to_string();
        assert!(error.starts_with("cannot read ") && error.contains(EVIDENCE), "{error}");
    }
}
