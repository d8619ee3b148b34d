//! The system as a picture: components with their replicas and Services, and who calls whom. Main function: [`picture`].

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, PreEscaped, html};

use crate::{
    chart::diagram::{Arrow, Diagram, Node},
    finding::Severity,
    report::{ComponentSection, Report},
};

/// The picture; nothing without components.
pub(super) fn picture(report: &Report) -> Option<Markup> {
    let rows = layers(report);
    let wrong: BTreeSet<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .filter_map(|finding| finding.component.as_deref())
        .collect();
    let is_bad = |component: &ComponentSection| {
        component.ready < component.desired || component.restarts > 0 || wrong.contains(component.name.as_str())
    };
    let node = |component: &&ComponentSection| Node {
        name: component.name.clone(),
        lines: lines(report, component),
        dots: (component.ready, component.desired),
        bad: is_bad(component),
    };
    let clients = report.topology.entrance.as_deref().map(|entrance| {
        let at = Node { name: CLIENTS.to_owned(), lines: vec![format!("call {entrance}")], ..Node::default() };
        vec![at]
    });
    let components = rows.iter().map(|row| row.iter().map(node).collect::<Vec<_>>());
    let diagram = Diagram {
        says: says(report),
        rows: clients.into_iter().chain(components).collect(),
        arrows: arrows(report, |name| report.components.iter().any(|of| of.name == name && is_bad(of))),
    };
    diagram.svg().map(|svg| html! { (PreEscaped(svg)) })
}

const CLIENTS: &str = "clients";

/// The same in words, for those who do not see it.
fn says(report: &Report) -> String {
    let calls = report.topology.calls.iter().map(|call| format!("{} calls {}", call.from, call.to));
    let states = report.components.iter().map(|of| format!("{} {} of {} ready", of.name, of.ready, of.desired));
    states.chain(calls).collect::<Vec<_>>().join("; ")
}

fn lines(report: &Report, component: &ComponentSection) -> Vec<String> {
    let services = report.topology.services.iter().filter(|of| of.components.contains(&component.name));
    let mut lines: Vec<String> = services
        .map(|service| {
            let ports: Vec<String> = service.ports.iter().map(|port| format!(":{port}")).collect();
            let name = if service.name == component.name { "Service" } else { &service.name };
            format!("{name} {}", ports.join(" "))
        })
        .collect();
    lines.push(match component.status.as_str() {
        "Running" => format!("{}/{} ready", component.ready, component.desired),
        status => format!("{}/{}, {status}", component.ready, component.desired),
    });
    if component.restarts > 0 {
        lines.push(e2e_plan::words::counted(component.restarts, "restart"));
    }
    let commits = report.scenarios.iter().flat_map(|section| &section.figures.activity);
    let commits = commits.filter(|of| of.component == component.name).filter_map(|of| of.commits_per_second);
    lines.extend(commits.reduce(f64::max).map(|commits| format!("{commits:.0} commits/s")));
    lines
}

/// Clients call the entrance at the rates of the scenarios; what components send to each other is not counted.
fn arrows(report: &Report, is_bad: impl Fn(&str) -> bool) -> Vec<Arrow> {
    let rates = report.scenarios.iter().filter_map(|section| {
        let figures = &section.figures;
        Some(format!("{} {:.0}/s", figures.name, figures.rate_per_second?))
    });
    let rates: Vec<String> = rates.collect();
    let mut arrows: Vec<Arrow> = entered(report)
        .map(|to| Arrow { from: CLIENTS.to_owned(), to: to.to_owned(), label: rates.join("\n"), bad: is_bad(to) })
        .collect();
    arrows.extend(report.topology.calls.iter().map(|call| Arrow {
        from: call.from.clone(),
        to: call.to.clone(),
        label: String::new(),
        bad: is_bad(&call.to),
    }));
    arrows
}

/// The components behind the entrance.
fn entered(report: &Report) -> impl Iterator<Item = &str> {
    let topology = &report.topology;
    let services = topology.services.iter().filter(|service| Some(&service.name) == topology.entrance.as_ref());
    services.flat_map(|service| service.components.iter().map(String::as_str))
}

/// Components by how many calls lead to them from the outside, at most: callers stand above those that they call.
fn layers(report: &Report) -> Vec<Vec<&ComponentSection>> {
    let mut depth: BTreeMap<&str, usize> = report.components.iter().map(|of| (of.name.as_str(), 0)).collect();
    // A circle of calls would go down without end.
    for _ in 0..report.components.len() {
        for call in &report.topology.calls {
            let Some(from) = depth.get(call.from.as_str()).copied() else { continue };
            if let Some(to) = depth.get_mut(call.to.as_str()) {
                *to = (*to).max(from + 1).min(report.components.len());
            }
        }
    }
    let mut rows: BTreeMap<usize, Vec<&ComponentSection>> = BTreeMap::new();
    for component in &report.components {
        rows.entry(depth[component.name.as_str()]).or_default().push(component);
    }
    rows.into_values().collect()
}
