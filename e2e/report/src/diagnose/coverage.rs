//! Findings about a load's clients that were lost or idle.

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::words::counted;

use super::{Code, Finding, RunData, Severity};
use crate::run_data::Source;

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let found = data.scenarios().flat_map(|(figures, source)| [lost(figures, &source), idle(figures, &source)]);
    found.flatten().collect()
}

/// Clients of a lost agent, whose measurements are lost too.
fn lost(figures: &ScenarioResult, source: &Source) -> Option<Finding> {
    let ScenarioResult { name, clients, clients_lost, .. } = figures;
    (*clients_lost > 0).then(|| Finding {
        claim: format!(
            "{clients_lost} of the {} of the scenario {name} were lost with their agent, so every \
             figure covers only the others",
            counted(*clients, "client")
        ),
        evidence: source.figure_and_load("clients_lost"),
        fix: "Find out why the agent ended; the load file has its last message.".to_owned(),
        ..Finding::new(Code::NotMeasured, Severity::Gap)
    })
}

/// Clients that did not fail but missed the window.
fn idle(figures: &ScenarioResult, source: &Source) -> Option<Finding> {
    let ScenarioResult { name, clients, clients_idle, clients_failed, .. } = figures;
    (clients_idle > clients_failed).then(|| Finding {
        claim: format!(
            "{clients_idle} of the {} of the scenario {name} were not ready when it began",
            counted(*clients, "client")
        ),
        evidence: source.figure_and_load("clients_idle"),
        fix: "Find out why clients are stuck in their `once` steps; the load file has the first error of each kind."
            .to_owned(),
        ..Finding::new(Code::ClientsFailed, Severity::Error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Measured,
        testing::{quiet, record},
    };

    #[test]
    fn a_lost_agent_is_a_gap_and_a_client_that_took_no_part_an_error() {
        let mut data = quiet();
        let of = |name: &str, clients_lost, clients_idle, clients_failed| {
            let (name, clients) = (name.to_owned(), 40);
            let figures = ScenarioResult {
                name,
                clients,
                clients_lost,
                clients_idle,
                clients_failed,
                ..ScenarioResult::default()
            };
            record("scenarios", &figures.name.clone(), Measured::Scenario(Box::new(figures)))
        };
        // Clients that failed before the window appear only in the outcomes.
        data.records = vec![of("sign-up", 10, 0, 0), of("order", 0, 1, 0), of("failing", 0, 3, 3)];
        let found: Vec<_> =
            findings(&data).into_iter().map(|found| (found.code, found.severity, found.claim)).collect();
        let lost = "10 of the 40 clients of the scenario sign-up were lost with their agent, so every figure \
        covers only the others";
        let idle = "1 of the 40 clients of the scenario order were not ready when it began";
        assert_eq!(
            found,
            [
                (Code::NotMeasured, Severity::Gap, lost.to_owned()),
                (Code::ClientsFailed, Severity::Error, idle.to_owned()),
            ]
        );
    }
}
