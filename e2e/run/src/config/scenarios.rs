//! Declared scenarios are checked before anything starts. Main function: [`check`].

use e2e_figures::scenario::Thresholds;
use e2e_load::load::scenarios::{InvalidSteps, StepsScenario};
use e2e_report::request::Scenario;

use super::{Invalid, invalid};

/// One request in eleven days; the times of a schedule far below do not fit into a clock.
pub const RATE_MIN: f64 = 0.000_001;

/// Refuses a load that is none, and one that no process could put on.
///
/// # Errors
///
/// Names the key below the scenario's and the remedy.
pub(super) fn check(name: &str, scenario: &Scenario) -> Result<(), InvalidScenario> {
    // More clients than this need more than one machine's ephemeral ports.
    const CLIENTS_MAX: u32 = 20_000;
    // Files and addresses are named after it.
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        let remedy = "use letters, digits, spaces, `-`, `_` and `.`, with no `.` first";
        return Err(invalid("its name", &format!("{name:?}"), remedy));
    }
    if scenario.clients == 0 || scenario.clients > CLIENTS_MAX {
        return Err(invalid("clients", &scenario.clients, "it must be from 1 to 20000"));
    }
    for (key, duration) in [("duration", scenario.duration), ("timeout", scenario.timeout)] {
        if duration.is_zero() {
            return Err(invalid(key, &"0s", "it must be longer than zero"));
        }
    }
    for (key, rate) in [("rate", scenario.rate), ("ramp_to", scenario.ramp_to)] {
        if let Some(rate) = rate.filter(|rate| !rate.is_finite() || *rate < RATE_MIN) {
            return Err(invalid(key, &rate, "it must be a number of requests per second above 0"));
        }
    }
    if scenario.rate.is_none() && scenario.ramp_to.is_some() {
        return Err(invalid("ramp_to", &"set without `rate`", "set `rate`, the rate at the start"));
    }
    if let Some(step) = scenario.steps.iter().find(|step| step.once && step.measured)
        && !scenario.warm_up.is_zero()
    {
        let remedy = format!("the step `{}` is measured once, at the start: leave out warm_up", step.name);
        return Err(invalid("warm_up", &e2e_plan::duration::human(scenario.warm_up), &remedy));
    }
    if !scenario.rust {
        StepsScenario::new(&scenario.steps(name, "run"))?;
    }
    check_lines("", &scenario.thresholds)?;
    let has_outcomes = scenario.rust || scenario.steps.iter().any(|step| step.once);
    if scenario.thresholds.client_failure_rate_max.is_some() && !has_outcomes {
        let remedy = "clients have an outcome only if a step is `once`";
        return Err(invalid("thresholds.client_failure_rate_max", &"set", remedy));
    }
    for step in &scenario.steps {
        let place = format!("step `{}`: ", step.name);
        check_lines(&place, &step.thresholds)?;
        if step.thresholds.client_failure_rate_max.is_some() {
            let key = format!("{place}thresholds.client_failure_rate_max");
            return Err(invalid(&key, &"set", "it is a threshold of the whole scenario: move it there"));
        }
    }
    Ok(())
}

/// Why a scenario cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum InvalidScenario {
    #[error("{0}")]
    Steps(#[from] InvalidSteps),
    #[error(transparent)]
    Key(#[from] Invalid),
}

fn check_lines(place: &str, lines: &Thresholds) -> Result<(), InvalidScenario> {
    for line in lines.drawn() {
        let key = format!("{place}thresholds.{}", line.name);
        if !line.has_limit() {
            let share = "it is a share, from 0 to 1: write 0.25 for a quarter";
            return Err(invalid(
                &key,
                &line.limit,
                if line.is_share() { share } else { "it must be a number, 0 or more" },
            ));
        }
    }
    Ok(())
}
