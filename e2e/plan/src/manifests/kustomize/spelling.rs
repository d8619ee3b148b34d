//! What the text of a file shows and its tree does not. Main functions: [`written_anew`], [`Blank::keys_of`], [`spell`].

use crate::node::{Entry, Node, Place, Tree};

/// The first value that kustomize's writer (go-yaml) changes: what it is, and where.
pub(super) fn written_anew<'a>(node: &'a Node, lines: &[&str]) -> Option<(&'static str, &'a Place)> {
    let folded =
        doubled(node, lines).map(|place| ("folded text (`>`) with indented lines or blank ones at its end", place));
    // Annotations are texts to it as they are spelt.
    let metadata = node.entries_at(&["metadata"]);
    let others = node.entries().iter().filter(|entry| entry.key != "metadata");
    let fields = others.chain(metadata.iter().filter(|entry| entry.key != "annotations"));
    let date = || fields.map(|entry| &entry.node).find_map(|node| date(node, lines));
    folded.or_else(|| date().map(|place| ("a date without quotes", place)))
}

/// The first folded text with breaks that it doubles: those at its end, and those before indented lines.
fn doubled<'a>(node: &'a Node, lines: &[&str]) -> Option<&'a Place> {
    let is_doubled = |value: &str| value.contains("\n ") || value.contains("\n\t") || value.ends_with("\n\n");
    // Its sign stands where its key does, or after the dash of its item, at most a line before its text.
    let is_folded = |first: usize, last: usize| {
        let lines = lines.iter().skip(first.saturating_sub(1)).take(last + 1 - first.min(last));
        let mut headers = lines.map(|line| line.split(" #").next().unwrap_or_default().trim_end());
        let is_sign = |c: char| matches!(c, '-' | '+') || c.is_ascii_digit();
        headers.any(|header| [": >", "- >"].iter().any(|end| header.trim_end_matches(is_sign).ends_with(end)))
    };
    let found = |node: &'a Node, first: usize, last: usize| match &node.tree {
        Tree::Text(value) if is_doubled(value) && is_folded(first, last) => Some(&node.place),
        Tree::Map(_) | Tree::List(_) => doubled(node, lines),
        _ => None,
    };
    let of_entry = |entry: &'a Entry| found(&entry.node, entry.place.line, entry.place.line);
    let of_item = |item: &'a Node| found(item, item.place.line.saturating_sub(1), item.place.line);
    node.entries().iter().find_map(of_entry).or_else(|| node.items().iter().find_map(of_item))
}

/// The first date without quotes, to which it adds a time.
fn date<'a>(node: &'a Node, lines: &[&str]) -> Option<&'a Place> {
    match &node.tree {
        Tree::Text(value) if is_changed_date(value) && spelt(&node.place, lines) == *value => Some(&node.place),
        Tree::Map(entries) => entries.iter().find_map(|entry| date(&entry.node, lines)),
        Tree::List(items) => items.iter().find_map(|item| date(item, lines)),
        _ => None,
    }
}

/// Whether a text is a date in a form of YAML's other than the one that go-yaml writes: `2026-11-28T23:59:59Z`.
fn is_changed_date(text: &str) -> bool {
    let is_number = |part: Option<&str>, lengths: &[usize]| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let day_end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let mut day = text[..day_end].split('-');
    let is_date = is_number(day.next(), &[4])
        && is_number(day.next(), &[1, 2])
        && is_number(day.next(), &[1, 2])
        && day.next().is_none();
    let is_written =
        day_end == "2026-11-28".len() && text[day_end..].starts_with('T') && text.ends_with("Z") && !text.contains('.');
    is_date && !is_written
}

/// A scalar without quotes as it is spelt.
fn spelt(place: &Place, lines: &[&str]) -> String {
    let line = lines.get(place.line.saturating_sub(1)).copied().unwrap_or_default();
    let rest: String = line.chars().skip(place.column.saturating_sub(1)).collect();
    let rest = rest.split(" #").next().unwrap_or_default();
    rest.split([',', '}', ']']).next().unwrap_or_default().trim_end().to_owned()
}

/// Turns the values of an object's annotations or labels into texts, as kustomize does it; nulls too where they are wanted.
pub(super) fn spell(object: &mut Node, map: &str, lines: &[&str], with_nulls: bool) {
    let Some(map) = object.find_mut(&["metadata", map]) else { return };
    let Tree::Map(entries) = &mut map.tree else { return };
    for entry in entries {
        let is_blank = || is_blank(&after_key(entry, lines));
        let text = match entry.node.tree {
            Tree::Text(_) | Tree::List(_) | Tree::Map(_) => continue,
            Tree::Null if !with_nulls => continue,
            Tree::Null if is_blank() => String::new(),
            _ => spelt(&entry.node.place, lines),
        };
        entry.node.tree = Tree::Text(text);
    }
}

/// Keys that nothing follows in the text: null too, and yet nothing to kustomize's merge, which keeps a `null`.
#[derive(Clone, Default)]
pub(super) struct Blank {
    keys: Vec<Place>,
    /// Those between braces, which are empty texts where nothing is merged.
    in_braces: Vec<Place>,
}

impl Blank {
    /// Where they stand in an object.
    pub(super) fn keys_of(object: &Node, lines: &[&str]) -> Self {
        let mut blank = Self::default();
        blank.find(object, lines);
        blank
    }

    fn find(&mut self, node: &Node, lines: &[&str]) {
        for entry in node.entries() {
            if !entry.node.is_null() {
                self.find(&entry.node, lines);
                continue;
            }
            let after = after_key(entry, lines);
            if is_blank(&after) {
                self.keys.push(entry.place.clone());
            }
            if after.starts_with(IN_BRACES) {
                self.in_braces.push(entry.place.clone());
            }
        }
        node.items().iter().for_each(|item| self.find(item, lines));
    }

    /// Removes them before a merge, also the annotations that are texts by now.
    pub(super) fn remove_from(self, node: &mut Node) {
        if !self.keys.is_empty() {
            let is_empty = |node: &Node| node.is_null() || node.text() == Some("");
            each_map(node, &mut |entries| {
                entries.retain(|entry| !(is_empty(&entry.node) && self.keys.contains(&entry.place)));
            });
        }
    }

    /// Makes texts of those that are.
    pub(super) fn fill_in(&self, node: &mut Node) {
        if !self.in_braces.is_empty() {
            each_map(node, &mut |entries| {
                let is_text = |entry: &&mut Entry| entry.node.is_null() && self.in_braces.contains(&entry.place);
                entries.iter_mut().filter(is_text).for_each(|entry| entry.node.tree = Tree::Text(String::new()));
            });
        }
    }
}

/// What ends a value between braces.
const IN_BRACES: [char; 2] = [',', '}'];

/// Whether what stands after a key is no value.
fn is_blank(after: &str) -> bool {
    after.is_empty() || after.starts_with('#') || after.starts_with(IN_BRACES)
}

/// What stands after a key and its colon in its line.
fn after_key(entry: &Entry, lines: &[&str]) -> String {
    let is_quote = ['"', '\''];
    let line = lines.get(entry.place.line.saturating_sub(1)).copied().unwrap_or_default();
    let rest: String = line.chars().skip(entry.place.column.saturating_sub(1)).collect();
    let after = rest.trim_start_matches(is_quote).strip_prefix(&entry.key).unwrap_or(&rest);
    let after = after.trim_start_matches(is_quote).trim_start();
    after.strip_prefix(':').unwrap_or(after).trim_start().to_owned()
}

fn each_map(node: &mut Node, change: &mut impl FnMut(&mut Vec<Entry>)) {
    match &mut node.tree {
        Tree::Map(entries) => {
            change(entries);
            entries.iter_mut().for_each(|entry| each_map(&mut entry.node, change));
        }
        Tree::List(items) => items.iter_mut().for_each(|item| each_map(item, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-28", true)]
    #[case("2026-1-2", true)]
    #[case("2026-11-28 10:00:00", true)]
    #[case("2026-11-28T10:00:00.10+02:00", true)]
    #[case("2026-11-28T10:00:00Z", false)]
    #[case("2026-11", false)]
    #[case("2026-11-28-1", false)]
    #[case("v2026-11-28", false)]
    #[case("", false)]
    fn dates_that_are_changed(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_changed_date(text), expected);
    }
}
