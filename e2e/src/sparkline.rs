//! A course of figures in one line of text. Main function: [`sparkline`].

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The figures as bars from 0 to the largest one: `▁▄█`.
pub(crate) fn sparkline(figures: impl IntoIterator<Item = u64> + Clone) -> String {
    let most = figures.clone().into_iter().max().unwrap_or(0).max(1);
    // Figures that do not reach the next level stay below it: only the largest one is a full bar.
    let level = |figure: u64| (figure as f64 / most as f64 * (LEVELS.len() - 1) as f64) as usize;
    figures.into_iter().map(|figure| LEVELS[level(figure)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_nothing_to_the_largest() {
        assert_eq!(sparkline([0, 50, 100]), "▁▄█");
        assert_eq!(sparkline([0, 0]), "▁▁");
        assert_eq!(sparkline([]), "");
    }
}
