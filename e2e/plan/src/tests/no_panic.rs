//! Whatever the input, the plan is made or an error is given. With `PROPTEST_CASES=12500` the eight properties are tried on
//! 100,000 inputs.

use proptest::{prelude::*, sample::select, test_runner::TestCaseResult};

use super::*;

/// Cases of each property in an ordinary run, which take a few seconds together.
const CASES: u32 = 500;

fn config() -> ProptestConfig {
    // Nothing is written beside the sources; a failing case is shrunk and printed.
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

/// Makes the plan and everything that is derived from it, and looks for the base's secret in what comes out.
fn try_everything(text: &str, patch: Option<&str>, sets: &[&str]) -> TestCaseResult {
    let shown = match plan_with(text, patch.map(overlay).into_iter().collect(), sets, &[]) {
        Ok(plan) => {
            for container in plan.components.iter().flat_map(|component| &component.pod.containers) {
                let _ = container.resolve(&Identity::default());
            }
            let warnings = Target::ALL.map(|target| plan.warnings(target));
            format!("{plan:?} {warnings:?} {}", serde_json::to_string(&plan).unwrap())
        }
        Err(error) => format!("{error} {error:?}"),
    };
    // A mutation may move the secret's text out of the Secret; where nothing was cut, it must not show.
    let is_whole =
        text.contains("---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  password: hunter2\n");
    prop_assert!(!is_whole || text.matches("hunter2").count() > 1 || !shown.contains("hunter2"), "{}", shown);
    Ok(())
}

/// Words with a meaning in manifests, and some without.
fn word() -> impl Strategy<Value = String> {
    const KNOWN: &str = "null ~ {} [] '' -1 0 1e99 99999999999 0x10 0777 true yes 1Gi *x &x << !!str $patch delete replace name image \
                         spec metadata containers env value valueFrom ports port http 8000 $(A) $$(A) $( Deployment Service Secret data \
                         e2e/generate .. a/b \u{feff} é --- \"";
    let known = select(KNOWN.split(' ').chain(["- ", ": ", "# "]).collect::<Vec<_>>());
    prop_oneof![8 => known.prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

/// One change to a text's lines.
#[derive(Debug, Clone)]
enum Change {
    Delete(usize),
    Repeat(usize, usize),
    Indent(usize, bool),
    Value(usize, String),
    Key(usize, String),
    Insert(usize, String),
    Character(usize, char),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<u16>().prop_map(usize::from);
    prop_oneof![
        at.clone().prop_map(Change::Delete),
        (at.clone(), at.clone()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (at.clone(), any::<bool>()).prop_map(|(line, deeper)| Change::Indent(line, deeper)),
        (at.clone(), word()).prop_map(|(line, word)| Change::Value(line, word)),
        (at.clone(), word()).prop_map(|(line, word)| Change::Key(line, word)),
        (at.clone(), word()).prop_map(|(line, word)| Change::Insert(line, word)),
        (at, any::<char>()).prop_map(|(place, c)| Change::Character(place, c)),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for change in changes {
        let count = lines.len().max(1);
        let line = |index: &usize| index % count;
        match change {
            _ if lines.is_empty() => break,
            Change::Delete(index) => drop(lines.remove(line(index))),
            Change::Repeat(from, to) => lines.insert(line(to), lines[line(from)].clone()),
            Change::Indent(index, true) => lines[line(index)].insert_str(0, "  "),
            Change::Indent(index, false) => lines[line(index)] = lines[line(index)].replacen("  ", "", 1),
            Change::Value(index, word) => {
                let old = lines[line(index)].clone();
                let key = old.split_once(": ").map_or(old.trim_end_matches(':'), |(key, _)| key);
                lines[line(index)] = format!("{key}: {word}");
            }
            Change::Key(index, word) => {
                let old = lines[line(index)].clone();
                let indent = old.len() - old.trim_start().len();
                let value = old.split_once(':').map_or("", |(_, value)| value);
                lines[line(index)] = format!("{}{word}:{value}", &old[..indent]);
            }
            Change::Insert(index, word) => lines.insert(line(index), word.clone()),
            Change::Character(place, c) => {
                let index = line(place);
                let characters = lines[index].char_indices().map(|(at, _)| at).collect::<Vec<_>>();
                let at = characters.get(place / count % characters.len().max(1)).copied().unwrap_or(0);
                lines[index].insert(at, *c);
            }
        }
    }
    lines.join("\n") + "\n"
}

/// A patch that fits the base in parts.
const PATCH: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: backend
spec:
  replicas: 3
  template:
    spec:
      volumes:
        - name: tmp
          $patch: delete
        - name: tmp2
          emptyDir: {sizeLimit: 1Mi}
      containers:
        - name: app
          args: null
          env:
            - {name: DB, value: $(A)}
            - {name: EMPTY, $patch: delete}
          resources:
            $patch: replace
            limits: {cpu: 1}
          volumeMounts:
            - {name: tmp2, mountPath: /tmp}
";

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text(text in "\\PC*") {
        try_everything(&text, None, &[])?;
    }

    #[test]
    fn any_words(words in proptest::collection::vec((0_usize..8, word(), word()), 0..30)) {
        let text: String = words.iter().map(|(indent, key, value)| format!("{}{key}: {value}\n", " ".repeat(*indent))).collect();
        try_everything(&text, None, &[])?;
    }

    #[test]
    fn changed_manifests(changes in proptest::collection::vec(change(), 1..4)) {
        try_everything(&changed(BASE, &changes), None, &[])?;
    }

    #[test]
    fn badly_broken_manifests(changes in proptest::collection::vec(change(), 4..40)) {
        try_everything(&changed(BASE, &changes), None, &[])?;
    }

    #[test]
    fn changed_overlays(changes in proptest::collection::vec(change(), 0..5)) {
        try_everything(BASE, Some(&changed(PATCH, &changes)), &[])?;
    }

    #[test]
    fn any_override(set in "(backend)?\\PC{0,6}(\\.env\\.)?\\PC{0,6}=?\\PC{0,6}") {
        try_everything(BASE, None, &[&set])?;
    }

    #[test]
    fn any_reference(key in "[A-Z_]{0,3}(HOST|URL)?", text in "((backend|//|@|:|80|host=|server |-h |#|,|\\.svc|é| |\n|\\PC){0,12})") {
        let plan = plan_of(BASE);
        for mention in references::mentions(Some(&key), &text, ("default", &plan.services)) {
            prop_assert!(text[mention.host.clone()].starts_with("backend"));
            if let Some((port, digits)) = mention.port {
                prop_assert_eq!(text[digits].parse::<u16>(), Ok(port));
            }
        }
    }

    #[test]
    fn any_quantity(text in "[0-9.+-]{0,6}([KMGTPEkmunei0-9+-]{0,4}|\\PC{0,3})") {
        let _ = (quantity::bytes(&text), quantity::millis(&text));
    }
}

/// Texts that once were dangerous for readers of YAML.
#[test]
fn hostile_texts() {
    let deep = format!("a: {}", "[".repeat(100_000));
    let deep_blocks: String = (0..3_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let laughs: String =
        (1..30).map(|level| format!("l{level}: &l{level} [{}]\n", format!("*l{}, ", level - 1).repeat(10))).collect();
    let laughs = format!("l0: &l0 lol\n{laughs}");
    let itself = "a: &a [*a]";
    for text in [&deep, &deep_blocks, &laughs, itself, "\u{0}", "a: &a\n  <<: *a\n", "%TAG ! !\n--- !a b"] {
        assert!(plan_with(text, Vec::new(), &[], &[]).is_err());
        let appended = format!("{BASE}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n{text}");
        let _ = plan_with(&appended, Vec::new(), &[], &[]);
    }
}
