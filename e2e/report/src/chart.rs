//! Charts as SVG: pure functions from data to text, without a script. Each has axes with units, a title and a text for screen readers.
//! Main types: [`Lines`] over a number, [`Intervals`] side by side, [`Bars`] against a limit.
//!
//! Colours are classes of [`STYLE`], so that a page decides between light and dark; a file of its own gets them from [`standalone`].
//! Series differ in their dashes too, for those who cannot tell the colours apart.

mod axis;
mod bars;
pub(crate) mod diagram;
mod frame;
mod intervals;
mod lines;
mod scaling;

pub(crate) use self::{
    bars::{Bar, Bars},
    intervals::{Interval, Intervals},
    lines::{Band, Limit, Lines, Mark, Series, Tone},
};

pub use self::scaling::scaling;

/// What the classes of charts look like, light and dark.
pub(crate) const STYLE: &str = include_str!("chart/chart.css");

/// A chart as a file of its own: the same picture with its colours.
pub fn standalone(svg: &str) -> String {
    let style = format!("<style>:root{{color-scheme:light dark}}\n{STYLE}</style>");
    svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1).replacen('>', &format!(">{style}"), 1)
}
