//! The text of files, as people's editors and tools write it.

use std::fmt::Write as _;

use super::*;

#[rstest]
#[case::crlf(
    "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata:\r\n  name: a\r\ndata:\r\n  value: |\r\n    x\r\n    y\r\n",
    "x\ny\n"
)]
#[case::a_block_without_a_last_line_break(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  value: |\n    x\n    y",
    "x\ny\n"
)]
#[case::quotes_without_a_last_line_break(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  value: \"x\\n\"",
    "x\n"
)]
#[case::byte_order_mark("\u{feff}apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: x}\n", "x")]
#[case::anchors("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &x {value: x}}\ndata: *x\n", "x")]
#[case::merged_maps("apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: a}\ndata: {<<: *m, value: x}\n", "x")]
#[case::a_map_merged_over_what_is_before_it(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &m {value: x}}\ndata: {value: y, <<: *m}\n",
    "x"
)]
#[case::a_map_merged_under_what_follows(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &m {value: z}}\ndata: {<<: *m, value: x}\n",
    "x"
)]
#[case::the_first_of_merged_maps(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &m {value: x}}\ndata: {<<: [*m, {value: y}]}\n",
    "x"
)]
#[case::json_with_tabs(
    "{\n\t\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"data\": {\"value\": \"x\"}\n}\n",
    "x"
)]
#[case::list(
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {value: x}}\n",
    "x"
)]
#[case::list_of_a_kind(
    "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {value: x}}\n",
    "x"
)]
#[case::comments_around(
    "# a\n---\n# b\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: x}\n---\n",
    "x"
)]
#[case::end_of_document("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: x}\n...\n", "x")]
#[case::a_word_in_mixed_case("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: oN}\n", "oN")]
#[case::a_commit_like_a_large_number(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: 12e4567}\n",
    "12e4567"
)]
#[case::tabs_where_they_are_nothing(
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a,\n\t\n\tlabels: {}}\ndata:\n  value: \"x\n\t\n    y\"\n  z: |\n    a:\n    \tb\n",
    "x\ny"
)]
#[case::a_slash_in_json(
    "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}, \"data\": {\"value\": \"x\\/y\"}}\n",
    "x/y"
)]
#[case::a_comma_at_the_end_behind_dashes(
    "---\n{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}, \"data\": {\"value\": \"x\",}}\n",
    "x"
)]
#[case::a_comment_that_is_no_instruction(
    "#@ by ann\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: x}\n",
    "x"
)]
fn forms_of_text(#[case] text: &str, #[case] expected: &str) {
    let dir = directory(&[("a.yaml", text)]);
    let plan = read_at(dir.path(), &["a.yaml"], &[]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(plan.objects[0].json["data"]["value"], expected);
}

/// What YAML 1.2 allows, and kubectl refuses.
#[rstest]
#[case::a_tab_alone(
    "\t\n",
    "5:1: a line starts with a tab; kubectl refuses it: indent with blanks, and leave empty lines empty"
)]
#[case::a_tab_after_blanks(
    "  \t\n",
    "5:3: a line starts with a tab; kubectl refuses it: indent with blanks, and leave empty lines empty"
)]
#[case::a_tab_before_a_comment(
    "\t# x\n",
    "5:1: a line starts with a tab; kubectl refuses it: indent with blanks, and leave empty lines empty"
)]
#[case::a_tab_below_a_block(
    "  x: |\n    y\n  \t\n",
    "7:3: a line starts with a tab; kubectl refuses it: indent with blanks, and leave empty lines empty"
)]
#[case::a_slash(
    "  x: \"a\\/b\"\n",
    "5:6: the text has the escape `\\/`; kubectl refuses it: write the character itself"
)]
#[case::half_a_character(
    "  x: \"\\ud83d\\ude00\"\n",
    "5:6: the text has the escape `\\ud83d`; kubectl refuses it: write the character itself"
)]
#[case::a_question_mark(
    "  x: {y: /ready?z}\n",
    "5:10: a text between braces or brackets has a `?`, or begins with `:`; kubectl refuses it: put the text in quotes"
)]
#[case::infinity("  x: .inf\n", "5:6, document 1: JSON has no such number; kubectl refuses it: put it in quotes")]
fn what_kubectl_refuses(#[case] more: &str, #[case] expected: &str) {
    let text = format!("apiVersion: example.org/v1\nkind: Shop\nmetadata: {{name: a}}\ndata:\n{more}");
    let dir = directory(&[("a.yaml", &text)]);
    assert_eq!(read_at(dir.path(), &["a.yaml"], &[]).unwrap_err().to_string(), format!("a.yaml:{expected}"));
}

#[rstest]
#[case::a_directive(
    "# x\n%YAML 1.1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    "a.yaml:2:1: a directive stands before `---`; kubectl refuses it: remove the line"
)]
#[case::a_comma_at_the_end_of_json(
    "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\"metadata\": {\"name\": \"a\",}}\n",
    "a.yaml:2:26: not valid JSON: key must be a string; kubectl reads a text that starts with `{` as JSON: correct it, or put `---` before it"
)]
fn files_that_kubectl_refuses(#[case] text: &str, #[case] expected: &str) {
    let dir = directory(&[("a.yaml", text)]);
    assert_eq!(read_at(dir.path(), &["a.yaml"], &[]).unwrap_err().to_string(), expected);
}

/// As Windows PowerShell writes with `>`.
#[rstest]
#[case::little_endian(b"\xff\xfe", u16::to_le_bytes)]
#[case::big_endian(b"\xfe\xff", u16::to_be_bytes)]
fn a_file_in_utf_16(#[case] mark: &[u8; 2], #[case] bytes: fn(u16) -> [u8; 2]) {
    let text = "apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: a}\r\ndata: {value: \u{e4}\u{1f600}}\r\n";
    let encoded: Vec<u8> = mark.iter().copied().chain(text.encode_utf16().flat_map(bytes)).collect();
    let dir = directory(&[("k/kustomization.yaml", "resources: [b.yaml]\n")]);
    std::fs::write(dir.path().join("a.yaml"), &encoded).unwrap();
    std::fs::write(dir.path().join("k/b.yaml"), &encoded).unwrap();
    for path in ["a.yaml", "k"] {
        let plan = read_at(dir.path(), &[path], &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plan.objects[0].json["data"]["value"], "\u{e4}\u{1f600}");
    }
    std::fs::write(dir.path().join("a.yaml"), &encoded[..encoded.len() - 1]).unwrap();
    let error = read_at(dir.path(), &["a.yaml"], &[]).unwrap_err().to_string();
    assert!(error.contains("it starts with the byte order mark of UTF-16 and is not valid UTF-16"), "{error}");
}

/// The schema of a custom resource nests two levels for each field.
#[test]
fn a_deep_definition() {
    let mut text =
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.example.org}\nspec:\n"
            .to_owned();
    for depth in 1..60 {
        writeln!(text, "{}a{depth}:", "  ".repeat(depth)).unwrap();
    }
    let dir = directory(&[("a.yaml", &text)]);
    assert_eq!(read_at(dir.path(), &["a.yaml"], &[]).unwrap().objects.len(), 1);
}

#[test]
fn text_that_is_not_utf8() {
    let dir = directory::<&str>(&[]);
    fs::write(dir.path().join("a.yaml"), [0xff]).unwrap();
    let message = read_at(dir.path(), &["."], &[]).unwrap_err().to_string();
    assert!(message.starts_with("a.yaml: cannot be read"), "{message}");
}
