//! Bars against a limit of their own each, such as the slowest answer to a probe against its timeout. Main type: [`Bars`].

use maud::html;

use super::frame::{LINE, WIDTH, fitted, picture, px};

/// Bars, each against its own limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bars {
    /// What it shows, for screen readers.
    pub(crate) says: String,
    /// What the axis is: its right end is each bar's limit.
    pub(crate) x: String,
    /// The bars.
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bar {
    /// What it is about.
    pub(crate) name: String,
    /// Its length as a share of the limit; what is above 1 is drawn as 1.2, what is no number not at all.
    pub(crate) share: f64,
    /// Its figures in words.
    pub(crate) figures: String,
    /// Whether it is wrong whatever its length.
    pub(crate) bad: bool,
}

const ROW: f64 = 34.0;
/// How much of the width is up to the limit: the rest is for what went beyond it.
const LIMIT: f64 = WIDTH / 1.25;

impl Bars {
    /// Draws it; nothing without a bar.
    pub(crate) fn svg(&self) -> Option<String> {
        let bars: Vec<&Bar> = self.bars.iter().filter(|bar| bar.share.is_finite()).collect();
        let bottom = ROW * bars.len() as f64;
        let content = html! {
            @for (row, bar) in bars.iter().enumerate() {
                @let top = ROW * row as f64;
                @let tone = if bar.bad || bar.share > 1.0 { "bad-fill" } else { "f0" };
                text.name x="0" y=(px(top + 12.0)) { (fitted(&bar.name, WIDTH - 100.0)) }
                text x=(px(WIDTH)) y=(px(top + 12.0)) text-anchor="end" { (bar.figures) }
                rect.band x="0" y=(px(top + 18.0)) width=(px(LIMIT)) height="8" {}
                rect class=(tone) x="0" y=(px(top + 18.0)) width=(px((bar.share.clamp(0.0, 1.2) * LIMIT).max(1.0))) height="8" {}
                path.limit stroke-dasharray="none" d=(format!("M{LIMIT:.1} {:.1} v14", top + 15.0)) {}
            }
            @for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
                text x=(px(share * LIMIT)) y=(px(bottom + LINE)) text-anchor=(if share == 0.0 { "start" } else { "middle" }) { (format!("{:.0}%", share * 100.0)) }
            }
            text x="0" y=(px(bottom + 2.0 * LINE)) { (self.x) }
        };
        (!bars.is_empty()).then(|| picture(bottom + 2.5 * LINE, &self.says, &content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share_and_red_beyond_the_limit() {
        let bar = |name: &str, share| Bar { name: name.to_owned(), share, ..Bar::default() };
        let bars = Bars { bars: vec![bar("half", 0.5), bar("over", 7.0), bar("none", f64::NAN)], ..Bars::default() };
        let svg = bars.svg().unwrap();
        // Half of 336, and 1.2 times 336.
        assert!(svg.contains("class=\"f0\" x=\"0\" y=\"18.0\" width=\"168.0\""), "{svg}");
        assert!(svg.contains("class=\"bad-fill\" x=\"0\" y=\"52.0\" width=\"403.2\""), "{svg}");
        assert!(!svg.contains(">none<") && !svg.contains("NaN"));
        assert_eq!(Bars::default().svg(), None);
    }
}
