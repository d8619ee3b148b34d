//! Findings about clients that a load was to have and that took no part, or of which nothing is known.

use e2e_plan::words::counted;

use super::{Code, RunData};
use crate::report::{Finding, Severity, Source};

pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let registration = data.registration();
    let throughput = data.throughput();
    let lost_of_registration =
        registration.and_then(|(figures, source)| lost("registration", figures.lost, figures.clients, &source));
    let lost_of_throughput =
        throughput.as_ref().and_then(|(figures, source)| lost("throughput", figures.lost, figures.clients, source));
    let idle = throughput.as_ref().and_then(|(figures, source)| idle(figures.idle, figures.clients, source));
    lost_of_registration.into_iter().chain(lost_of_throughput).chain(idle).collect()
}

/// Clients whose agent went away with what it had measured.
fn lost(measured: &str, lost: u64, clients: u64, source: &Source) -> Option<Finding> {
    (lost > 0).then(|| Finding {
        code: Code::NotMeasured,
        severity: Severity::Gap,
        component: None,
        claim: format!(
            "nothing is known of {lost} of the {} of the {measured} load: the agent that made their requests was lost, so every figure \
             is that of the others",
            counted(clients, "client")
        ),
        evidence: evidence(source, &format!("measured/{measured}/lost")),
        fix: "Find out what ended the agent; the load's file says what was seen of it last.".to_owned(),
        excerpt: None,
    })
}

/// Clients that had no part in the throughput load.
fn idle(idle: u64, clients: u64, source: &Source) -> Option<Finding> {
    (idle > 0).then(|| Finding {
        code: Code::RegistrationFailures,
        severity: Severity::Error,
        component: None,
        claim: format!(
            "{idle} of the {} of the throughput load had no session when it began",
            counted(clients, "client")
        ),
        evidence: evidence(source, "measured/throughput/idle"),
        fix: "Find out why clients cannot register; the load's file has the first error of each kind.".to_owned(),
        excerpt: None,
    })
}

/// The figure, and everything that the load counted where that was written.
fn evidence(source: &Source, pointer: &str) -> Vec<String> {
    std::iter::once(format!("{}#/{pointer}", source.record)).chain(source.load.clone()).collect()
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::snapshot::ContainerReport;
    use e2e_plan::Probes;

    use super::*;
    use crate::{
        diagnose::tests::{record, run},
        record::{Measured, Registration, Throughput},
    };

    #[test]
    fn a_lost_agent_is_a_gap_and_a_client_that_took_no_part_an_error() {
        let mut data = run(ContainerReport::declared("app", &Probes::default(), ""));
        let registration = Registration { clients: 40, registered: 30, lost: 10, ..Registration::default() };
        let throughput = Throughput { clients: 40, idle: 1, ..Throughput::default() };
        data.records = vec![
            record("registration", "clients", Measured::Registration(registration)),
            record("throughput", "operations", Measured::Throughput(throughput)),
        ];
        let found: Vec<_> =
            findings(&data).into_iter().map(|found| (found.code, found.severity, found.claim)).collect();
        let lost = "nothing is known of 10 of the 40 clients of the registration load: the agent that made their requests was \
                    lost, so every figure is that of the others";
        let idle = "1 of the 40 clients of the throughput load had no session when it began";
        assert_eq!(
            found,
            [
                (Code::NotMeasured, Severity::Gap, lost.to_owned()),
                (Code::RegistrationFailures, Severity::Error, idle.to_owned()),
            ]
        );
    }
}
