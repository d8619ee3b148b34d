//! What kubectl's parser (go-yaml 2) refuses of a text and YAML 1.2 allows, and what it would read as nothing. Main functions:
//! [`refused`], [`ytt`].

use std::{ops::Range, path::Path, sync::Arc};

use granit_parser::{ScalarStyle, Scanner, Span, StrInput, TokenType};
use serde::de::IgnoredAny;

use super::parts::parts;
use crate::{Error, ErrorKind, node::Place};

/// All that it refuses.
pub(super) fn refused(file: &Arc<Path>, text: &str) -> Vec<Error> {
    let found = match is_json(text) {
        true => bad_json(text).into_iter().collect(),
        false => [directives(text), tokens(text)].concat(),
    };
    found.into_iter().map(|found| found.in_file(file)).collect()
}

/// A template of ytt's, which is YAML that says nothing: the values stand in its comments.
pub(super) fn ytt(file: &Arc<Path>, text: &str) -> Option<Error> {
    const STARTS: [&str; 8] = ["data/", "schema/", "overlay/", "library/", " load(", " def ", " if ", " for "];
    let is_instruction =
        |line: &str| line.strip_prefix("#@").is_some_and(|rest| STARTS.iter().any(|start| rest.starts_with(start)));
    let line = text.lines().position(is_instruction)? + 1;
    let remedy = "let ytt make manifests of it: `render = [\"ytt\", \"--file\", \"DIRECTORY\"]` in .config/e2e.toml";
    Some(Found::new((line, 1), "the line is an instruction for ytt", remedy).in_file(file))
}

/// What is wrong at a place, which counts from 1, and the remedy.
#[derive(Clone)]
struct Found {
    line: usize,
    column: usize,
    message: String,
    remedy: &'static str,
}

impl Found {
    fn new((line, column): (usize, usize), message: impl Into<String>, remedy: &'static str) -> Self {
        Self { line, column, message: message.into(), remedy }
    }

    fn in_file(self, file: &Arc<Path>) -> Error {
        let place = Place { file: Arc::clone(file), document: 0, line: self.line, column: self.column };
        Error::new(ErrorKind::Syntax, self.message, self.remedy).at(&place)
    }
}

/// Whether kubectl reads a text as JSON.
fn is_json(text: &str) -> bool {
    text.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'))
}

fn bad_json(text: &str) -> Option<Found> {
    let (_, first) = parts(text).into_iter().next()?;
    let mut values = serde_json::Deserializer::from_str(&first).into_iter::<IgnoredAny>();
    let error = values.find_map(Result::err)?;
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let remedy = "kubectl reads a text that starts with `{` as JSON: correct it, or put `---` before it";
    Some(Found::new((error.line(), error.column()), format!("not valid JSON: {message}"), remedy))
}

/// Directives, such as `%YAML 1.1`: kubectl takes what stands before `---` for a document of its own.
fn directives(text: &str) -> Vec<Found> {
    let says_something = |line: &str| !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("---");
    let directive = |(before, part): (usize, String)| {
        let (index, line) = part.lines().enumerate().find(|(_, line)| says_something(line))?;
        let place = (before + index + 1, 1);
        let found = || Found::new(place, "a directive stands before `---`", "kubectl refuses it: remove the line");
        line.starts_with('%').then(found)
    };
    parts(text).into_iter().filter_map(directive).collect()
}

/// What the tokens of a text show: tabs, escapes, and `?` and `:` between braces.
fn tokens(text: &str) -> Vec<Found> {
    // The last line, too, has an end.
    let text = &format!("{text}\n");
    let mut found = Vec::new();
    let (mut depth, mut opened) = (0_usize, 0);
    // The lines at whose start a tab is nothing, and those of blocks of text, each with its indentation.
    let (mut free, mut blocks) = (Vec::new(), Vec::new());
    for token in Scanner::new(StrInput::new(text)) {
        // What is no YAML is told by its reader.
        let Ok(token) = token else { return found };
        let Span { start, end, indent, .. } = token.span();
        let place = (start.line(), start.col() + 1);
        match token.token_type() {
            TokenType::FlowMappingStart | TokenType::FlowSequenceStart => {
                opened = if depth == 0 { start.line() } else { opened };
                depth += 1;
            }
            TokenType::FlowMappingEnd | TokenType::FlowSequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    free.push(opened + 1..end.line() + 1);
                }
            }
            TokenType::Scalar(ScalarStyle::Plain, value)
                if depth > 0 && (value.contains('?') || value.starts_with(':')) =>
            {
                let message = "a text between braces or brackets has a `?`, or begins with `:`";
                found.push(Found::new(place, message, "kubectl refuses it: put the text in quotes"));
            }
            TokenType::Scalar(ScalarStyle::Literal | ScalarStyle::Folded, _) => {
                blocks.push((start.line()..end.line(), indent.unwrap_or_default()));
            }
            TokenType::Scalar(style @ (ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted), _) => {
                free.push(start.line() + 1..end.line() + 1);
                let quoted = token.span().slice(text).filter(|_| *style == ScalarStyle::DoubleQuoted);
                if let Some(escape) = quoted.and_then(bad_escape) {
                    let message = format!("the text has the escape `{escape}`");
                    found.push(Found::new(place, message, "kubectl refuses it: write the character itself"));
                }
            }
            _ => {}
        }
    }
    found.extend(tabs(text, &free, &blocks));
    found
}

/// The first escape of a text in double quotes that go-yaml does not have: that of a slash, or of half a character.
fn bad_escape(quoted: &str) -> Option<&str> {
    let is_half = |hex: &str| u32::from_str_radix(hex, 16).is_ok_and(|code| (0xD800..0xE000).contains(&code));
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            continue;
        }
        match chars.next() {
            Some((_, '/')) => return quoted.get(at..at + 2),
            Some((_, 'u')) if quoted.get(at + 2..at + 6).is_some_and(is_half) => return quoted.get(at..at + 6),
            _ => {}
        }
    }
    None
}

/// Lines that start with a tab, which go-yaml takes between braces, in quotes and in a block of text alone.
fn tabs(text: &str, free: &[Range<usize>], blocks: &[(Range<usize>, usize)]) -> Vec<Found> {
    let lines: Vec<&str> = text.lines().collect();
    let blanks = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_content =
        |number: usize, indent: usize| blocks.iter().any(|(lines, own)| lines.contains(&number) && indent >= *own);
    let with_tab = lines.iter().enumerate().filter(|(_, line)| line[blanks(line)..].starts_with('\t'));
    let places = with_tab.map(|(index, line)| (index + 1, blanks(line)));
    let is_free = |number: usize| free.iter().any(|lines| lines.contains(&number));
    let refused = places.filter(|(number, indent)| !is_free(*number) && !is_content(*number, *indent));
    let remedy = "kubectl refuses it: indent with blanks, and leave empty lines empty";
    refused.map(|(number, indent)| Found::new((number, indent + 1), "a line starts with a tab", remedy)).collect()
}
