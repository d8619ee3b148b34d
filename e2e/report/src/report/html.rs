//! The report for a browser: one file that loads nothing and needs no script. Main functions: [`render`], [`page`].
//!
//! The first screen and the charts come from the figures; the sections below them are made from the Markdown page, so that the two
//! cannot say different things.

mod charts;
mod first;
mod prose;
mod system;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Report, Verdict, markdown};
use crate::chart;

/// Renders a report as an HTML page.
pub fn render(report: &Report) -> String {
    let title = format!("{} on {}: end-to-end report {}", report.verdict.word(), report.target, report.run_id);
    let (sections, contents) = prose::sections(&markdown::sections(report).concat());
    let body = html! {
        (first::screen(report))
        (charts::charts(report))
        (contents)
        (sections)
    };
    shell(&title, report.verdict, &body)
}

/// A page of a title, a verdict's colour, a Markdown text, and charts (SVG) below its first paragraphs.
pub fn page(title: &str, verdict: Verdict, charts: &[String], markdown: &str) -> String {
    let (head, rest) = markdown.find("\n## ").map_or((markdown, ""), |at| markdown.split_at(at + 1));
    let (head, _) = prose::sections(head);
    let (sections, contents) = prose::sections(rest);
    let body = html! {
        header.lead { (head) }
        @if !charts.is_empty() {
            section.charts aria-label="Charts" { @for chart in charts { figure { (PreEscaped(chart)) } } }
        }
        (contents)
        (sections)
    };
    shell(title, verdict, &body)
}

/// Looks alike in light and dark; red means that something is wrong and nothing else does.
const STYLE: &str = include_str!("html.css");

fn shell(title: &str, verdict: Verdict, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(chart::STYLE)) }
            }
            body class=(verdict.word()) { main { (body) } }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_printed_is_never_markup() {
        let text = "# x\n\n<script>alert(1)</script>\n\n| a |\n| --- |\n| <img src=x> |\n";
        let page = page("a <b>", Verdict::Fail, &[], text);
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("<title>a &lt;b&gt;</title>"), "{page}");
    }

    #[test]
    fn sections_can_be_reached_and_nothing_is_loaded() {
        let text = "# t\n\n## Load test results\n\n[r](../a/report.md) [c](https://e.org/x.md)\n";
        let page = page("t", Verdict::Pass, &[], text);
        assert!(page.contains("<h2 id=\"load-test-results\">"), "{page}");
        assert!(page.contains("<a href=\"#load-test-results\">Load test results</a>"));
        assert!(page.contains("href=\"../a/report.html\"") && page.contains("href=\"https://e.org/x.md\""));
        for loading in ["src=", "@import", "url(", "<link"] {
            assert!(!page.contains(loading), "{loading}");
        }
    }
}
