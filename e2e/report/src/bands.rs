//! The figures of a snapshot: each is a band that the noise of a project's own runs gives, and a run outside of it is a difference. Pure.
//! Main types: [`Bands`], what was accepted, and [`Judged`].

use std::collections::BTreeMap;

use e2e_figures::band::{Band, RUNS};
use e2e_plan::{
    nearest,
    words::{counted, number},
};
use serde::{Deserialize, Serialize};

use crate::{
    history::{self, Entry},
    report::Verdict,
};

/// The content of a snapshot of figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// The machine, the load and the changes to the manifests, in words: runs under others are not compared.
    pub conditions: String,
    /// The bands, by the figure's name with its unit.
    pub figures: BTreeMap<String, Band>,
}

/// What the latest run says of accepted bands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// What to accept in their place; nothing where nothing can be compared.
    pub bands: Option<Bands>,
    /// The figures outside of their bands, a sentence each.
    pub outside: Vec<String>,
    /// What was not compared and why, a sentence each.
    pub notes: Vec<String>,
}

/// Judges the figures `names` of the latest run in `entries`, oldest first.
///
/// A figure inside of its accepted band leaves it as it is, one outside of it gets a band as wide around this run, and one without a band
/// gets that of the runs so far. With `renew`, the runs so far also renew the bands that hold.
pub fn judge(names: &[String], entries: &[Entry], accepted: Option<&Bands>, renew: bool) -> Judged {
    let mut judged = Judged::default();
    let series: Vec<&Entry> = history::series(entries);
    let (Some(last), false) = (series.last(), names.is_empty()) else { return judged };
    let accepted = match accepted {
        Some(bands) if bands.conditions != last.series && !renew => {
            judged.notes.push(format!(
                "figures are not compared with the snapshot: it was made under `{}`, this run under `{}`",
                bands.conditions, last.series
            ));
            return judged;
        }
        accepted => accepted.filter(|bands| bands.conditions == last.series),
    };
    let passed: Vec<&Entry> = series.iter().filter(|entry| entry.verdict == Verdict::Pass).copied().collect();
    let mut figures = BTreeMap::new();
    for name in names {
        let known = accepted.and_then(|bands| bands.figures.get(name)).copied();
        let Some(value) = last.figures.get(name).copied() else {
            let meant = nearest(name, last.figures.keys().map(String::as_str));
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`"));
            judged.outside.push(format!("{name} was not measured{meant}"));
            continue;
        };
        let values: Vec<f64> = passed.iter().filter_map(|entry| entry.figures.get(name).copied()).collect();
        let band = match known {
            Some(known) if !known.holds(value) => {
                let Band { from, to } = known;
                judged.outside.push(format!("{name} is {}, outside {from} to {to}", number(value, 4)));
                // One run tells nothing of the noise at its level.
                Some(known.around(value))
            }
            Some(known) if !renew => Some(known),
            known => Band::of(&values, names.len()).or(known),
        };
        if band.is_none() {
            judged.notes.push(match values.len() {
                runs if runs < RUNS => format!(
                    "{name} is not compared yet: a band takes {RUNS} passing runs under the same conditions, and there {} {runs}",
                    if runs == 1 { "is" } else { "are" }
                ),
                runs => format!("{name} has no band: it was 0 in some of {}", counted(runs, "run")),
            });
        }
        figures.extend(band.map(|band| (name.clone(), band)));
    }
    judged.bands = (!figures.is_empty()).then(|| Bands { conditions: last.series.clone(), figures });
    judged
}

#[cfg(test)]
mod tests {
    use e2e_plan::target::Target;

    use super::*;

    const RATE: &str = "order: requests/s";

    /// A history of runs with these rates.
    fn runs(rates: &[f64]) -> Vec<Entry> {
        let entry = |rate: &f64| Entry {
            run_id: String::new(),
            started_at: String::new(),
            commit: None,
            branch: None,
            dirty: false,
            target: Target::Local,
            verdict: Verdict::Pass,
            series: "40 clients".to_owned(),
            figures: [(RATE.to_owned(), *rate), ("order: errors".to_owned(), 0.0)].into(),
        };
        rates.iter().map(entry).collect()
    }

    fn judged(names: &[&str], entries: &[Entry], accepted: Option<&Bands>, renew: bool) -> Judged {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        judge(&names, entries, accepted, renew)
    }

    const STEADY: [f64; 10] = [1000.0, 1010.0, 990.0, 1005.0, 995.0, 1000.0, 1010.0, 990.0, 1005.0, 995.0];

    #[test]
    fn a_band_is_accepted_once_and_then_guards() {
        let first = judged(&[RATE], &runs(&STEADY), None, false);
        let bands = first.bands.clone().unwrap();
        assert_eq!((first.outside.as_slice(), first.notes.as_slice()), ([].as_slice(), [].as_slice()));
        let band = bands.figures[RATE];
        assert!(band.from > 940.0 && band.to < 1070.0, "{band:?}");

        // A machine without a history compares too.
        let same = judged(&[RATE], &runs(&[1012.0]), Some(&bands), false);
        assert_eq!((same.bands.as_ref(), same.outside.len()), (Some(&bands), 0));
        let slower = judged(&[RATE], &runs(&[900.0]), Some(&bands), false);
        assert_eq!(slower.outside, [format!("{RATE} is 900, outside {} to {}", band.from, band.to)]);
        let new = slower.bands.unwrap().figures[RATE];
        assert!(new.holds(900.0) && !new.holds(1000.0), "{new:?}");

        let accepted = judged(&[RATE], &runs(&[STEADY.as_slice(), &[900.0]].concat()), Some(&bands), true);
        assert!(accepted.bands.unwrap().figures[RATE].holds(900.0));
    }

    #[test]
    fn what_is_not_compared_is_said() {
        let few = judged(&[RATE], &runs(&STEADY[..3]), None, false);
        assert_eq!(few.bands, None);
        assert!(
            few.notes[0].contains("takes 8 passing runs under the same conditions, and there are 3"),
            "{:?}",
            few.notes
        );

        let errors = judged(&["order: errors"], &runs(&STEADY), None, false);
        assert_eq!(errors.notes, ["order: errors has no band: it was 0 in some of 10 runs"]);

        let other = Bands { conditions: "80 clients".to_owned(), figures: BTreeMap::new() };
        let elsewhere = judged(&[RATE], &runs(&STEADY), Some(&other), false);
        assert_eq!((elsewhere.bands.as_ref(), elsewhere.outside.len()), (None, 0));
        assert!(
            elsewhere.notes[0].ends_with("it was made under `80 clients`, this run under `40 clients`"),
            "{:?}",
            elsewhere.notes
        );

        let misspelt = judged(&["order: request/s"], &runs(&STEADY), None, false);
        assert_eq!(misspelt.outside, ["order: request/s was not measured; did you mean `order: requests/s`"]);
        assert_eq!(judged(&[], &runs(&STEADY), None, false), Judged::default());
    }

    #[test]
    fn failed_runs_are_no_measure() {
        let mut entries = runs(&[STEADY.as_slice(), &[200.0, 1000.0]].concat());
        entries[10].verdict = Verdict::Fail;
        let band = judged(&[RATE], &entries, None, false).bands.unwrap().figures[RATE];
        assert!(band.from > 940.0, "{band:?}");
    }
}
