//! Round numbers along an axis. Main type: [`Axis`].

/// A range of numbers that round ticks divide, and its place in a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// The lowest and the highest tick.
    range: (f64, f64),
    step: f64,
    /// Where these two stand, in pixels.
    pixels: (f64, f64),
}

impl Axis {
    /// An axis that holds `low` to `high` and has about `most` gaps of 1, 2 or 5 times a power of ten (Heckbert, Nice numbers for
    /// graph labels, Graphics Gems, 1990). A range that is empty or no number gets a length of 1.
    pub(super) fn new((low, high): (f64, f64), most: f64, pixels: (f64, f64)) -> Self {
        let low = if low.is_finite() { low } else { 0.0 };
        let high = if high.is_finite() && high > low { high } else { low + 1.0 };
        let step = round_up((high - low) / most);
        // A hair, so that 0.6 / 0.2 is 3 and not 4.
        let range = (step * (low / step + 1e-9).floor(), step * (high / step - 1e-9).ceil());
        Self { range, step, pixels }
    }

    /// Where a number stands, in pixels.
    pub(super) fn at(&self, number: f64) -> f64 {
        let (low, high) = self.range;
        self.pixels.0 + (number - low) / (high - low) * (self.pixels.1 - self.pixels.0)
    }

    pub(super) fn holds(&self, number: f64) -> bool {
        (self.range.0..=self.range.1).contains(&number)
    }

    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.range.1 - self.range.0) / self.step).round() as u32;
        let tick = |index| self.range.0 + self.step * f64::from(index);
        (0..=count).map(|index| (tick(index), label(tick(index), self.step))).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, ...
fn round_up(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= figure * (1.0 - 1e-9));
    digit.unwrap_or(10.0) * power
}

/// A number with the decimals of its step, thousands as `k` and millions as `M` where nothing is lost by it.
fn label(number: f64, step: f64) -> String {
    let plain = |number: f64, step: f64| {
        let decimals = (-(step * (1.0 + 1e-9)).log10().floor()).max(0.0) as usize;
        // No `-0`.
        format!("{:.decimals$}", if number.abs() < step / 2.0 { 0.0 } else { number })
    };
    match step {
        _ if number.abs() >= 1e6 && step >= 1e5 => format!("{}M", plain(number / 1e6, step / 1e6)),
        _ if number.abs() >= 1e4 && step >= 100.0 => format!("{}k", plain(number / 1e3, step / 1e3)),
        _ => plain(number, step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case((0.0, 4257.0), 5.0, &["0", "1000", "2000", "3000", "4000", "5000"])]
    #[case((0.0, 0.6), 3.0, &["0.0", "0.2", "0.4", "0.6"])]
    #[case((0.0, 23_000.0), 5.0, &["0", "5000", "10k", "15k", "20k", "25k"])]
    #[case((-0.05, 0.12), 4.0, &["-0.05", "0.00", "0.05", "0.10", "0.15"])]
    #[case((0.0, 10.0), 5.0, &["0", "2", "4", "6", "8", "10"])]
    // Nothing to divide, and no numbers.
    #[case((3.0, 3.0), 2.0, &["3.0", "3.5", "4.0"])]
    #[case((f64::NAN, f64::INFINITY), 2.0, &["0.0", "0.5", "1.0"])]
    fn ticks_are_round_and_hold_the_range(#[case] range: (f64, f64), #[case] most: f64, #[case] texts: &[&str]) {
        let axis = Axis::new(range, most, (0.0, 100.0));
        assert_eq!(axis.ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>(), texts);
        let (first, last) = (axis.ticks()[0].0, axis.ticks().last().unwrap().0);
        assert!((axis.at(first)).abs() < 1e-9 && (axis.at(last) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_vertical_axis_runs_upwards() {
        let axis = Axis::new((0.0, 100.0), 5.0, (200.0, 20.0));
        assert_eq!((axis.at(0.0), axis.at(50.0), axis.at(100.0)), (200.0, 110.0, 20.0));
        assert!(axis.holds(100.0) && !axis.holds(101.0));
    }
}
