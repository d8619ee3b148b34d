//! What clients noticed of planned faults. Main function: [`faults`].

use std::fmt::Write;

use crate::{
    evidence::FAULTS,
    faults::{FailedSecond, Impact, seconds},
    report::{ScenarioSection, table::Table},
};

/// A table of a scenario's planned faults, and under it what happened to pods beside what failed.
pub(super) fn faults(section: &ScenarioSection) -> String {
    if section.faults.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["Planned fault", "Began", "Failed requests", "None succeeded for", "Noticed for"]);
    for impact in &section.faults {
        let Impact { fault, at_ms, failure, failed, outage_ms, recovery_ms, .. } = impact;
        let began = match (at_ms, failure) {
            (_, Some(failure)) => format!("**not carried out**: {failure}"),
            (Some(at), None) => seconds(*at),
            (None, None) => "**not carried out**".to_owned(),
        };
        let noticed = match (at_ms, recovery_ms) {
            (None, _) => "-".to_owned(),
            (Some(_), Some(recovery)) => seconds(*recovery),
            (Some(_), None) => "**until the end**".to_owned(),
        };
        let outage = outage_ms.map_or("-".to_owned(), seconds);
        table.row([format!("`{fault}`"), began, failed.to_string(), outage, noticed]);
    }
    let mut text = format!("**Planned faults of {}** ({FAULTS})\n\n{}", section.figures.name, table.markdown());
    for impact in section.faults.iter().filter(|impact| !impact.events.is_empty() || impact.failed > 0) {
        let _ = writeln!(text, "`{}`: {}.\n", impact.fault, story(impact));
    }
    text
}

/// Pod events and failed requests in the order of time.
fn story(impact: &Impact) -> String {
    let events = impact
        .events
        .iter()
        .map(|event| (event.at_ms, format!("{} {} {}", seconds(event.at_ms), event.pod, event.what)));
    let failed = impact
        .failed_by_second
        .iter()
        .map(|FailedSecond { second, failed }| (second * 1000, format!("second {second}: {failed} failed")));
    let mut story: Vec<(u64, String)> = failed.chain(events).collect();
    story.sort_by_key(|(at, _)| *at);
    story.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("; ")
}
