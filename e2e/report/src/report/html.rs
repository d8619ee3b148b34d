//! The page for people as HTML: one file that needs no other, no network and no script. Main function: [`render`].
//!
//! It is made from the Markdown page, so that the two cannot say different things; only the chart comes from the figures.

use std::fmt::Write;

use e2e_figures::scenario::ScenarioResult;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::{Report, Verdict, markdown};

/// Renders a report as an HTML page.
pub fn render(report: &Report) -> String {
    let title = format!("{} on {}: end-to-end report {}", report.verdict.word(), report.target, report.run_id);
    let chart: String = report.scenarios.iter().map(|scenario| chart(&scenario.figures)).collect();
    page(&title, report.verdict, &chart, &markdown::render(report))
}

/// A page with a title, the colour of a verdict, a chart (SVG, or nothing) under the first heading, and the Markdown.
pub fn page(title: &str, verdict: Verdict, chart: &str, markdown: &str) -> String {
    let mut body = String::new();
    let (events, sections) = events(markdown);
    html::push_html(&mut body, events.into_iter());
    // Wide tables scroll by themselves, so that the text beside them keeps its width.
    let body = body.replace("<table>", "<div class=\"table\"><table>").replace("</table>", "</table></div>");
    let (head, rest) =
        body.split_once("<h2").map_or((body.as_str(), String::new()), |(head, rest)| (head, format!("<h2{rest}")));
    let links: String = sections.iter().map(|(id, name)| format!("<a href=\"#{id}\">{}</a>\n", escape(name))).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body class=\"{}\">\n<main>\n{head}{chart}<nav>\n{links}</nav>\n{rest}</main>\n</body>\n\
         </html>\n",
        escape(title),
        verdict.word()
    )
}

/// Looks alike in light and dark; the verdict's colour is the only one that means something.
const STYLE: &str = include_str!("html.css");

/// The events of the Markdown, with an id for each section, and the sections. What looks like HTML in it, such as a line of a
/// log, is text.
fn events(markdown: &str) -> (Vec<Event<'_>>, Vec<(String, String)>) {
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    let mut heading = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        let event = match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                Event::Start(Tag::Link { link_type, dest_url: beside(dest_url), title, id })
            }
            event => event,
        };
        match &event {
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => heading = Some((events.len(), String::new())),
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, name)) = &mut heading {
                    name.push_str(text);
                }
            }
            Event::End(TagEnd::Heading(HeadingLevel::H2)) => {
                if let Some((at, name)) = heading.take() {
                    let id = anchor(&name);
                    if let Event::Start(Tag::Heading { id: place, .. }) = &mut events[at] {
                        *place = Some(CowStr::from(id.clone()));
                    }
                    sections.push((id, name));
                }
            }
            _ => {}
        }
        events.push(event);
    }
    (events, sections)
}

/// The HTML page beside a Markdown page.
fn beside(link: CowStr<'_>) -> CowStr<'_> {
    match link.strip_suffix("/report.md") {
        Some(directory) => CowStr::from(format!("{directory}/report.html")),
        None => link,
    }
}

fn anchor(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Height of a chart, and width of a second in it, in pixels.
const HEIGHT: f64 = 120.0;
const SECOND: f64 = 10.0;

/// Requests in each second of a scenario's window that succeeded and failed, as bars.
fn chart(load: &ScenarioResult) -> String {
    let whole = usize::try_from(load.duration_ms / 1000).unwrap_or(usize::MAX);
    let seconds = &load.series[..load.series.len().min(whole)];
    let Some(most) = seconds.iter().map(|second| second.succeeded + second.errors).max().filter(|most| *most > 0)
    else {
        return String::new();
    };
    let scale = |count: u64| count as f64 / most as f64 * HEIGHT;
    let mut bars = String::new();
    for (index, second) in seconds.iter().enumerate() {
        let (good, bad) = (scale(second.succeeded), scale(second.errors));
        let p99 = second.latency_ms_p99.map_or(String::new(), |p99| format!(", p99 {p99:.1} ms"));
        let _ = writeln!(
            bars,
            "<g><title>second {}: {} requests{p99}, {} errors</title><rect class=\"good\" x=\"{x}\" y=\"{:.1}\" \
             width=\"8\" height=\"{good:.1}\"/><rect class=\"bad\" x=\"{x}\" y=\"{:.1}\" width=\"8\" height=\"{bad:.1}\"/></g>",
            second.second,
            second.succeeded,
            second.errors,
            HEIGHT - good,
            HEIGHT - good - bad,
            x = index as f64 * SECOND,
        );
    }
    let width = seconds.len() as f64 * SECOND;
    format!(
        "<figure>\n<svg viewBox=\"0 0 {width} {HEIGHT}\" style=\"max-width: {}px\" role=\"img\" aria-label=\"requests in each second\" \
         preserveAspectRatio=\"none\">\n{bars}</svg>\n<figcaption>Successful requests in each second of the scenario {}, {} \
         seconds; the tallest bar is {most}. Errors stand on top.</figcaption>\n</figure>\n",
        // A short run is not drawn in bars as wide as a hand.
        3.0 * width,
        escape(&load.name),
        seconds.len()
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_printed_is_never_markup() {
        let page =
            page("a <b>", Verdict::Fail, "", "# x\n\n<script>alert(1)</script>\n\n| a |\n| --- |\n| <img src=x> |\n");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("<title>a &lt;b&gt;</title>"), "{page}");
    }

    #[test]
    fn sections_can_be_reached_and_nothing_is_loaded() {
        let page = page(
            "t",
            Verdict::Pass,
            "",
            "# t\n\n## Load test results\n\n[r](../a/report.md) [c](https://e.org/x.md)\n",
        );
        assert!(page.contains("<h2 id=\"load-test-results\">"), "{page}");
        assert!(page.contains("<a href=\"#load-test-results\">Load test results</a>"));
        assert!(page.contains("href=\"../a/report.html\"") && page.contains("href=\"https://e.org/x.md\""));
        for loading in ["src=", "@import", "url(", "<link"] {
            assert!(!page.contains(loading), "{loading}");
        }
    }

    #[test]
    fn a_chart_has_a_bar_for_each_whole_second() {
        let second =
            |second, succeeded, errors| e2e_figures::Second { second, succeeded, errors, latency_ms_p99: None };
        let series = vec![second(0, 50, 50), second(1, 25, 0), second(2, 3, 0)];
        let chart = chart(&ScenarioResult { duration_ms: 2000, series, ..ScenarioResult::default() });
        assert_eq!(chart.matches("<title>").count(), 2);
        // The first second fills the height, half of it errors; the second one a quarter.
        assert!(
            chart.contains("y=\"60.0\" width=\"8\" height=\"60.0\"/><rect class=\"bad\" x=\"0\" y=\"0.0\""),
            "{chart}"
        );
        assert!(chart.contains("x=\"10\" y=\"90.0\" width=\"8\" height=\"30.0\""), "{chart}");
        assert_eq!(super::chart(&ScenarioResult::default()), "");
    }
}
