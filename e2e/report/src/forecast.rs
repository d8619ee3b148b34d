//! What more of a component would bring, forecast from a run with one of it. Pure. Main type: [`Forecast`], made by [`forecast`].
//!
//! The bounds of operational analysis (Denning and Buzen, The Operational Analysis of Queueing Network Models, 1978): a resource does no
//! more than what uses it up, and `clients` of the closed model no more than `clients` in the time of one request without queueing.
//! With `n` of a component that is used up, the rate is the least of `n` times the component's own, of what the other resources carry, and
//! of what the clients send when nothing waits for the component. With one that is not used up the rate stays: a request takes as long.

use e2e_figures::scenario::{Capacity, ScenarioResult};
use serde::Serialize;

use crate::{
    bottleneck::{MORE_THAN_ONE, USED_UP},
    expected::Expected,
};

/// Below this share of what a machine does it is busy with something else. The kernel's work for a system counts as other work and may be
/// as much again: a quarter is half.
const OWN_SHARE: f64 = 0.25;
/// Less than what two runs of one system differ by.
const NO_GAIN: f64 = 1.05;

/// The rates with several of a component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// What it follows from, in a sentence.
    pub because: String,
    /// Each level, in the order in which they were asked for.
    pub levels: Vec<ForecastLevel>,
}

/// The rate with so many of the component.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastLevel {
    /// How many there are.
    pub level: u32,
    /// The rate.
    pub requests_per_second: f64,
    /// The same as a multiple of the rate with one.
    pub gain: f64,
    /// What would limit it.
    pub limit: String,
}

impl ForecastLevel {
    /// `3.98 times (postgres)`, `no gain: the host`.
    pub fn described(&self) -> String {
        let Self { gain, limit, .. } = self;
        if *gain < NO_GAIN { format!("no gain: {limit}") } else { format!("{gain:.2} times ({limit})") }
    }
}

/// Forecasts the rate at each level from a run with one of the component, whose clients send as fast as the system answers.
///
/// # Errors
///
/// What the run did not measure.
pub fn forecast(
    component: &str,
    levels: &[u32],
    load: &ScenarioResult,
    expected: Option<&Expected>,
) -> Result<Forecast, String> {
    let rate = load.rate_per_second.filter(|rate| *rate > 0.0).ok_or("it measured no rate")?;
    if load.generator.saturated {
        return Err(format!("the load generator {}", load.generator.described()));
    }
    let expected = expected.ok_or("it measured no processor times")?;
    let capacity = capacity(component, rate, load, expected);
    let capacity = capacity.ok_or_else(|| format!("no measurement gives the capacity of {component}"))?;
    let is_used_up = |bound: f64| rate >= USED_UP * bound;
    // A resource that is used up does now what it can.
    let at_most = |bound: f64| if is_used_up(bound) { rate } else { bound };
    let request_ms: f64 = load.parts.iter().map(|part| part.mean_ms).sum();
    let without_wait_ms = if is_used_up(capacity.per_second) { request_ms - capacity.waiting_ms } else { request_ms };
    let own = |level: u32| f64::from(level) * at_most(capacity.per_second);
    let others =
        expected.replica_bound.iter().filter(|(name, bound)| *name != component && rate <= MORE_THAN_ONE * **bound);
    // What is mostly other work on the machine is not a cost of requests.
    let own_share = expected.own_share();
    let host_bound = if own_share >= OWN_SHARE { expected.host_bound } else { expected.host_bound / own_share };
    let mut bounds = vec![("the host".to_owned(), at_most(host_bound))];
    bounds.extend(others.map(|(name, bound)| (name.clone(), at_most(*bound))));
    if without_wait_ms > 0.0 {
        bounds.push(("the time of a request".to_owned(), load.clients as f64 * 1000.0 / without_wait_ms));
    } else if !is_used_up(capacity.per_second) {
        bounds.push(("the time of a request".to_owned(), rate));
    }
    let forecast = |level: &u32| {
        let own = (component.to_owned(), own(*level));
        let (limit, bound) = bounds.iter().fold(&own, |least, bound| if bound.1 < least.1 { bound } else { least });
        let requests_per_second = if *level == 1 { rate } else { bound.max(rate) };
        ForecastLevel { level: *level, requests_per_second, gain: requests_per_second / rate, limit: limit.clone() }
    };
    let because = because(component, rate, capacity, request_ms, expected);
    Ok(Forecast { because, levels: levels.iter().map(forecast).collect() })
}

/// What one of the component carries, as it says itself, or by the processor of each of its replicas unless they have several threads.
fn capacity(component: &str, rate: f64, load: &ScenarioResult, expected: &Expected) -> Option<Capacity> {
    let own = load.parts.iter().find(|part| part.name == component).and_then(|part| part.capacity);
    let by_processor = || {
        let bound = *expected.replica_bound.get(component).filter(|bound| rate <= MORE_THAN_ONE * **bound)?;
        let part = load.parts.iter().find(|part| part.name == component);
        // Its time on the processor is its work, and the rest of its part the queue.
        let work_ms = expected.cpu_ms_per_request.get(component)?;
        let waiting_ms = part.map_or(0.0, |part| (part.mean_ms - work_ms).max(0.0));
        Some(Capacity { per_second: bound, waiting_ms })
    };
    own.or_else(by_processor)
}

fn because(component: &str, rate: f64, capacity: Capacity, request_ms: f64, expected: &Expected) -> String {
    let Capacity { per_second, waiting_ms } = capacity;
    let share = (rate / per_second).min(1.0) * 100.0;
    let host = expected.host_utilisation * 100.0;
    let own = expected.own_share() * 100.0;
    let text = format!(
        "{component} did {share:.0}% of the {per_second:.0} requests/s that it carries, and the host's processors were {host:.0}% busy, \
         {own:.0}% of it with the system and its load"
    );
    if rate >= USED_UP * per_second && request_ms > 0.0 {
        return format!("{text}; of a request's {request_ms:.1} ms, {waiting_ms:.1} were the wait for {component}");
    }
    text
}

#[cfg(test)]
mod tests {
    use e2e_figures::scenario::Part;
    use rstest::rstest;

    use super::*;

    /// 40 clients at 50 requests per second: 800 ms each, of which 790 in the database and 740 in the queue before it.
    fn load(per_second: f64) -> ScenarioResult {
        let mut parts = Part::of_way(&[("app", 800.0), ("db", 790.0)]);
        parts[1].capacity = Some(Capacity { per_second, waiting_ms: 740.0 });
        ScenarioResult { clients: 40, rate_per_second: Some(50.0), parts, ..ScenarioResult::default() }
    }

    /// Two processors, so busy at 50 requests per second, and a thread of `app` that carries so many.
    fn expected(host: f64, app: f64) -> Expected {
        Expected {
            cpus: 2.0,
            cpu_ms_per_request: [("app".to_owned(), 1000.0 / app), ("db".to_owned(), 1.0)].into(),
            host_bound: 50.0 / host,
            host_utilisation: host,
            replica_bound: [("app".to_owned(), app), ("db".to_owned(), 1000.0)].into(),
            not_measured: Vec::new(),
        }
    }

    #[rstest]
    // 60 ms without the queue let 40 clients send 666 per second.
    #[case::the_component(50.0, expected(0.01, 2000.0), [(50.0, "db"), (100.0, "db"), (200.0, "db"), (666.7, "the time of a request")])]
    // It does 90% of what it carries, which is all that can be had of it.
    #[case::nearly_used_up(55.5, expected(0.01, 2000.0), [(50.0, "db"), (100.0, "db"), (200.0, "db"), (666.7, "the time of a request")])]
    // Half used, it is no queue: 800 ms for each of 40 clients.
    #[case::room(100.0, expected(0.01, 2000.0), [(50.0, "the time of a request"); 4])]
    #[case::the_host(50.0, expected(0.9, 2000.0), [(50.0, "the host"); 4])]
    #[case::the_host_later(50.0, expected(0.4, 2000.0), [(50.0, "db"), (100.0, "db"), (125.0, "the host"), (125.0, "the host")])]
    #[case::another(50.0, expected(0.01, 120.0), [(50.0, "db"), (100.0, "db"), (120.0, "app"), (120.0, "app")])]
    fn the_least_bound_counts(#[case] carries: f64, #[case] expected: Expected, #[case] wanted: [(f64, &str); 4]) {
        let found = forecast("db", &[1, 2, 4, 64], &load(carries), Some(&expected)).unwrap();
        for (forecast, (rate, limit)) in found.levels.iter().zip(wanted) {
            let of_one = forecast.level == 1;
            assert!((forecast.requests_per_second - rate).abs() < 0.1, "{forecast:?}, wanted {rate}");
            assert!(of_one || forecast.limit == limit, "{forecast:?}, wanted {limit}");
            assert_eq!(forecast.gain, forecast.requests_per_second / 50.0);
        }
    }

    #[test]
    fn the_work_of_neighbours_is_no_cost_of_requests() {
        let mut expected = expected(1.0, 2000.0);
        let own: f64 = expected.cpu_ms_per_request.values().sum();
        for (others, wanted) in [(2.9 * own, "no gain: the host"), (3.1 * own, "2.00 times (db)")] {
            expected.cpu_ms_per_request.insert(crate::expected::ELSE.to_owned(), others);
            let found = forecast("db", &[2], &load(50.0), Some(&expected)).unwrap();
            assert_eq!(found.levels[0].described(), wanted);
        }
    }

    #[test]
    fn a_component_without_figures_of_its_own_is_judged_by_its_processor() {
        let load = ScenarioResult { parts: Vec::new(), ..load(1.0) };
        let limited = Expected { replica_bound: [("db".to_owned(), 52.0)].into(), ..expected(0.1, 2000.0) };
        let found = forecast("db", &[1, 4], &load, Some(&limited)).unwrap();
        assert_eq!(found.levels[1].described(), "4.00 times (db)");
        let idle = forecast("db", &[4], &load, Some(&expected(0.1, 2000.0))).unwrap();
        assert_eq!(idle.levels[0].described(), "no gain: the time of a request");
    }

    #[test]
    fn what_was_not_measured_forecasts_nothing() {
        let said =
            |load: &ScenarioResult, expected: Option<&Expected>| forecast("db", &[2], load, expected).unwrap_err();
        let expected = expected(0.1, 2000.0);
        assert_eq!(said(&load(50.0), None), "it measured no processor times");
        assert_eq!(said(&ScenarioResult::default(), Some(&expected)), "it measured no rate");
        let nothing = Expected { replica_bound: [("db".to_owned(), 10.0)].into(), ..expected };
        let load = ScenarioResult { parts: Vec::new(), ..load(1.0) };
        assert_eq!(said(&load, Some(&nothing)), "no measurement gives the capacity of db");
    }
}
