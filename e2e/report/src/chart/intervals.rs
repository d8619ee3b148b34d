//! Values with their intervals, one below the other, around zero: a forest plot. Main type: [`Intervals`].

use maud::html;

use super::{
    axis::Axis,
    frame::{LINE, WIDTH, fitted, picture, px},
};

/// Values with their intervals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intervals {
    /// What it shows, for screen readers.
    pub(crate) says: String,
    /// What the axis is, with its unit.
    pub(crate) x: String,
    /// The values; those that are no number are left out.
    pub(crate) rows: Vec<Interval>,
}

/// One value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interval {
    /// What it is about.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
    /// Where it lies with the stated confidence; nothing where that is not known.
    pub(crate) interval: Option<[f64; 2]>,
    /// The same in words.
    pub(crate) figures: String,
    /// Whether it is worth a look.
    pub(crate) strong: bool,
}

const ROW: f64 = 36.0;

impl Intervals {
    /// Draws it; nothing without a value.
    pub(crate) fn svg(&self) -> Option<String> {
        let rows: Vec<&Interval> = self.rows.iter().filter(|row| row.value.is_finite()).collect();
        let ends = |row: &&Interval| [row.value].into_iter().chain(row.interval.into_iter().flatten());
        let finite = rows.iter().flat_map(ends).filter(|end| end.is_finite());
        let (low, high) = finite.fold((0.0, 0.0), |(low, high): (f64, f64), end| (low.min(end), high.max(end)));
        let bottom = ROW * rows.len() as f64 + 4.0;
        let x = Axis::new((low, high), 5.0, (16.0, WIDTH - 16.0));
        let held = |end: f64| x.at(end).clamp(4.0, WIDTH - 4.0);
        let content = html! {
            @for (tick, text) in x.ticks() {
                path.grid d=(format!("M{:.1} 0 V{bottom:.1}", x.at(tick))) {}
                text x=(px(x.at(tick))) y=(px(bottom + LINE)) text-anchor="middle" { (text) }
            }
            path.axis d=(format!("M{:.1} 0 V{bottom:.1}", x.at(0.0))) {}
            text x=(px(WIDTH / 2.0)) y=(px(bottom + 2.0 * LINE)) text-anchor="middle" { (self.x) }
            @for (index, row) in rows.iter().enumerate() {
                @let top = ROW * index as f64;
                @let (stroke, fill) = if row.strong { ("bad-line", "bad-fill") } else { ("s0", "f0") };
                text.halo.(if row.strong { "strong" } else { "name" }) x="0" y=(px(top + 13.0)) { (fitted(&row.name, WIDTH - 150.0)) }
                text.halo x=(px(WIDTH)) y=(px(top + 13.0)) text-anchor="end" { (row.figures) }
                @if let Some([low, high]) = row.interval {
                    path.line.(stroke) d=(format!("M{:.1} {:.1} H{:.1}", held(low), top + 25.0, held(high))) {}
                }
                circle.dot.(fill) cx=(px(held(row.value))) cy=(px(top + 25.0)) r="4.5" {}
            }
        };
        (!rows.is_empty()).then(|| picture(bottom + 2.5 * LINE, &self.says, &content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_around_zero_with_their_intervals() {
        let row = |value, interval| Interval { value, interval, ..Interval::default() };
        let chart = |rows| Intervals { rows, ..Intervals::default() }.svg();
        // From -10 to 10 across 16 to 404: 0 at 210, 5 at 307.
        let svg = chart(vec![row(5.0, Some([-10.0, 10.0]))]).unwrap();
        assert!(svg.contains("M16.0 25.0 H404.0") && svg.contains("cx=\"307.0\""), "{svg}");
        let unknown = chart(vec![row(5.0, Some([f64::NEG_INFINITY, f64::INFINITY])), row(f64::NAN, None)]).unwrap();
        assert_eq!(unknown.matches("<circle").count(), 1);
        assert!(unknown.contains("M4.0 25.0 H416.0") && !unknown.contains("inf"), "{unknown}");
        assert_eq!(chart(Vec::new()), None);
    }
}
