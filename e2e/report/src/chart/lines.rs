//! Lines over a number, such as the time. Main type: [`Lines`].

use e2e_plan::words::number;
use maud::{Markup, html};

use super::{
    axis::Axis,
    frame::{LINE, WIDTH, fitted, legend, picture, px, width_of},
};

/// Lines over a number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    /// What it shows, for screen readers.
    pub(crate) says: String,
    /// What the horizontal axis is, with its unit.
    pub(crate) x: String,
    /// What the vertical axis is, with its unit; it begins at 0.
    pub(crate) y: String,
    /// The lines.
    pub(crate) series: Vec<Series>,
    /// Values that the lines must stay below, or above.
    pub(crate) limits: Vec<Limit>,
    /// Moments.
    pub(crate) marks: Vec<Mark>,
    /// Stretches.
    pub(crate) bands: Vec<Band>,
    /// Named places of the horizontal axis in place of round numbers.
    pub(crate) places: Vec<(f64, String)>,
}

/// One line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: String,
    /// Its points in order; one that is no number leaves a gap.
    pub(crate) points: Vec<(f64, f64)>,
    /// Its colour.
    pub(crate) tone: Tone,
    /// Whether the points stand for themselves, without a line between them.
    pub(crate) scattered: bool,
    /// The lowest and the highest value that each of some points may have had.
    pub(crate) intervals: Vec<(f64, f64, f64)>,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// One of six that only differ.
    Nth(usize),
    /// Something is wrong.
    Bad,
}

impl Default for Tone {
    fn default() -> Self {
        Self::Nth(0)
    }
}

/// A value that lines are held against.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    /// What it is.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
}

/// A moment, as a vertical line.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// When, or where.
    pub(crate) at: f64,
    /// What happened.
    pub(crate) name: String,
}

/// A stretch of the horizontal axis.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    /// Its ends.
    pub(crate) from: f64,
    /// Its ends.
    pub(crate) to: f64,
    /// What it is.
    pub(crate) name: String,
}

const PLOT: f64 = 170.0;
const LEFT: f64 = 46.0;
/// Above that many points a line says enough; each dot has a tooltip with its figures.
const DOTTED: usize = 70;
/// A limit this many times above all values would press the lines flat: only its name is shown.
const FAR: f64 = 3.0;

impl Tone {
    pub(super) fn stroke(self) -> String {
        match self {
            Self::Nth(index) => format!("s{}", index % 6),
            Self::Bad => "bad-line".to_owned(),
        }
    }

    pub(super) fn fill(self) -> String {
        match self {
            Self::Nth(index) => format!("f{}", index % 6),
            Self::Bad => "bad-fill".to_owned(),
        }
    }
}

impl Lines {
    /// Draws it; nothing without a single point.
    pub(crate) fn svg(&self) -> Option<String> {
        let numbers = || self.series.iter().flat_map(|series| series.points.iter()).filter(|point| is_number(point));
        let high = |series: &Series| series.intervals.iter().map(|(_, _, high)| *high).fold(0.0, f64::max);
        let most = numbers().map(|(_, y)| *y).chain(self.series.iter().map(high)).fold(0.0, f64::max);
        let ends = |(low, high): (f64, f64), x: f64| (low.min(x), high.max(x));
        let bands = self.bands.iter().flat_map(|band| [band.from, band.to]);
        let places = self.places.iter().map(|(at, _)| *at);
        let (first, last) =
            numbers().map(|(x, _)| *x).chain(bands).chain(places).fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        numbers().next()?;
        let (near, far): (Vec<&Limit>, Vec<&Limit>) =
            self.limits.iter().filter(|limit| limit.value.is_finite()).partition(|limit| limit.value <= FAR * most);
        let highest = near.iter().map(|limit| limit.value).fold(most, f64::max);

        let (names, top) = legend(0.0, &self.entries(&far));
        let top = top + LINE + 8.0;
        let bottom = top + PLOT;
        let y = Axis::new((0.0, highest), 4.0, (bottom, top));
        let x = match self.places.is_empty() {
            true => Axis::new((first, last), 6.0, (LEFT, WIDTH - 12.0)),
            // The ends stand where they are named.
            false => Axis::new((first, last), last - first, (LEFT + 8.0, WIDTH - 24.0)),
        };
        let places = if self.places.is_empty() { x.ticks() } else { self.places.clone() };
        let content = html! {
            (names)
            text x="0" y=(px(top - 12.0)) { (self.y) }
            @for band in &self.bands {
                rect.band x=(px(x.at(band.from))) y=(px(top)) width=(px(x.at(band.to) - x.at(band.from))) height=(px(PLOT)) {}
            }
            @for (tick, text) in y.ticks() {
                path.grid d=(format!("M{LEFT} {:.1} H{}", y.at(tick), WIDTH - 12.0)) {}
                text x=(px(LEFT - 6.0)) y=(px(y.at(tick) + 4.0)) text-anchor="end" { (text) }
            }
            @for (tick, text) in places {
                path.axis d=(format!("M{:.1} {bottom:.1} v4", x.at(tick))) {}
                text x=(px(x.at(tick))) y=(px(bottom + 17.0)) text-anchor="middle" { (text) }
            }
            path.axis d=(format!("M{LEFT} {bottom:.1} H{}", WIDTH - 12.0)) {}
            text x=(px((LEFT + WIDTH) / 2.0)) y=(px(bottom + 34.0)) text-anchor="middle" { (self.x) }
            @for band in &self.bands { (self.named_band(band, &x, top)) }
            @for limit in near {
                path.limit d=(format!("M{LEFT} {:.1} H{}", y.at(limit.value), WIDTH - 12.0)) {}
                text.limit-name.halo x=(px(WIDTH - 14.0)) y=(px(y.at(limit.value) - 4.0)) text-anchor="end" { (limit.name) }
            }
            @for mark in self.marks.iter().filter(|mark| x.holds(mark.at)) {
                g { title { (mark.name) }
                    path.mark d=(format!("M{:.1} {top:.1} V{bottom:.1}", x.at(mark.at))) {}
                    path.bad-fill d=(format!("M{:.1} {:.1} l-4 -7 h8 z", x.at(mark.at), top + 1.0)) {} }
            }
            @for series in &self.series { (line(series, &x, &y)) }
        };
        Some(picture(bottom + 40.0, &self.says, &content))
    }

    /// What the legend names: each line, each limit that is out of sight, and what the marks are.
    fn entries(&self, far: &[&Limit]) -> Vec<(Markup, String)> {
        let mut entries: Vec<(Markup, String)> = Vec::new();
        for series in &self.series {
            let sign = match series.scattered {
                true => html! { circle.dot.(series.tone.fill()) cx="13" cy="7" r="4" {} },
                false => html! { path.line.(series.tone.stroke()) d="M0 7 h22" {} },
            };
            entries.push((sign, series.name.clone()));
        }
        for limit in far {
            entries.push((html! { path.limit d="M0 7 h22" {} }, format!("{} (off the chart)", limit.name)));
        }
        let mut names: Vec<&str> = self.marks.iter().map(|mark| mark.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            entries.push((html! { path.bad-fill d="M12 12 l-5 -9 h10 z" {} }, names.join(", ")));
        }
        entries
    }

    /// A band's name, where it has the room.
    fn named_band(&self, band: &Band, x: &Axis, top: f64) -> Markup {
        let width = x.at(band.to) - x.at(band.from);
        let is_wide = width >= width_of(&band.name).min(40.0);
        html! { @if is_wide { text.halo x=(px(x.at(band.from) + 3.0)) y=(px(top + 11.0)) { (fitted(&band.name, width)) } } }
    }
}

fn is_number((x, y): &(f64, f64)) -> bool {
    x.is_finite() && y.is_finite()
}

fn line(series: &Series, x: &Axis, y: &Axis) -> Markup {
    let stretches = series.points.split(|point| !is_number(point)).filter(|stretch| stretch.len() > 1);
    let path: Vec<String> = stretches
        .map(|stretch| {
            let points: Vec<String> =
                stretch.iter().map(|point| format!("{:.1} {:.1}", x.at(point.0), y.at(point.1))).collect();
            format!("M{}", points.join(" L"))
        })
        .collect();
    let (stroke, fill) = (series.tone.stroke(), series.tone.fill());
    let numbers: Vec<&(f64, f64)> = series.points.iter().filter(|point| is_number(point)).collect();
    let radius = if series.scattered { 3.5 } else { 2.2 };
    html! {
        @if !series.scattered && !path.is_empty() { path.line.(stroke) d=(path.concat()) {} }
        @for (at, low, high) in &series.intervals {
            path.line.(stroke) stroke-dasharray="none"
                d=(format!("M{0:.1} {1:.1} V{2:.1} m-4 0 h8 M{0:.1} {1:.1} m-4 0 h8", x.at(*at), y.at(*low), y.at(*high))) {}
        }
        @if numbers.len() <= DOTTED {
            @for (at, value) in numbers {
                circle.dot.(fill) cx=(px(x.at(*at))) cy=(px(y.at(*value))) r=(radius) { title { (series.name) ": " (number(*value, 3)) " at " (number(*at, 3)) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Lines {
        let series = vec![Series { name: "rate".to_owned(), points: points.to_vec(), ..Series::default() }];
        Lines { y: "requests/s".to_owned(), x: "seconds".to_owned(), series, ..Lines::default() }
    }

    #[test]
    fn a_line_runs_through_its_points_and_its_axes_have_units() {
        let svg = chart(&[(0.0, 0.0), (1.0, 50.0), (2.0, 100.0)]).svg().unwrap();
        // The plot is from 46 to 408 across and, below a row of the legend and the axis's name, from 210 up to 40.
        assert!(svg.contains("M46.0 210.0 L227.0 125.0 L408.0 40.0"), "{svg}");
        assert!(svg.contains(">requests/s<") && svg.contains(">seconds<") && svg.contains(">100<"));
        assert!(svg.contains("<title>rate: 50 at 1</title>"));
    }

    /// Nothing to draw is no chart; a single point is a dot; what is no number is a gap, not a line to the edge.
    #[test]
    fn little_data_is_drawn_as_what_it_is() {
        assert_eq!(chart(&[]).svg(), None);
        assert_eq!(chart(&[(0.0, f64::NAN), (f64::INFINITY, 1.0)]).svg(), None);
        let one = chart(&[(3.0, 5.0)]).svg().unwrap();
        assert_eq!((one.matches("<circle").count(), one.matches(" L").count()), (1, 0));
        let gap = chart(&[(0.0, 1.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 1.0)]).svg().unwrap();
        assert_eq!((gap.matches("<circle").count(), gap.matches(" L").count()), (4, 2));
        for svg in [one, gap] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn a_limit_far_above_is_named_and_does_not_press_the_line_flat() {
        let limited = |value| {
            let limit = Limit { name: "at most".to_owned(), value };
            Lines { limits: vec![limit], ..chart(&[(0.0, 10.0), (1.0, 10.0)]) }.svg().unwrap()
        };
        let near = limited(15.0);
        assert!(near.contains("class=\"limit-name halo\"") && near.contains(">15<"), "{near}");
        let far = limited(5000.0);
        assert!(far.contains("at most (off the chart)") && !far.contains(">5000<"), "{far}");
    }

    #[test]
    fn marks_and_bands_stand_where_they_happened_and_names_are_text() {
        let lines = Lines {
            marks: vec![Mark { at: 1.0, name: "<b> restarted".to_owned() }],
            bands: vec![Band { from: 0.0, to: 2.0, name: "load".to_owned() }],
            ..chart(&[(0.0, 100.0), (2.0, 100.0)])
        };
        let svg = lines.svg().unwrap();
        assert!(svg.contains("M227.0 ") && svg.contains("&lt;b&gt; restarted") && svg.contains(">load<"), "{svg}");
    }
}
