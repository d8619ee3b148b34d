//! What all charts share: sizes, the legend, and how numbers are written. Main functions: [`picture`], [`legend`].

use maud::{Markup, PreEscaped, html};

/// Width of every chart: its text is as large as the page's in a column of 400 pixels.
pub(super) const WIDTH: f64 = 420.0;
/// Height of a line of text.
pub(super) const LINE: f64 = 16.0;
/// Mean width of a letter of 12 pixels; names are measured by it, for text in a picture does not wrap.
const LETTER: f64 = 6.4;

/// A picture with its text for screen readers, which is its tooltip too.
pub(super) fn picture(height: f64, says: &str, content: &Markup) -> String {
    let svg = html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {height:.0}")) role="img" aria-label=(says) { title { (says) } (content) }
    };
    svg.into_string()
}

pub(super) fn px(pixels: f64) -> PreEscaped<String> {
    PreEscaped(format!("{pixels:.1}"))
}

/// How wide a text is, about.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// A text that fits a width, cut with an ellipsis where it does not.
pub(super) fn fitted(text: &str, width: f64) -> String {
    let most = (width / LETTER) as usize;
    match text.chars().count() > most {
        true => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// Names with their signs, in as many rows as they need, from `top` downwards; and where they end.
pub(super) fn legend(top: f64, entries: &[(Markup, String)]) -> (Markup, f64) {
    const SIGN: f64 = 26.0;
    const GAP: f64 = 14.0;
    let (mut x, mut y) = (0.0, top);
    let mut placed = Vec::new();
    for (sign, name) in entries {
        let name = fitted(name, WIDTH - SIGN);
        let width = SIGN + width_of(&name) + GAP;
        if x > 0.0 && x + width - GAP > WIDTH {
            (x, y) = (0.0, y + LINE);
        }
        placed.push((x, y, sign, name));
        x += width;
    }
    let bottom = if entries.is_empty() { top } else { y + LINE };
    let markup = html! {
        @for (x, y, sign, name) in placed {
            g transform=(format!("translate({x:.1} {y:.1})")) { (sign) text.name x="26" y="11" { (name) } }
        }
    };
    (markup, bottom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_wraps_and_a_name_is_cut() {
        let entry = |name: &str| (html! {}, name.to_owned());
        let (one, bottom) = legend(10.0, &[entry("a"), entry("b")]);
        assert_eq!(bottom, 26.0);
        assert_eq!(one.into_string().matches("translate").count(), 2);
        let long = "x".repeat(50);
        let (_, bottom) = legend(10.0, &[entry(&long), entry(&long)]);
        assert_eq!(bottom, 42.0);
        assert_eq!(fitted("abcdef", 3.0 * LETTER), "ab…");
        assert_eq!(legend(10.0, &[]).1, 10.0);
    }
}
