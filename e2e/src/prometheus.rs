//! Prometheus's text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>), the subset that the framework reads.
//! Main function: [`samples`].

/// One line with a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// The metric.
    pub name: &'a str,
    /// The text between the braces; may be empty.
    labels: &'a str,
    /// The value.
    pub value: f64,
    /// The timestamp in milliseconds since 1970, if any.
    pub at_ms: Option<u64>,
}

/// Every value of a text, without comments and invalid lines.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (name, labels, rest) = match line.split_once('{') {
            // A label's value may contain braces.
            Some((name, rest)) => rest.rsplit_once('}').map(|(labels, rest)| (name, labels, rest))?,
            None => line.split_once(' ').map(|(name, rest)| (name, "", rest))?,
        };
        let mut numbers = rest.split_ascii_whitespace();
        let value = numbers.next()?.parse().ok()?;
        Some(Sample { name, labels, value, at_ms: numbers.next().and_then(|at| at.parse().ok()) })
    })
}

impl<'a> Sample<'a> {
    /// Whether it has labels.
    pub fn has_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// The value of a label without escaped quotes.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        let begins = |(at, _): &(usize, &str)| *at == 0 || self.labels[..*at].ends_with(',');
        let (at, _) = self
            .labels
            .match_indices(name)
            .filter(begins)
            .find(|(at, name)| self.labels[at + name.len()..].starts_with("=\""))?;
        self.labels[at + name.len() + 2..].split_once('"').map(|(value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_times_are_read() {
        let text = "# HELP a b\na 2.0\na_b{old_pod=\"x\",pod=\"y\"} 1.5e+02 1606312800000\nnothing\n";
        let read: Vec<_> = samples(text).collect();
        assert_eq!((read.len(), read[0].name, read[0].value, read[0].has_labels()), (2, "a", 2.0, false));
        assert_eq!((read[1].label("pod"), read[1].label("b"), read[1].value), (Some("y"), None, 150.0));
        assert_eq!(read[1].at_ms, Some(1_606_312_800_000));
    }
}
