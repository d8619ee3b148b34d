//! Boxes in rows and arrows between them. Main type: [`Diagram`].

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::frame::{LINE, WIDTH, fitted, picture, px};

/// Boxes in rows and arrows between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diagram {
    /// What it shows, for screen readers.
    pub(crate) says: String,
    /// The boxes, the upper ones first. A row of many takes several lines.
    pub(crate) rows: Vec<Vec<Node>>,
    /// The arrows; one whose end is no box is left out.
    pub(crate) arrows: Vec<Arrow>,
}

/// One box.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    /// Its name, unique in the diagram.
    pub(crate) name: String,
    /// What stands below the name.
    pub(crate) lines: Vec<String>,
    /// How many of how many instances are as they should be, as dots.
    pub(crate) dots: (u32, u32),
    /// Whether something is wrong with it.
    pub(crate) bad: bool,
}

/// One arrow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrow {
    /// The name of the box that it leaves.
    pub(crate) from: String,
    /// The name of the box that it leads to.
    pub(crate) to: String,
    /// The lines of text that stand beside it; may be empty.
    pub(crate) label: String,
    /// Whether something is wrong with it.
    pub(crate) bad: bool,
}

const BOX: f64 = 128.0;
const GAP: f64 = 18.0;
/// So many boxes fit into the width.
const IN_A_ROW: usize = 3;
/// Room for arrows between rows.
const BETWEEN: f64 = 40.0;
const PADDING: f64 = 8.0;
/// More dots than that have no room.
const MOST_DOTS: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Bounds {
    left: f64,
    top: f64,
    height: f64,
}

impl Diagram {
    /// Draws it; nothing without a box.
    pub(crate) fn svg(&self) -> Option<String> {
        let rows: Vec<&[Node]> = self.rows.iter().flat_map(|row| row.chunks(IN_A_ROW)).collect();
        let mut places: BTreeMap<&str, Bounds> = BTreeMap::new();
        let mut top = 2.0;
        for row in &rows {
            let lines = row.iter().map(|node| node.lines.len()).max().unwrap_or(0) + 1;
            let height = lines as f64 * LINE + PADDING;
            let width = row.len() as f64 * (BOX + GAP) - GAP;
            for (index, node) in row.iter().enumerate() {
                let left = (WIDTH - width) / 2.0 + index as f64 * (BOX + GAP);
                places.insert(&node.name, Bounds { left, top, height });
            }
            top += height + BETWEEN;
        }
        let known = |arrow: &&Arrow| places.contains_key(arrow.from.as_str()) && places.contains_key(arrow.to.as_str());
        let arrows: Vec<&Arrow> = self.arrows.iter().filter(known).collect();
        let content = html! {
            @for arrow in &arrows { (drawn(arrow, &arrows, &places)) }
            @for row in &rows { @for node in *row { (boxed(node, places[node.name.as_str()])) } }
            @for arrow in arrows.iter().filter(|arrow| !arrow.label.is_empty()) { (labelled(arrow, &places)) }
        };
        (!rows.is_empty()).then(|| picture(top - BETWEEN + 4.0, &self.says, &content))
    }
}

fn boxed(node: &Node, Bounds { left, top, height }: Bounds) -> Markup {
    let bad = if node.bad { "bad" } else { "" };
    let (good, all) = node.dots;
    let dots = if all <= MOST_DOTS { all } else { 0 };
    html! {
        rect.box.(bad) x=(px(left)) y=(px(top)) width=(px(BOX)) height=(px(height)) rx="6" {}
        text.strong x=(px(left + PADDING)) y=(px(top + LINE)) { (fitted(&node.name, BOX - 2.0 * PADDING - 11.0 * f64::from(dots))) }
        @for dot in 0..dots {
            @let x = left + BOX - PADDING - 4.0 - 11.0 * f64::from(dots - 1 - dot);
            @let tone = if dot < good { "f2" } else { "bad-fill" };
            circle.dot.(tone) cx=(px(x)) cy=(px(top + LINE - 4.0)) r="4" {}
        }
        @for (index, line) in node.lines.iter().enumerate() {
            text x=(px(left + PADDING)) y=(px(top + LINE * (index as f64 + 2.0))) { (fitted(line, BOX - 2.0 * PADDING)) }
        }
    }
}

/// Arrows leave and arrive side by side, in the order of the boxes at their other ends.
fn drawn(arrow: &Arrow, arrows: &[&Arrow], places: &BTreeMap<&str, Bounds>) -> Markup {
    let (from, to) = (places[arrow.from.as_str()], places[arrow.to.as_str()]);
    let share = |same: &dyn Fn(&Arrow) -> bool, other: &dyn Fn(&Arrow) -> f64| {
        let beside: Vec<f64> = arrows.iter().filter(|of| same(of)).map(|of| other(of)).collect();
        let before = beside.iter().filter(|left| **left < other(arrow)).count();
        (before as f64 + 1.0) / (beside.len() as f64 + 1.0)
    };
    let left = |name: &str| places[name].left;
    let x0 = from.left + BOX * share(&|of| of.from == arrow.from, &|of| left(&of.to));
    let x1 = to.left + BOX * share(&|of| of.to == arrow.to, &|of| left(&of.from));
    let (y0, y1) = match to.top >= from.top + from.height {
        true => (from.top + from.height, to.top - 1.0),
        // A circle of calls leads up again.
        false => (from.top, to.top + to.height + 1.0),
    };
    let turn = (y1 - y0) / 2.0;
    let tip = if y1 > y0 { -7.0 } else { 7.0 };
    let bad = if arrow.bad { "bad" } else { "" };
    html! {
        path.arrow.(bad) d=(format!("M{x0:.1} {y0:.1} C{x0:.1} {:.1} {x1:.1} {:.1} {x1:.1} {:.1}", y0 + turn, y1 - turn, y1 + tip)) {}
        path.head.(bad) d=(format!("M{x1:.1} {y1:.1} l-4 {tip:.1} h8 z")) {}
    }
}

fn labelled(arrow: &Arrow, places: &BTreeMap<&str, Bounds>) -> Markup {
    let (from, to) = (places[arrow.from.as_str()], places[arrow.to.as_str()]);
    let (x, y) = (from.left.max(to.left) + BOX / 2.0 + 10.0, (from.top + from.height + to.top) / 2.0 + 4.0);
    let lines: Vec<&str> = arrow.label.lines().collect();
    let first = y - (lines.len() as f64 - 1.0) * LINE / 2.0;
    html! {
        @for (index, line) in lines.into_iter().enumerate() {
            text.name.halo x=(px(x)) y=(px(first + index as f64 * LINE)) { (fitted(line, WIDTH - x)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node { name: name.to_owned(), ..Node::default() }
    }

    #[test]
    fn boxes_stand_in_rows_and_arrows_lead_down() {
        let arrow = |from: &str, to: &str| Arrow { from: from.to_owned(), to: to.to_owned(), ..Arrow::default() };
        let diagram = Diagram {
            rows: vec![vec![node("web")], vec![node("db"), Node { dots: (1, 2), bad: true, ..node("cache") }]],
            arrows: vec![arrow("web", "db"), arrow("web", "cache"), arrow("web", "nowhere")],
            ..Diagram::default()
        };
        let svg = diagram.svg().unwrap();
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"arrow").count()), (3, 2));
        // The box of the first row stands in the middle of 420, and is 24 high; an arrow ends above the second row, at 2 + 24 + 40.
        assert!(svg.contains("x=\"146.0\" y=\"2.0\"") && svg.contains(" 65.0 l-4 -7.0"), "{svg}");
        assert_eq!((svg.matches("class=\"dot f2\"").count(), svg.matches("class=\"dot bad-fill\"").count()), (1, 1));
        assert!(svg.contains("class=\"box bad\""));
        assert_eq!(Diagram::default().svg(), None);
    }

    #[test]
    fn a_row_of_many_takes_several_lines_and_a_circle_leads_up() {
        let rows = vec![(0..7).map(|index| node(&index.to_string())).collect()];
        let back = Arrow { from: "6".to_owned(), to: "0".to_owned(), ..Arrow::default() };
        let svg = Diagram { rows, arrows: vec![back], ..Diagram::default() }.svg().unwrap();
        assert_eq!(svg.matches("<rect").count(), 7);
        assert!(svg.contains(" l-4 7.0"), "{svg}");
    }
}
