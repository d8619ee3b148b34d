//! What a study is about: the component or its shards, and the scenario. Main type: [`Subject`].

use anyhow::Result;
use e2e_report::{forecast::forecast, report::Report};
use e2e_run::{Options, plan};

use super::{Args, RunForecast, axis::Axis};
use crate::failure::{BadInput, bad_input};

/// The study's subject.
pub(super) struct Subject {
    /// What the levels are of.
    pub(super) axis: Axis,
    /// The scenario that is measured.
    pub(super) scenario: String,
}

impl Subject {
    /// From the flags, or the only choice.
    pub(super) fn of(args: &Args, project: &Options) -> Result<Self> {
        let plan = plan(project)?;
        let config = project.read_config()?;
        let pressing =
            config.scenario.iter().filter(|(_, scenario)| scenario.is_pressing()).map(|(name, _)| name.as_str());
        let scenario = match &args.scenario {
            Some(name) => config.scenario(name).map(|_| name.as_str())?,
            None => only(pressing, "--scenario", "whose clients send as fast as the system answers")?,
        };
        let scenario = scenario.to_owned();
        if !args.shards.is_empty() {
            return Ok(Self { axis: Axis::of_shards(&project.root, &config, &plan, &args.shards)?, scenario });
        }
        let several = plan.components.iter().filter(|component| component.replicas > 1);
        let name = match (&args.component, &plan.components[..]) {
            (Some(name), _) => name.as_str(),
            (None, [single]) => single.name.as_str(),
            (None, _) => {
                only(several.map(|component| component.name.as_str()), "--component", "with several replicas")?
            }
        };
        let component = plan.require_component(name).map_err(|error| BadInput(format!("--component: {error}")))?;
        Ok(Self { axis: Axis::Replicas(Box::new(component.clone())), scenario })
    }

    /// What a run with level 1 forecasts of the others.
    pub(super) fn forecast(&self, levels: &[u32], run: &str, report: &Report) -> RunForecast {
        let mut others: Vec<u32> = levels.iter().copied().filter(|level| *level > 1).collect();
        others.sort_unstable();
        let section = report.scenario(&self.scenario).ok_or_else(|| "the scenario did not run".to_owned());
        let forecast = section
            .and_then(|section| forecast(self.axis.component(), &others, &section.figures, section.expected.as_ref()));
        RunForecast { run: run.to_owned(), forecast }
    }
}

/// The only choice for an omitted flag.
fn only<'a>(choices: impl Iterator<Item = &'a str>, flag: &str, which: &str) -> Result<&'a str> {
    match choices.collect::<Vec<_>>()[..] {
        [only] => Ok(only),
        [] => bad_input(format!("none {which}: choose one with {flag} NAME")),
        ref several => {
            let flags = several.iter().map(|name| format!("{flag} {name}")).collect::<Vec<_>>().join(" or ");
            bad_input(format!("{} {which}: choose one with {flags}", several.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_is_left_out_stands_for_the_only_choice() {
        assert_eq!(only(["api"].into_iter(), "--component", "with several replicas").unwrap(), "api");
        let said = |choices: &[&'static str]| {
            only(choices.iter().copied(), "--component", "with several replicas").unwrap_err().to_string()
        };
        assert_eq!(said(&[]), "none with several replicas: choose one with --component NAME");
        assert_eq!(
            said(&["api", "web"]),
            "2 with several replicas: choose one with --component api or --component web"
        );
    }
}
