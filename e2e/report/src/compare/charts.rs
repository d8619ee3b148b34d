//! A comparison's charts. Main function: [`charts`].

use super::{Comparison, Difference, Figure, Significance, page::more_or_less};
use crate::chart::{Interval, Intervals};

/// For each side but the first, the difference of every figure from the first side's with its interval, as SVG.
pub fn charts(comparison: &Comparison) -> Vec<String> {
    let Some((first, others)) = comparison.sides.split_first() else { return Vec::new() };
    let of_side = |(at, side): (usize, &super::Side)| {
        let figures = comparison.rows.iter().flat_map(|row| &row.figures);
        let plot = Intervals {
            says: format!("Figures of {} against {}, in percent", side.name, first.name),
            x: format!("{} against {}, difference in %", side.name, first.name),
            rows: figures.filter_map(|figure| row(figure, figure.differences.get(at)?)).collect(),
        };
        plot.svg()
    };
    others.iter().enumerate().filter_map(of_side).collect()
}

/// A figure whose difference is a share of something, and is not the same in every run.
fn row(figure: &Figure, difference: &Difference) -> Option<Interval> {
    if difference.judgement == Significance::Same {
        return None;
    }
    let relative = difference.relative?;
    Some(Interval {
        name: figure.name.clone(),
        value: relative * 100.0,
        interval: difference.relative_interval.map(|ends| ends.map(|end| end * 100.0)),
        figures: more_or_less(relative),
        strong: difference.judgement == Significance::Larger,
    })
}
