//! The renderers' shared table model. Main type: [`Table`].

use crate::xml::escaped;

/// A header and rows of the same length.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self::with_header(header.map(str::to_owned).to_vec())
    }

    /// A table with a dynamic number of columns.
    pub fn with_header(header: Vec<String>) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.header.len(), "a row has as many cells as the header");
        self.rows.push(cells);
    }

    /// A Markdown table followed by a blank line; empty without rows.
    pub fn markdown(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let mut text = line(&mut self.header.iter().map(|name| escape(name)));
        text += &line(&mut self.header.iter().map(|_| "---".to_owned()));
        for row in &self.rows {
            text += &line(&mut row.iter().map(|cell| escape(cell)));
        }
        text.push('\n');
        text
    }
}

/// How a fold begins, up to its summary, and how it ends.
pub(crate) const FOLD_START: &str = "<details><summary>";
pub(crate) const FOLD_END: &str = "</details>";

/// Markdown that is folded away behind a summary, as GitHub and browsers show it; nothing where there is no content.
pub(crate) fn folded(summary: &str, content: &str) -> String {
    if content.trim().is_empty() {
        return String::new();
    }
    let summary = escaped(summary);
    format!("{FOLD_START}{summary}</summary>\n\n{}\n\n{FOLD_END}\n\n", content.trim_end())
}

/// A block of code. Backticks in it, such as those of Markdown in a log, would end it early.
pub(crate) fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n\n", text.trim_end().replace("```", "'''"))
}

/// A text in which what a program printed cannot begin a heading or a list.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// A cell as one line with escaped bars.
fn escape(cell: &str) -> String {
    one_line(cell).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_the_table() {
        let mut table = Table::new(["a", "b"]);
        table.row(["x|y".to_owned(), "two\nlines".to_owned()]);
        assert_eq!(table.markdown(), "| a | b |\n| --- | --- |\n| x\\|y | two lines |\n\n");
        assert_eq!(Table::new(["a"]).markdown(), "");
    }

    #[test]
    fn a_log_cannot_end_its_block() {
        assert_eq!(fenced("", "a\n```\n## b\n"), "```\na\n'''\n## b\n```\n\n");
    }
}
