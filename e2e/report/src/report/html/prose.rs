//! Markdown to HTML: sections with anchors, tables that scroll, and evidence ids as links. Main function: [`sections`].

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html::push_html};

use crate::{
    report::table::{FOLD_END, FOLD_START},
    run_dir,
};

/// A Markdown text as HTML, and its table of contents.
pub(super) fn sections(markdown: &str) -> (Markup, Markup) {
    let mut body = String::new();
    let (events, sections) = events(markdown);
    push_html(&mut body, events.into_iter());
    // Wide tables scroll by themselves, so that the text beside them keeps its width; a scrolling part must be reachable by keyboard.
    let body = body
        .replace("<table>", "<div class=\"table\" tabindex=\"0\"><table>")
        .replace("</table>", "</table></div>")
        .replace("<th>", "<th scope=\"col\">");
    let contents = html! {
        @if !sections.is_empty() {
            nav aria-label="Sections" { @for (id, name) in &sections { a href=(format!("#{id}")) { (name) } " " } }
        }
    };
    (html! { (PreEscaped(body)) }, contents)
}

/// An evidence id as a link to its file beside the page.
pub(super) fn evidence(id: &str) -> Markup {
    html! { a.evidence href=(file_of(id)) { (id) } }
}

/// A sentence of a finding: what stands between backticks is code.
pub(super) fn sentence(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // A backtick without another one is only itself.
    let has_code = parts.len() % 2 == 1;
    html! {
        @if has_code {
            @for (index, part) in parts.into_iter().enumerate() { @if index % 2 == 1 { code { (part) } } @else { (part) } }
        } @else { (text) }
    }
}

/// The file that an evidence id is about.
fn file_of(id: &str) -> &str {
    id.split_once('#').map_or(id, |(file, _)| file)
}

/// The events of the Markdown, with an id for each section, and the sections. What looks like HTML in it, such as a line of a
/// log, is text; only folds are what they seem.
fn events(markdown: &str) -> (Vec<Event<'_>>, Vec<(String, String)>) {
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    let mut heading = None;
    let mut is_verbatim = false;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        let event = match event {
            Event::Html(text) | Event::InlineHtml(text) => fold(text),
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                is_verbatim = true;
                Event::Start(Tag::Link { link_type, dest_url: beside(dest_url), title, id })
            }
            event => event,
        };
        match &event {
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => heading = Some((events.len(), String::new())),
            Event::Start(Tag::CodeBlock(_)) => is_verbatim = true,
            Event::End(TagEnd::CodeBlock | TagEnd::Link) => is_verbatim = false,
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
        match event {
            Event::Text(text) if !is_verbatim && heading.is_none() => linked(&text, &mut events),
            event => events.push(event),
        }
    }
    (events, sections)
}

/// A fold as this crate writes it; any other HTML is text.
fn fold(text: CowStr<'_>) -> Event<'_> {
    let line = text.trim_end();
    let summary = line.strip_prefix(FOLD_START).and_then(|rest| rest.strip_suffix("</summary>"));
    match summary {
        // The Markdown has it escaped already.
        Some(summary) if !summary.contains('<') => Event::Html(text),
        _ if line == FOLD_END => Event::Html(text),
        _ => Event::Text(text),
    }
}

/// A text whose evidence ids are links.
fn linked<'a>(text: &str, events: &mut Vec<Event<'a>>) {
    let mut rest = text;
    while let Some((before, id, after)) = next_id(rest) {
        events.push(Event::Text(CowStr::from(before.to_owned())));
        let link_type = LinkType::Inline;
        let dest_url = CowStr::from(file_of(id).to_owned());
        events.push(Event::Start(Tag::Link { link_type, dest_url, title: CowStr::from(""), id: CowStr::from("") }));
        events.push(Event::Text(CowStr::from(id.to_owned())));
        events.push(Event::End(TagEnd::Link));
        rest = after;
    }
    events.push(Event::Text(CowStr::from(rest.to_owned())));
}

/// The first evidence id of a text, with what stands before and after it.
fn next_id(text: &str) -> Option<(&str, &str, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || "/._-#~".contains(c);
    let mut start = 0;
    for word in text.split(|c: char| !is_part(c)) {
        let from = start;
        start += word.len();
        // What ends the word is one character, of any length.
        start += text[start..].chars().next().map_or(0, char::len_utf8);
        let id = word.trim_end_matches(['.', '-', '#', '/']);
        if is_evidence(file_of(id)) {
            return Some((&text[..from], id, &text[from + id.len()..]));
        }
    }
    None
}

fn is_evidence(file: &str) -> bool {
    let below =
        |directory: &str| file.strip_prefix(directory).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
    let is_file = |rest: &str| !rest.contains("..");
    let known = [run_dir::ENVIRONMENT, run_dir::REQUEST, run_dir::JUNIT, run_dir::SUITES, run_dir::REPORT_JSON];
    known.contains(&file) || (below(run_dir::EVIDENCE) || below(run_dir::RESULTS)) && is_file(file)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::folded;

    fn html(markdown: &str) -> String {
        sections(markdown).0.into_string()
    }

    #[test]
    fn evidence_ids_lead_to_the_files_beside_the_page() {
        let page = html(
            "It ended (evidence/logs/app-0.app.log, results/health.app.json#/measured/nothing).\n\n| a |\n| --- |\n| environment.json#/up_ms |\n",
        );
        for (file, id) in [
            ("evidence/logs/app-0.app.log", "evidence/logs/app-0.app.log"),
            ("results/health.app.json", "results/health.app.json#/measured/nothing"),
            ("environment.json", "environment.json#/up_ms"),
        ] {
            assert!(page.contains(&format!("<a href=\"{file}\">{id}</a>")), "{page}");
        }
        for other in ["evidence/../../etc/passwd", "my-evidence/x", "evidence/", "an environment.jsonx"] {
            assert!(!html(other).contains("<a "), "{other}");
        }
        assert!(!html("```\nevidence/pods.json\n```\n").contains("<a "), "a log stays as it was printed");
    }

    #[rstest::rstest]
    #[case::code("from `a<b` to ``", "from <code>a&lt;b</code> to <code></code>")]
    #[case::no_pair("a ` b", "a ` b")]
    fn backticks_make_code(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(sentence(text).into_string(), expected);
    }

    #[test]
    fn only_folds_of_this_crate_fold() {
        let page = html(&folded("12 checks <passed>", "| a |\n| --- |\n| b |\n"));
        assert!(page.contains("<details><summary>12 checks &lt;passed&gt;</summary>"), "{page}");
        assert!(page.contains("</details>") && page.contains("<th scope=\"col\">a</th>"), "{page}");
        let forged = html("<details><summary><img src=x></summary>\n\n<details open>\n");
        assert!(!forged.contains("<details") && !forged.contains("<img"), "{forged}");
    }
}
