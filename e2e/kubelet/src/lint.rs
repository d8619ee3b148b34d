//! Checks probes, and the units of resources, before anything runs. Pure. Main function: [`lint`].
//!
//! A rule is skipped for a workload if the annotation [`LINT_IGNORE`] of it or of its pod template lists the rule's code.

use std::{fmt, time::Duration};

use e2e_plan::{Component, Container, LINT_IGNORE, Object, Plan, Probe, ProbeAction, ProbeKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::snapshot::{ProbeReport, Snapshot};

mod command;
mod drain;
mod liveness;
mod resources;

/// A liveness probe without a startup probe needs at least this patience: frameworks and databases take as long to start on a busy
/// node.
const SLOW_START: Duration = Duration::from_secs(30);
/// A startup probe with less patience than one of Kubernetes's defaults has is remarked on.
const SHORT_START: Duration = Duration::from_secs(20);
/// Longer periods than this are rare.
const RARE: Duration = Duration::from_secs(60);
/// A hung program that is not restarted within this time counts as noticed late.
const LONG: Duration = Duration::from_secs(600);
/// Addresses of the node itself for a kubelet.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "::1", "localhost"];
/// The share of the timeout above which a busier moment may exceed it.
const NEARLY: f64 = 0.5;

/// The severity of a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Will cause harm.
    Error,
    /// May cause harm.
    Warning,
    /// Worth knowing.
    Note,
}

/// A remark on a probe or another field of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remark {
    /// The rule's code, such as `identical-probes`.
    pub code: String,
    /// Its severity.
    pub severity: Severity,
    /// The workload, as `kind/name`.
    pub workload: String,
    /// The file and position of its declaration.
    pub source: String,
    /// The field in the pod.
    pub field: String,
    /// The fact and its consequence.
    pub reason: String,
    /// The remedy.
    pub fix: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Remarks as people read them, each with a line of its own at the end. What is said of several places is said once, with a list of these.
#[must_use]
pub fn text(remarks: &[Remark]) -> String {
    let mut text = String::new();
    for (index, remark) in remarks.iter().enumerate() {
        let Remark { code, severity, reason, fix, .. } = remark;
        let is_same = |other: &&Remark| {
            (&other.code, other.severity, &other.reason, &other.fix) == (code, *severity, reason, fix)
        };
        if remarks[..index].iter().any(|other| is_same(&other)) {
            continue;
        }
        let place = |Remark { workload, field, source, .. }: &Remark| format!("{workload} {field} ({source})");
        let places: Vec<String> = remarks.iter().filter(is_same).map(place).collect();
        let said = format!("\n    {reason}\n    fix: {fix}\n");
        text += &match &places[..] {
            [only] => format!("{severity}[{code}] {only}{said}"),
            several => format!("{severity}[{code}] {} places{said}    {}\n", several.len(), several.join("\n    ")),
        };
    }
    text
}

/// Remarks on every probe of a plan, worst first; `measured` are a run's measurements of the same components.
#[must_use]
pub fn lint(plan: &Plan, measured: Option<&Snapshot>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for component in &plan.components {
        let object = plan.objects.iter().find(|object| object.component.as_ref() == Some(&component.name));
        let ignored = object.map(ignored).unwrap_or_default();
        let services = plan.services.iter().filter(|service| service.components.contains(&component.name));
        let is_on_host = object.is_some_and(is_on_host);
        // Names of pods that are published unready lead to them whatever a probe says.
        let targets: Vec<u16> = services
            .filter(|service| !service.publish_not_ready)
            .flat_map(|service| &service.ports)
            .map(|port| port.target_port)
            .collect();
        let may_serve = !targets.is_empty() || !plan.objects.iter().any(|object| object.kind == "Service");
        let mut found = Remarks { component, is_on_host, targets, may_serve, remarks: Vec::new() };
        component.pod.running_containers().for_each(|container| found.container(container, measured));
        component.pod.all_containers().for_each(|container| found.units(container));
        remarks.extend(found.remarks.into_iter().filter(|remark| !ignored.contains(&remark.code)));
    }
    remarks.sort_by_key(|remark| remark.severity);
    remarks
}

fn ignored(object: &Object) -> Vec<String> {
    let annotations = ["/metadata/annotations", "/spec/template/metadata/annotations"];
    let texts = annotations.iter().filter_map(|place| object.json.pointer(place)?.get(LINT_IGNORE)?.as_str());
    texts.flat_map(|text| text.split(',')).map(|code| code.trim().to_owned()).collect()
}

/// Whether the pods have the network of their node, where a loopback address is their own too.
fn is_on_host(object: &Object) -> bool {
    let specs = ["/spec/hostNetwork", "/spec/template/spec/hostNetwork"];
    specs.iter().any(|place| object.json.pointer(place).and_then(serde_json::Value::as_bool) == Some(true))
}

/// A container's place in its pod.
fn place(container: &Container) -> String {
    format!("{}[{}]", if container.is_sidecar { "initContainers" } else { "containers" }, container.name)
}

struct Remarks<'a> {
    component: &'a Component,
    is_on_host: bool,
    /// The ports to which Services send traffic.
    targets: Vec<u16>,
    /// Whether readiness may decide about traffic. Manifests without any Service are only a part of a system.
    may_serve: bool,
    remarks: Vec<Remark>,
}

impl Remarks<'_> {
    fn add(&mut self, code: &str, severity: Severity, field: String, reason: String, fix: impl Into<String>) {
        self.remarks.push(Remark {
            code: code.to_owned(),
            severity,
            workload: self.component.label(),
            source: self.component.source.to_string(),
            field,
            reason,
            fix: fix.into(),
        });
    }

    fn container(&mut self, container: &Container, measured: Option<&Snapshot>) {
        self.liveness(container);
        self.no_startup(container, measured);
        self.short_startup(container, measured);
        self.no_readiness(container);
        for (which, probe) in container.probes.all() {
            let field = format!("{}.{}", place(container), which.field());
            self.probe(which, probe, &field);
            self.rare(which, probe, &field);
            if let Some(report) = measured.and_then(|snapshot| self.slowest(snapshot, &container.name, which)) {
                self.timeout(probe, &field, report.max_ms);
            }
        }
        self.grace_too_short(container);
    }

    fn no_readiness(&mut self, container: &Container) {
        let is_served = container.ports.iter().any(|port| self.targets.contains(&port.number));
        if container.probes.readiness.is_some() || !is_served {
            return;
        }
        // Until its startup probe succeeds, a container is not ready, and a pod only when all of its containers are.
        let is_awaited = self.component.pod.running_containers().any(|other| other.probes.readiness.is_some());
        let when = match (&container.probes.startup, is_awaited) {
            (Some(_), _) => "as soon as its startup probe has succeeded, even while it cannot serve",
            (None, true) => "once the pod's other containers are ready, whether it can serve or not",
            (None, false) => "as soon as it runs, whether it can serve or not",
        };
        let reason = format!("Services send traffic to the container {when}");
        let field = place(container);
        // Most small systems do without, and only a rollout or a restart tells: it is worth knowing, and no more.
        self.add("no-readiness", Severity::Note, field, reason, "add a readinessProbe");
    }

    /// A preStop hook and the program's own shutdown share the grace period.
    fn grace_too_short(&mut self, container: &Container) {
        let grace = self.component.pod.termination_grace;
        let Some(drain) = drain::of(container).filter(|drain| drain.total() >= grace) else { return };
        let seconds = drain.total().as_secs_f64();
        let takes = if drain.is_certain() { "takes" } else { "may take" };
        let reason = format!(
            "{} {takes} {seconds} s, and a kubelet sends SIGKILL after {} s: requests still in flight are then cut off",
            drain.what(),
            grace.as_secs()
        );
        let fix = format!("raise terminationGracePeriodSeconds well above {}", drain.total().as_secs());
        let severity = if drain.exceeds(grace) { Severity::Error } else { Severity::Warning };
        self.add("grace-too-short", severity, "terminationGracePeriodSeconds".to_owned(), reason, fix);
    }

    /// A startup probe has the container killed like a liveness probe.
    fn short_startup(&mut self, container: &Container, measured: Option<&Snapshot>) {
        let Some(startup) = &container.probes.startup else { return };
        let waits = gives_up_after(startup);
        // What was measured is held against it elsewhere, or is far below.
        if waits < SHORT_START && self.start(container, measured).is_none_or(|start| start * 2 > waits) {
            let reason = format!(
                "the startup probe gives up {} s after the start: a slower start ends in a restart loop",
                waits.as_secs_f64()
            );
            let field = format!("{}.startupProbe", place(container));
            let fix = "raise failureThreshold: it costs nothing, because the probe ends with its first success";
            self.add("short-startup", Severity::Warning, field, reason, fix);
        }
    }

    /// How long the slowest start took that was measured.
    fn start(&self, container: &Container, measured: Option<&Snapshot>) -> Option<Duration> {
        let reports = self.reports(measured?, &container.name);
        let first = reports.filter_map(|probes| probes.values().filter_map(|probe| probe.first_success_ms).max()).max();
        first.map(Duration::from_millis)
    }

    /// A start that takes longer than liveness allows is a restart loop.
    fn no_startup(&mut self, container: &Container, measured: Option<&Snapshot>) {
        let probes = &container.probes;
        let Some(liveness) = probes.liveness.as_ref().filter(|_| probes.startup.is_none()) else {
            return;
        };
        let patience = gives_up_after(liveness);
        let field = format!("{}.livenessProbe", place(container));
        let start = self.start(container, measured);
        let fix = "add a startupProbe whose failureThreshold times periodSeconds covers a slow start";
        match start {
            Some(start) if start * 2 > patience => {
                let (took, patience) = (start.as_secs_f64(), patience.as_secs());
                let reason = format!("a start took {took:.1} s, and liveness gives up after {patience} s");
                let severity = if took > patience as f64 { Severity::Error } else { Severity::Warning };
                self.add("no-startup", severity, field, reason, fix);
            }
            // Measured, with room to spare.
            Some(_) => {}
            None if patience < SLOW_START => {
                let reason = format!(
                    "without a startup probe liveness gives up {} s after the start: a start that takes \
                     longer ends in a restart loop",
                    patience.as_secs()
                );
                self.add("no-startup", Severity::Warning, field, reason, fix);
            }
            None => {}
        }
    }

    fn probe(&mut self, which: ProbeKind, probe: &Probe, field: &str) {
        match &probe.action {
            ProbeAction::HttpGet { host: Some(host), .. } | ProbeAction::TcpSocket { host: Some(host), .. }
                if !(self.is_on_host && LOOPBACK.contains(&host.as_str())) =>
            {
                let reason = format!(
                    "the kubelet connects to host: {host} instead of the pod; the field does not set the Host \
                     header, and Pod Security's baseline policy forbids it"
                );
                let fix = "remove it; set a Host header with httpHeaders";
                self.add("host-set", Severity::Error, format!("{field}.host"), reason, fix);
            }
            ProbeAction::Exec { command } => self.command(which, probe, command, field),
            _ => {}
        }
        if probe.timeout > probe.period {
            let reason = format!(
                "timeoutSeconds {} exceeds periodSeconds {}: a probe that hangs delays the next ones",
                probe.timeout.as_secs(),
                probe.period.as_secs()
            );
            self.add("timeout-over-period", Severity::Note, field.to_owned(), reason, "raise periodSeconds");
        }
    }

    /// What happens between two probes is noticed late.
    fn rare(&mut self, which: ProbeKind, probe: &Probe, field: &str) {
        let period = probe.period.as_secs();
        let hung = probe.initial_delay + patience(probe);
        let (is_rare, reason, fix) = match which {
            ProbeKind::Startup => {
                let reason =
                    format!("a container that is not up at the first probe counts as started only {period} s later");
                (probe.period > RARE, reason, "lower periodSeconds")
            }
            ProbeKind::Readiness => {
                let reason =
                    format!("it takes up to {period} s to notice that a container can serve, or no longer can");
                (probe.period > RARE, reason, "lower periodSeconds")
            }
            ProbeKind::Liveness => {
                let reason = format!("a program that hangs is restarted after up to {} s", hung.as_secs());
                (hung >= LONG, reason, "lower initialDelaySeconds, periodSeconds or failureThreshold")
            }
        };
        if is_rare {
            self.add("rare-probe", Severity::Note, field.to_owned(), reason, fix);
        }
    }

    fn timeout(&mut self, probe: &Probe, field: &str, max_ms: f64) {
        let timeout_ms = probe.timeout.as_secs_f64() * 1000.0;
        if max_ms <= timeout_ms * NEARLY {
            return;
        }
        let severity = if max_ms >= timeout_ms { Severity::Error } else { Severity::Warning };
        let reason = format!("it took up to {max_ms:.0} ms, and its timeout is {timeout_ms:.0} ms");
        let fix = format!("raise timeoutSeconds to {} or make the answer faster", (max_ms * 3.0 / 1000.0).ceil());
        self.add("timeout-too-short", severity, format!("{field}.timeoutSeconds"), reason, fix);
    }

    /// The measured probes of a container, by replica.
    fn reports<'s>(
        &self,
        snapshot: &'s Snapshot,
        container: &'s str,
    ) -> impl Iterator<Item = &'s std::collections::BTreeMap<ProbeKind, ProbeReport>> {
        let name = &self.component.name;
        // `web-worker-0` is none of `web`.
        let is_own = move |pod: &str| {
            pod.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        let pods = snapshot.pods.iter().filter(move |(name, _)| is_own(name));
        pods.filter_map(move |(_, pod)| pod.container(container)).map(|container| &container.probes)
    }

    fn slowest<'s>(&self, snapshot: &'s Snapshot, container: &'s str, which: ProbeKind) -> Option<&'s ProbeReport> {
        let reports = self.reports(snapshot, container).filter_map(|probes| probes.get(&which));
        reports.filter(|report| report.sent.is_some_and(|sent| sent > 0)).max_by(|a, b| a.max_ms.total_cmp(&b.max_ms))
    }
}

/// How long after a container's start a probe that never succeeds has failed often enough.
fn gives_up_after(probe: &Probe) -> Duration {
    probe.initial_delay + probe.period * probe.failure_threshold.saturating_sub(1)
}

/// How long a probe has to fail before something follows.
fn patience(probe: &Probe) -> Duration {
    probe.period * probe.failure_threshold
}

#[cfg(test)]
mod tests;
